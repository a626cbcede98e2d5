"""Finds the `${ … }` in a text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from gql_app.core.cel import InvalidExpression, shorten
from gql_app.core.values import Json

OPENING: Final = "${"


@dataclass(frozen=True, slots=True)
class Hole:
    """The text between `${` and `}`; `offset` is where the `${` stands."""

    text: str
    offset: int


Piece: TypeAlias = str | Hole

# Every alternative matches once begun, to the end of the text if need be: a hostile text costs no more than its length.
_TOKEN: Final = re.compile(
    r"""
      (?<!\w)[bB]?[rR](?: '{3} (?:[^'] | '(?!''))*+ (?:'{3})?
                        | "{3} (?:[^"] | "(?!""))*+ (?:"{3})?
                        | '[^'\n]*+'?
                        | "[^"\n]*+"? )
    | '{3} (?:[^'\\] | \\. | '(?!''))*+ (?:'{3})?
    | "{3} (?:[^"\\] | \\. | "(?!""))*+ (?:"{3})?
    | ' (?:[^'\\\n] | \\.)*+ '?
    | " (?:[^"\\\n] | \\.)*+ "?
    | [{}]
    """,
    re.DOTALL | re.VERBOSE,
)


def split_template(text: str) -> tuple[list[Piece], InvalidExpression | None]:
    """Split a text into literal text and expressions; what cannot be closed ends the list and is told."""
    pieces: list[Piece] = []
    literal: list[str] = []
    position = 0
    while (start := text.find(OPENING, position)) >= 0:
        if start > position and text[start - 1] == "$":
            literal += (text[position : start - 1], OPENING)
            position = start + len(OPENING)
            continue
        end = _closing_brace(text, start + len(OPENING))
        if end is None:
            return pieces, _unterminated(text, start)
        literal.append(text[position:start])
        if before := "".join(literal):
            pieces.append(before)
        pieces.append(Hole(text[start + len(OPENING) : end], start))
        literal, position = [], end + 1
    literal.append(text[position:])
    if rest := "".join(literal):
        pieces.append(rest)
    return pieces, None


def find_holes(value: Json) -> Iterator[Hole]:
    """Find every expression in a JSON value, as far as each text can be split."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if OPENING in item:
                yield from (piece for piece in split_template(item)[0] if isinstance(piece, Hole))
        elif isinstance(item, dict):
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def escape_template(text: str) -> str:
    """Write a text so that it stands for itself as a template."""
    return text.replace(OPENING, "$" + OPENING)


def _closing_brace(text: str, position: int) -> int | None:
    """Find the first `}` at brace depth 0 outside CEL's string literals."""
    depth = 0
    for token in _TOKEN.finditer(text, position):
        if token[0] == "{":
            depth += 1
        elif token[0] == "}":
            if depth == 0:
                return token.start()
            depth -= 1
    return None


def _unterminated(text: str, start: int) -> InvalidExpression:
    message = f"`{shorten(text[start:])}` has no closing `}}`."
    return InvalidExpression(
        message, text[start:], start, "Close it (look for an open quote too), or write `$${` for a literal `${`."
    )
