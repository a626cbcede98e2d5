"""Bodies that are shown as they come: as text, by lines, or as server-sent events."""

import codecs
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import Final, Protocol, assert_never

import httpx
import orjson

from gql_app.core.errors import ToolError
from gql_app.core.values import Json
from gql_app.tools.http_body import character_set, content_type, find, read_pieces, too_large

READ_FOR_KEPT: Final = 16
"""Where only a part of each line or event is kept, this many times the limit is read."""
_END_OF_EVENTS: Final = "[DONE]"
_MISSING: Final = object()


class StreamFormat(StrEnum):
    """What a stream is made of."""

    TEXT = "text"
    LINES = "lines"
    SSE = "sse"


async def read_stream(
    response: httpx.Response,
    stream: StreamFormat,
    select: str | None,
    *,
    maximum: int,
    heartbeat: Callable[[], None],
    emit: Callable[[str], None],
) -> str:
    """Show a body while it comes, and give all that was shown. Raises `ToolError`."""
    if stream is StreamFormat.SSE and content_type(response) != "text/event-stream":
        raise ToolError(
            f"The answer is {content_type(response)[:60] or 'of no content type'}, not text/event-stream.",
            type="InvalidResponseBody",
        )
    charset = "utf-8" if stream is StreamFormat.SSE else character_set(response)
    decoder = codecs.getincrementaldecoder(charset)("replace")
    shown = _Shown(stream, select, maximum, emit)
    limit = maximum if select is None else maximum * READ_FOR_KEPT
    async for piece in read_pieces(response, limit, heartbeat):
        shown.add(decoder.decode(piece))
    shown.add(decoder.decode(b"", final=True))
    return shown.end()


class Units(Protocol):
    """Takes a text apart, piece by piece."""

    def split(self, text: str) -> Iterable[str]:
        """Give what is complete with this piece."""
        ...

    def end(self) -> Iterable[str]:
        """Give what is complete with the end."""
        ...


def units_of(stream: StreamFormat) -> Units:
    """Begin to take a stream apart."""
    match stream:
        case StreamFormat.TEXT:
            return _Text()
        case StreamFormat.LINES:
            return _Lines()
        case StreamFormat.SSE:
            return _Events()
        case _:
            assert_never(stream)


class _Shown:
    """What was shown of a stream."""

    def __init__(self, stream: StreamFormat, select: str | None, maximum: int, emit: Callable[[str], None]) -> None:
        self._units = units_of(stream)
        self._select = select
        self._maximum = maximum
        self._emit = emit
        self._size = 0
        self._parts: list[str] = []
        self._nothing_in: Json = _MISSING
        """What was read last and held nothing at `select`."""

    def add(self, text: str) -> None:
        for unit in self._units.split(text):
            self._show(unit)

    def end(self) -> str:
        for unit in self._units.end():
            self._show(unit)
        if self._select is not None and not self._parts and self._nothing_in is not _MISSING:
            find(self._nothing_in, self._select)
        return "".join(self._parts)

    def _show(self, unit: str) -> None:
        text = unit if self._select is None else self._selected(unit, self._select)
        if not text:
            return
        self._size += len(text.encode(errors="replace"))
        if self._size > self._maximum:
            raise too_large(self._maximum)
        self._parts.append(text)
        self._emit(text)

    def _selected(self, unit: str, select: str) -> str:
        unit = unit.strip()
        if not unit or unit == _END_OF_EVENTS:
            return ""
        try:
            value = orjson.loads(unit)
        except orjson.JSONDecodeError as error:
            raise ToolError(
                f"A piece of the stream is not JSON: {error.msg} at its character {error.pos + 1}.",
                type="InvalidResponseBody",
            ) from error
        found = find(value, select, _MISSING)
        if found is _MISSING:
            self._nothing_in = value
            return ""
        if found is None or isinstance(found, str):
            return found or ""
        return orjson.dumps(found).decode() + "\n"


class _Text:
    """Every piece as it comes."""

    def split(self, text: str) -> Iterable[str]:
        return (text,)

    def end(self) -> Iterable[str]:
        return ()


class _Lines:
    """Every line with its end, which is a line feed however it was written."""

    def __init__(self) -> None:
        self._begun: list[str] = []
        self._after_return = False

    def split(self, text: str) -> Iterator[str]:
        if not text:
            return
        if self._after_return and text.startswith("\n"):
            text = text[1:]
        self._after_return = text.endswith("\r")
        *lines, rest = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for line in lines:
            yield "".join([*self._begun, line, "\n"])
            self._begun.clear()
        if rest:
            self._begun.append(rest)

    def end(self) -> Iterator[str]:
        if self._begun:
            yield "".join(self._begun)


class _Events:
    """The data of every server-sent event, with a line feed after it. One that is cut off does not count."""

    def __init__(self) -> None:
        self._lines = _Lines()
        self._data: list[str] = []
        self._first = True

    def split(self, text: str) -> Iterator[str]:
        for line in self._lines.split(text):
            if self._first:
                line, self._first = line.removeprefix("\ufeff"), False  # noqa: PLW2901 - the mark is no part of it
            if line == "\n":
                if self._data:
                    yield "".join(self._data)
                self._data.clear()
            else:
                name, _, value = line.rstrip("\n").partition(":")
                if name == "data":
                    self._data.append(value.removeprefix(" ") + "\n")

    def end(self) -> Iterable[str]:
        return ()
