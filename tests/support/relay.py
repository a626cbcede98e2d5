"""Stands between a client and a server and cuts the connection where a test wants it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

PROTOCOL = Subprotocol("graphql-transport-ws")


@dataclass
class Relay:
    """Passes websocket messages on, and cuts every connection after so many results."""

    upstream: str
    results: int
    connections: int = 0
    """How many there have been."""
    accepting: int | None = None
    """How many there may be; the others are cut at once."""
    url: str = ""

    async def handle(self, client: ServerConnection) -> None:
        """Pass on what both sides say."""
        self.connections += 1
        if self.accepting is not None and self.connections > self.accepting:
            client.transport.abort()
            return
        async with connect(self.upstream, subprotocols=[PROTOCOL], proxy=None, max_size=None) as server:
            there = asyncio.create_task(self._pass_on(client, server))
            with suppress(ConnectionClosed):
                await self._answer(client, server)
            there.cancel()

    async def _answer(self, client: ServerConnection, server: ClientConnection) -> None:
        told = 0
        async for message in server:
            told += '"type":"next"' in str(message).replace(" ", "")[:200]
            if told > self.results:
                client.transport.abort()
                return
            await client.send(message)

    async def _pass_on(self, client: ServerConnection, server: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            async for message in client:
                await server.send(message)
        await server.close()


@asynccontextmanager
async def relay(upstream: str, *, results: int, accepting: int | None = None) -> AsyncIterator[Relay]:
    """Listen on a free port until the end of the block."""
    between = Relay(upstream, results, accepting=accepting)
    async with serve(between.handle, "127.0.0.1", 0, subprotocols=[PROTOCOL], max_size=None) as server:
        between.url = f"http://127.0.0.1:{_port(server)}"
        yield between


def _port(server: Server) -> int:
    [listener] = server.sockets
    port: int = listener.getsockname()[1]
    return port
