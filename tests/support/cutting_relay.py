"""Stands between a client and a server, byte by byte, and cuts a connection where a test wants it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.support.server import RunningServer

CHUNK = 64 << 10


class CuttingRelay:
    """Passes on what a server sends until there were so many bytes, and cuts the connection after them."""

    def __init__(self, server: RunningServer) -> None:
        self.server = RunningServer("")
        """Where to connect instead."""
        self.bytes_left: int | None = None
        """After how many bytes the connection is cut; None is never."""
        self.cuts = 0
        self._upstream = server.address
        self._open: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Cut every connection, without a word of farewell."""
        self.cuts += bool(self._open)
        while self._open:
            self._open.pop().transport.abort()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what both sides say."""
        upstream_reader, upstream_writer = await asyncio.open_connection(*self._upstream)
        self._open |= {writer, upstream_writer}
        asking = asyncio.create_task(self._ask(reader, upstream_writer))
        with suppress(ConnectionError):
            await self._answer(upstream_reader, writer)
        asking.cancel()
        for each in (writer, upstream_writer):
            self._open.discard(each)
            each.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                writer.write(data)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            writer.write(data[: self.bytes_left])
            await writer.drain()
            if self.bytes_left is not None:
                self.bytes_left -= len(data)
                if self.bytes_left <= 0:
                    self.cut()


@asynccontextmanager
async def cutting_relay(server: RunningServer) -> AsyncIterator[CuttingRelay]:
    """Listen on a free port until the end of the block."""
    relay = CuttingRelay(server)
    async with await asyncio.start_server(relay.handle, "127.0.0.1", 0) as listener:
        host, port = listener.sockets[0].getsockname()
        relay.server = RunningServer(f"http://{host}:{port}")
        yield relay
        relay.cut()
