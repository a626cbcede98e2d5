"""Reads what a CEL expression mentions, from the compiled form's protobuf encoding (CheckedExpr or ParsedExpr).

The encoding is read directly: protobuf's own parser stops at 100 nested messages, and an expression within CEL's
limits can have more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

Path: TypeAlias = tuple[str, ...]
"""Where a value stands in an expression's scope: `("nodes", "search", "output", "body")`."""

ROOTS: Final = frozenset({"input", "nodes", "run"})
"""The variables an expression may mention."""

_Message: TypeAlias = dict[int, list[int | bytes]]

_CONSTANT, _IDENTIFIER, _SELECT, _CALL, _LIST, _STRUCT, _COMPREHENSION = range(3, 10)
_KINDS: Final = range(_CONSTANT, _COMPREHENSION + 1)
_OPERANDS: Final = {_SELECT: (1,), _CALL: (1, 3), _LIST: (1,), _COMPREHENSION: (2, 4, 5, 6, 7)}
"""Which fields of each kind of expression hold expressions."""

_VARIABLES: Final = (1, 8)
_INDEX: Final = "_[_]"
_MATCHES: Final = "matches"


@dataclass(frozen=True, slots=True)
class Mention:
    """A variable and the names selected from it, as far as they are constant; `id` says where it stands."""

    path: Path
    id: int


@dataclass(frozen=True, slots=True)
class Syntax:
    """What stands in an expression; `reference` is its path if it is nothing but one."""

    mentions: tuple[Mention, ...]
    shadows: tuple[Mention, ...]
    comprehensions: int
    indexes: bool
    matches: bool
    reference: Path | None

    @property
    def calm(self) -> bool:
        """Whether an evaluation takes time and memory in proportion to text and data.

        A comprehension takes the product of its parts, and a pattern that comes with the data any time at all.
        """
        return self.comprehensions == 0 and not self.matches


def read_syntax(serialized: bytes) -> Syntax:
    """Read the syntax of an expression from what `serialize()` gives."""
    root, _ = _open(serialized)
    return _Reader().read(root)


def find_position(serialized: bytes, id: int) -> int:
    """Say at which character of its text the part of an expression with this id stands."""
    _, source = _open(serialized)
    entries = map(_decode, _all_bytes(_decode(source), 4))
    return next((_number(entry, 2) for entry in entries if _number(entry, 1) == id), 0)


def _open(serialized: bytes) -> tuple[bytes, bytes]:
    """Unwrap the root expression and the notes on its source."""
    envelope = _decode(serialized)
    checked = _text(envelope, 1).endswith("CheckedExpr")
    compiled = _decode(_bytes(envelope, 2))
    root, source = (4, 5) if checked else (2, 3)
    return _bytes(compiled, root), _bytes(compiled, source)


class _Reader:
    """Walks an expression once; a stack instead of recursion, so that depth costs nothing."""

    def __init__(self) -> None:
        self._mentions: list[Mention] = []
        self._shadows: list[Mention] = []
        self._comprehensions = 0
        self._indexes = False
        self._matches = False

    def read(self, root: bytes) -> Syntax:
        pending = [root]
        while pending:
            pending.extend(self._visit(pending.pop()))
        mentions, shadows = (tuple(sorted(found, key=_id_of)) for found in (self._mentions, self._shadows))
        return Syntax(mentions, shadows, self._comprehensions, self._indexes, self._matches, self._reference(root))

    def _visit(self, encoded: bytes) -> Iterator[bytes]:
        """Note what the expression is and give the expressions inside it."""
        base, names = self._chain(encoded)
        kind, body = _kind(base)
        match kind:
            case 4:
                name = _text(body, 1).removeprefix(".")
                if name in ROOTS:
                    self._mentions.append(Mention((name, *names), _number(_decode(base), 2)))
            case 6 if _text(body, 2) == _MATCHES:
                self._matches = True
            case 8:
                for entry in _all_bytes(body, 2):
                    fields = _decode(entry)
                    yield from (*_all_bytes(fields, 3), *_all_bytes(fields, 4))
            case 9:
                self._note_comprehension(base, body)
            case _:
                pass
        for field in _OPERANDS.get(kind, ()):
            yield from _all_bytes(body, field)

    def _note_comprehension(self, encoded: bytes, body: _Message) -> None:
        self._comprehensions += 1
        names = {_text(body, field) for field in _VARIABLES if field in body}
        self._shadows += [Mention((name,), _number(_decode(encoded), 2)) for name in sorted(names & ROOTS)]

    def _chain(self, encoded: bytes) -> tuple[bytes, Path]:
        """Split `a.b["c"].d` into the expression `a` and the names `b`, `c`, `d`."""
        names: list[str] = []
        while True:
            kind, body = _kind(encoded)
            if kind == _SELECT:
                names.append(_text(body, 2))
                encoded = _bytes(body, 1)
            elif kind == _CALL and _text(body, 2) == _INDEX:
                self._indexes = True
                operand, index = _all_bytes(body, 3)
                key = _constant_string(index)
                if key is None:
                    break
                names.append(key)
                encoded = operand
            else:
                break
        return encoded, tuple(reversed(names))

    def _reference(self, root: bytes) -> Path | None:
        kind, body = _kind(root)
        only_tested = kind == _SELECT and 3 in body
        whole = len(self._mentions) == 1 and _kind(self._chain(root)[0])[0] == _IDENTIFIER
        return self._mentions[0].path if whole and not only_tested else None


def _kind(encoded: bytes) -> tuple[int, _Message]:
    """Say which kind of expression this is and give its content."""
    message = _decode(encoded)
    kind = next((field for field in message if field in _KINDS), _CONSTANT)
    return kind, _decode(_bytes(message, kind))


def _constant_string(encoded: bytes) -> str | None:
    kind, body = _kind(encoded)
    return _text(body, 6) if kind == _CONSTANT and 6 in body else None


def _id_of(mention: Mention) -> int:
    return mention.id


def _decode(encoded: bytes) -> _Message:
    """Decode one protobuf message into its fields, by number."""
    message: _Message = {}
    position = 0
    while position < len(encoded):
        tag, position = _varint(encoded, position)
        wire_type = tag & 7
        value: int | bytes
        if wire_type == 0:
            value, position = _varint(encoded, position)
        else:
            size = {1: 8, 5: 4}.get(wire_type)
            if size is None:
                size, position = _varint(encoded, position)
            value, position = encoded[position : position + size], position + size
        message.setdefault(tag >> 3, []).append(value)
    return message


def _varint(encoded: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = encoded[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7


def _all_bytes(message: _Message, field: int) -> list[bytes]:
    return [value for value in message.get(field, ()) if isinstance(value, bytes)]


def _bytes(message: _Message, field: int) -> bytes:
    values = _all_bytes(message, field)
    return values[-1] if values else b""


def _text(message: _Message, field: int) -> str:
    return _bytes(message, field).decode()


def _number(message: _Message, field: int) -> int:
    value = message.get(field, [0])[-1]
    return value if isinstance(value, int) else 0
