"""Lines of a server's standard output, read within limits."""

import re
from collections.abc import Iterator
from typing import Final

import orjson
from mcp import types
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

from gql_app.mcp.codes import TOO_BIG, UNREADABLE

KEPT: Final = 400
"""How much is kept of both ends of a line that is too long: the id of a message stands at one of them."""

_FIRST: Final = re.compile(rb'^\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*("[^"\\]{1,100}"|\d{1,18})\s*,')
_LAST: Final = re.compile(rb',\s*"id"\s*:\s*("[^"\\]{1,100}"|\d{1,18})\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')


class LongLine(bytes):
    """Both ends of a line that was longer than it may be."""


class Lines:
    """Cuts what comes in into lines, and never holds more than one of them, up to `maximum` bytes of it."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._parts: list[bytes] = []
        self._size = 0
        self._head: bytes | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take in what came, and give the lines that it ends, without their ends."""
        *ended, rest = data.split(b"\n")
        for part in ended:
            self._add(part)
            yield self._end()
        self._add(rest)

    def _add(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)
        if self._size > self._maximum:
            line = b"".join(self._parts)
            self._head = self._head or line[:KEPT]
            self._parts, self._size = [line[-KEPT:]], self._maximum

    def _end(self) -> bytes:
        line = b"".join(self._parts)
        head, self._head, self._parts, self._size = self._head, None, [], 0
        return line if head is None else LongLine(head + line[-KEPT:])


def read_message(line: bytes, maximum: int) -> SessionMessage | None:
    """Read a message. One that cannot be read but says which request it answers is an error for that request."""
    if isinstance(line, LongLine):
        return _error(line, TOO_BIG, f"The answer is longer than {maximum} bytes.")
    try:
        # By orjson, since the library's own parser refuses what is nested a little deeper than usual.
        return SessionMessage(types.jsonrpc_message_adapter.validate_python(orjson.loads(line), by_name=False))
    except (orjson.JSONDecodeError, ValidationError):
        return _error(line, UNREADABLE, "The answer is not a message of JSON-RPC.")


def _error(line: bytes, code: int, message: str) -> SessionMessage | None:
    found = _FIRST.match(line[:KEPT]) or _LAST.search(line[-KEPT:])
    if found is None:
        return None
    error = types.ErrorData(code=code, message=message)
    return SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=orjson.loads(found[1]), error=error))
