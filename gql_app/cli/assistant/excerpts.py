"""Cuts values to what an assistant has room for, and says what was cut and where the rest is."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gql_app.cli.assistant.failures import AskedWronglyError
from gql_app.cli.assistant.shapes import Answer
from gql_app.core.documents import quote
from gql_app.core.pointers import POINTER_RULE, make_pointer, split_pointer, take_step
from gql_app.core.values import Json

PART_BYTES: Final = 8_000
"""How much is told of a value that was asked for."""
PREVIEW_BYTES: Final = 600
"""How much is told of a value that stands in a list of others."""
MAXIMUM_CUTS: Final = 20
POINTER_CHARACTERS: Final = 300
"""Places whose pointers are longer are not named, if any other is."""
NAMED: Final = 20

_TRIALS: Final = 9


class Cut(Answer, frozen=True, kw_only=True):
    """A place where not everything is shown."""

    pointer: Annotated[str, Meta(description="The place, as a JSON Pointer into the whole output.")]
    kind: Literal["string", "list", "object"]
    size: Annotated[int, Meta(description="How many characters, items or fields there are.")]
    shown: Annotated[int, Meta(description="How many of them are shown.")]


class Excerpt(Answer, frozen=True, kw_only=True):
    """A value, or what there is room for of it."""

    value: Json = UNSET
    cut: Annotated[
        tuple[Cut, ...], Meta(description="Where something was left out. Nothing was if this is absent.")
    ] = ()
    next_offset: Annotated[int, Meta(description="Call again with this `offset` for what comes next.")] | UnsetType = (
        UNSET
    )

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return not self.cut and self.next_offset is UNSET


def measure(value: Json) -> int:
    """Tell how many bytes a value takes as JSON."""
    return len(msgspec.json.encode(value))


def preview(value: Json, room: int = PREVIEW_BYTES, place: tuple[int | str, ...] = ()) -> Excerpt:
    """Show of a value what fits: its shape and its beginning."""
    if measure(value) <= room:
        return Excerpt(value=value)
    for trial in range(_TRIALS):
        trimmer = _Trimmer(max(room >> (trial + 1), 24), max(48 >> trial, 1), max(_TRIALS - 1 - trial, 1))
        trimmed = trimmer.trim(value, place, 0)
        if measure(trimmed) <= room:
            return Excerpt(value=trimmed, cut=_worth_naming(trimmer.cuts))
    return Excerpt(value=f"… ({quote(value)})", cut=(_cut(value, place, 0),))


def page(value: Json, pointer: str, offset: int, room: int = PART_BYTES) -> Excerpt:
    """Show the part of a value that a pointer leads to, of a string or list from `offset` on.

    Raises `AskedWronglyError` if the pointer leads nowhere, or there is nothing at the offset.
    """
    place, part = select(value, pointer)
    if isinstance(part, str):
        return _page_text(part, offset, room)
    if isinstance(part, list):
        return _page_list(part, place, offset, room)
    if offset:
        raise AskedWronglyError(f"`offset` is for strings and lists; at {_name(pointer)} there is {quote(part)}.")
    return preview(part, room, place)


def select(value: Json, pointer: str) -> tuple[tuple[str, ...], Json]:
    """Follow a JSON Pointer. Raises `AskedWronglyError`, which says how far it leads and what is there."""
    try:
        steps = split_pointer(pointer)
    except ValueError:
        raise AskedWronglyError(f"`pointer` is {quote(pointer)}: {POINTER_RULE}.") from None
    for number, step in enumerate(steps):
        try:
            value = take_step(value, step)
        except LookupError:
            there = f"{_name(make_pointer(steps[:number]))} is {_describe(value)}"
            raise AskedWronglyError(f"There is nothing at {quote(pointer)}: {there}.") from None
    return steps, value


class _Trimmer:
    """Shortens strings, lists and objects, and what is nested too deeply."""

    def __init__(self, characters: int, items: int, depth: int) -> None:
        self._characters = characters
        self._items = items
        self._depth = depth
        self.cuts: list[Cut] = []

    def trim(self, value: Json, place: tuple[int | str, ...], depth: int) -> Json:
        """Make a shorter value of the same shape."""
        if isinstance(value, str):
            if len(value) <= self._characters:
                return value
            self.cuts.append(_cut(value, place, self._characters))
            return f"{value[: self._characters]}…"
        if not isinstance(value, list | dict) or not value:
            return value
        if depth >= self._depth:
            self.cuts.append(_cut(value, place, 0))
            return f"… ({quote(value)})"
        if len(value) > self._items:
            self.cuts.append(_cut(value, place, self._items))
        if isinstance(value, list):
            return [self.trim(item, (*place, n), depth + 1) for n, item in enumerate(value[: self._items])]
        return {name: self.trim(item, (*place, name), depth + 1) for name, item in islice(value.items(), self._items)}


def _page_text(text: str, offset: int, room: int) -> Excerpt:
    if offset and offset >= len(text):
        raise AskedWronglyError(f"There is nothing at offset {offset}: the string has {len(text)} characters.")
    end = offset + room
    return Excerpt(value=text[offset:end], next_offset=end if end < len(text) else UNSET)


def _page_list(items: Sequence[Json], place: tuple[str, ...], offset: int, room: int) -> Excerpt:
    if offset and offset >= len(items):
        raise AskedWronglyError(f"There is nothing at offset {offset}: the list has {len(items)} items.")
    shown = list(_items_that_fit(items, place, offset, room))
    end = offset + len(shown)
    cuts = [cut for excerpt in shown for cut in excerpt.cut]
    return Excerpt(
        value=[excerpt.value for excerpt in shown],
        cut=_worth_naming(cuts),
        next_offset=end if end < len(items) else UNSET,
    )


def _items_that_fit(items: Sequence[Json], place: tuple[str, ...], offset: int, room: int) -> Iterator[Excerpt]:
    """Take items while there is room; of the first one, what there is room for."""
    left = room
    for number in range(offset, len(items)):
        size = measure(items[number]) + 1
        if size > left and number > offset:
            return
        left -= size
        yield preview(items[number], room, (*place, number))


def _cut(value: str | list[Json] | dict[str, Json], place: tuple[int | str, ...], shown: int) -> Cut:
    kind: Literal["string", "list", "object"] = (
        "string" if isinstance(value, str) else "list" if isinstance(value, list) else "object"
    )
    return Cut(pointer=make_pointer(place), kind=kind, size=len(value), shown=shown)


def _worth_naming(cuts: Sequence[Cut]) -> tuple[Cut, ...]:
    short = [cut for cut in cuts if len(cut.pointer) <= POINTER_CHARACTERS]
    return tuple(short[:MAXIMUM_CUTS] or cuts[:1])


def _describe(value: Json) -> str:
    """Say what is at a place, so that the next pointer can be right."""
    if isinstance(value, dict) and value:
        names = ", ".join(quote(name) for name in islice(value, NAMED))
        more = f" and {len(value) - NAMED} more" if len(value) > NAMED else ""
        return f"an object with {names}{more}"
    return quote(value)


def _name(pointer: str) -> str:
    return quote(pointer) if pointer else "the whole output"
