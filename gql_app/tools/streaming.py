"""Generators as tools: each text they yield is streamed, and all of them joined are the output."""

import asyncio
import inspect
import threading
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from gql_app.core.errors import InvalidOutputError, InvalidToolError
from gql_app.core.events import LogLevel, Usage
from gql_app.core.values import Json
from gql_app.ports import Reports, ToolContext

_STREAMS: Final = (AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator)
_QUOTES: Final = 2


async def stream_async(begin: Callable[[ToolContext], AsyncGenerator[str, None]], context: ToolContext) -> str:
    """Stream what a generator yields and join it; the generator is closed however that ends."""
    joined = _Joined(context)
    async with aclosing(begin(joined.context())) as pieces:
        async for piece in pieces:
            joined.take(piece)
            # A generator that never waits would keep everything else, and its own timeout, from their turn.
            await asyncio.sleep(0)
    return joined.text()


def stream(begin: Callable[[ToolContext], Generator[str, None, None]], context: ToolContext) -> str:
    """Stream what a generator yields in a thread and join it; the generator is closed however that ends."""
    joined = _Joined(context)
    with closing(begin(joined.context())) as pieces:
        for piece in pieces:
            joined.take(piece)
    return joined.text()


def is_stream(function: Callable[..., Json]) -> bool:
    """Tell whether a function is a generator, async or sync."""
    return inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function)


def check_stream(name: str, hint: Json) -> None:
    """Check the return annotation of a generator. Raises `InvalidToolError` for one that yields what is no text."""
    hint = _bare(hint)
    if hint is Any:
        return
    origin: Json = get_origin(hint)
    origin = hint if origin is None else origin
    if origin not in _STREAMS:
        raise InvalidToolError(
            f"Tool {name!r}: it is a generator that says it returns {_told(hint)}; write `AsyncIterator[str]` for"
            " `async def`, `Iterator[str]` for `def`."
        )
    yielded, *others = get_args(hint) or (Any,)
    if _bare(yielded) not in (str, Any):
        raise InvalidToolError(
            f"Tool {name!r}: it yields {_told(yielded)}, and only text can be streamed: yield `str`, or return one"
            " value instead."
        )
    if origin is Generator and others[1:] and others[1] not in (None, type(None), Any):
        raise InvalidToolError(
            f"Tool {name!r}: what it returns ({_told(others[1])}) would be lost: its output is the text it yields."
        )


class _Joined:
    """The text so far, which is never more than an output may be. Any thread may add to it."""

    def __init__(self, context: ToolContext) -> None:
        self._context = context
        self._pieces: list[str] = []
        self._bytes = _QUOTES
        self._lock = threading.Lock()

    def context(self) -> ToolContext:
        """Make a context in which what the generator emits by itself is part of the output, too."""
        return msgspec.structs.replace(self._context, reports=_Reports(self, self._context.reports))

    def take(self, piece: Json) -> None:
        """Stream what was yielded. Raises `InvalidOutputError` for what is no text or would make too much of it.

        Raises `CancelledError` if the attempt was asked to stop: here a generator can be, whatever it does itself.
        """
        if not isinstance(piece, str):
            raise InvalidOutputError(f"The tool yielded {_kind(piece)} where only text can be streamed: yield `str`.")
        if piece:
            self.add(piece)
        else:
            self._context.heartbeat()
        if self._context.cancelled():
            raise asyncio.CancelledError

    def add(self, piece: str) -> None:
        """Stream a piece."""
        with self._lock:
            # Escaped, it can only be longer: what exceeds the limit here would do so in the end.
            self._bytes += len(piece.encode("utf-8", "surrogatepass"))
            if self._bytes > self._context.maximum_output_bytes:
                raise InvalidOutputError(
                    f"The tool streamed more than the {self._context.maximum_output_bytes} bytes that an output may"
                    " take."
                )
            self._pieces.append(piece)
            self._context.emit(piece)

    def text(self) -> str:
        """Join everything."""
        return "".join(self._pieces)


@dataclass(frozen=True, slots=True)
class _Reports:
    """Takes what a generator emits for its output, and passes everything on."""

    joined: _Joined
    behind: Reports

    def emit(self, text: str) -> None:
        """Take text."""
        self.joined.add(text)

    def log(self, level: LogLevel, message: str, fields: Mapping[str, Json]) -> None:
        """Pass on."""
        self.behind.log(level, message, fields)

    def progress(self, fraction: float | None, message: str | None) -> None:
        """Pass on."""
        self.behind.progress(fraction, message)

    def use(self, usage: Usage) -> None:
        """Pass on."""
        self.behind.use(usage)


def _bare(hint: Json) -> Json:
    origin: Json = get_origin(hint)
    return get_args(hint)[0] if origin is Annotated else hint


def _told(hint: Json) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("collections.abc.", "").replace("typing.", "")


def _kind(value: Json) -> str:
    return "None" if value is None else f"a value of type `{type(value).__name__}`"
