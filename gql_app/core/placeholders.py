"""Placeholders of secrets: `${ secrets.NAME }` is no expression, and only a document can hold one.

What expressions give and what runs are handed is data: a text in there that looks like a placeholder is just a text.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from gql_app.core.pointers import make_pointer
from gql_app.core.values import Json

SECRET_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
SECRETS_HINT: Final = (
    "A secret is not part of an expression: write exactly `${ secrets.NAME }`, as a string in a node's `input` or as a"
    " part of one."
)

_INSIDE: Final = re.compile(rf"\s*secrets\.({SECRET_NAME.pattern})\s*")
_WHOLE: Final = re.compile(rf"(?<!\$)\$\{{{_INSIDE.pattern}\}}")


@dataclass(frozen=True, slots=True)
class Secret:
    """Where the value of a secret belongs."""

    name: str
    text: str
    """The placeholder as it was written."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A text with secrets in it, before they are known."""

    pieces: Sequence[str | Secret]

    def open(self, show: "Show") -> str:
        """Put something in the place of every secret."""
        return "".join([piece if isinstance(piece, str) else show(piece) for piece in self.pieces])


Show: TypeAlias = Callable[[Secret], str]


def secret_name(inside: str) -> str | None:
    """Tell which secret the text between `${` and `}` stands for, if it stands for one."""
    found = _INSIDE.fullmatch(inside)
    return None if found is None else found[1]


def open_sealed(value: Json, places: Iterable[Sequence[str | int]], show: Show) -> Json:
    """Put something in the place of every secret in a value; it is changed, since nobody else has it."""
    for place in places:
        if not place:
            return value.open(show)
        *way, last = place
        around = value
        for key in way:
            around = around[key]
        around[last] = around[last].open(show)
    return value


def find_placeholders(value: Json, place: tuple[str | int, ...] = ()) -> Iterator[str]:
    """Find the texts and keys that hold a placeholder, as JSON Pointers into the value."""
    if isinstance(value, str):
        if holds_placeholder(value):
            yield make_pointer(place)
    elif isinstance(value, dict):
        for key, item in value.items():
            if holds_placeholder(key):
                yield make_pointer((*place, key))
            yield from find_placeholders(item, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from find_placeholders(item, (*place, index))


def holds_placeholder(text: str) -> bool:
    """Tell whether a text has a placeholder in it."""
    return _WHOLE.search(text) is not None
