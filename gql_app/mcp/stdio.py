"""The transport to a server that we start: messages over its standard input and output, a line each."""

import logging
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from gql_app.mcp import process
from gql_app.mcp.lines import Lines, read_message
from gql_app.mcp.troubles import Troubles

logger: Final = logging.getLogger(__name__)

CHUNK: Final = 64 << 10
LONGEST_ERROR: Final = 4_096
"""How much is kept of a line of its standard error."""
SHOWN: Final = 300
"""How much of a line is shown in the log."""
LINES_LOGGED: Final = 200
"""Lines of its standard error that are logged each time it is started, and then one for each as many more."""
NOISE_LOGGED: Final = 3

_LOOK: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Command:
    """What is started, and how."""

    program: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    directory: str | None
    maximum_bytes: int
    hide: Callable[[str], str]


@asynccontextmanager
async def stdio_transport(
    server: str, command: Command, troubles: Troubles
) -> AsyncIterator[
    tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]
]:
    """Start a server and talk to it; at the end of the block it has ended. Raises `OSError`."""
    started = await process.start(command.program, command.arguments, command.environment, command.directory)
    told, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, asked = anyio.create_memory_object_stream[SessionMessage](0)
    talk = _Talk(server, started, command, troubles)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(talk.listen, told)
            tasks.start_soon(talk.write, asked)
            tasks.start_soon(talk.log_errors)
            tasks.start_soon(talk.watch)
            try:
                yield incoming, outgoing
            finally:
                await process.end(started)
                tasks.cancel_scope.cancel()
    finally:
        for stream in (told, incoming, outgoing, asked):
            stream.close()


class _Talk:
    """The tasks of one started server."""

    def __init__(self, server: str, started: Process, command: Command, troubles: Troubles) -> None:
        self._server = server
        self._process = started
        self._command = command
        self._troubles = troubles
        self._last_words = ""
        self._said_all = anyio.Event()
        """Set when its standard error has ended."""
        self._noise = 0

    async def listen(self, told: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        """Pass on what the server says; its end of the pipe is the end of the connection."""
        assert self._process.stdout is not None
        lines = Lines(self._command.maximum_bytes)
        async with told:
            try:
                while data := await self._process.stdout.read(CHUNK):
                    for line in lines.feed(data):
                        await self._pass_on(line, told)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                # Nobody listens any more, but a server that cannot write would not see that it should end.
                while await self._process.stdout.read(CHUNK):
                    pass
            self._troubles.lose(await self._how_it_ended())

    async def _pass_on(self, line: bytes, told: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        if not line.strip():
            return
        message = read_message(line, self._command.maximum_bytes)
        if message is not None:
            await told.send(message)
            return
        self._noise += 1
        shown = self._show(line)
        self._troubles.noise = shown
        if self._noise <= NOISE_LOGGED:
            logger.warning("MCP server %r writes to its standard output what is no message: %s", self._server, shown)

    async def write(self, asked: MemoryObjectReceiveStream[SessionMessage]) -> None:
        """Send the server what we say."""
        assert self._process.stdin is not None
        try:
            async with asked:
                async for message in asked:
                    text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                    self._process.stdin.write(f"{text}\n".encode())
                    await self._process.stdin.drain()
        except (ConnectionError, RuntimeError):
            self._troubles.lose(await self._how_it_ended())

    async def log_errors(self) -> None:
        """Log what the server writes to its standard error, within limits, and keep its last words."""
        assert self._process.stderr is not None
        lines, count = Lines(LONGEST_ERROR), 0
        while data := await self._process.stderr.read(CHUNK):
            for line in filter(None, map(self._show, lines.feed(data))):
                self._last_words = line
                count += 1
                if count <= LINES_LOGGED or count % LINES_LOGGED == 0:
                    logger.info("MCP server %r: %s", self._server, line, extra={"line": count})
        self._said_all.set()

    async def watch(self) -> None:
        """See that the server has ended, also if something that it started holds the pipes."""
        while not await process.exited(self._process, _LOOK):
            pass
        await anyio.sleep(_LOOK)
        self._troubles.lose(await self._how_it_ended())

    async def _how_it_ended(self) -> str:
        if await process.exited(self._process, _LOOK):
            # Its last words may still be on their way, or the pipe is held by what it has started.
            with anyio.move_on_after(_LOOK):
                await self._said_all.wait()
        code = self._process.returncode
        words = f": {self._last_words}" if self._last_words else ""
        if code is None:
            return f"It closed its standard output{words}"
        return f"It ended by signal {-code}{words}" if code < 0 else f"It ended with exit code {code}{words}"

    def _show(self, line: bytes) -> str:
        text = line[:LONGEST_ERROR].decode("utf-8", "replace").rstrip()
        printable = "".join(character if character.isprintable() else " " for character in text)
        return self._command.hide(printable)[:SHOWN]
