"""A client of graphql-transport-ws that does no more than the protocol, so that tests can also break it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from gql_app.core.values import Json

PROTOCOL = "graphql-transport-ws"


class SocketClient:
    """One connection. Messages go and come as JSON."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **message: Json) -> None:
        """Send one message."""
        await self.connection.send(json.dumps(message))

    async def send_text(self, text: str) -> None:
        """Send what need not be a message."""
        await self.connection.send(text)

    async def receive(self) -> Json:
        """Give the next message; one that asks whether we are there is answered, however slow the test."""
        while True:
            data = await self.connection.recv()
            assert isinstance(data, str), "A message must be text."
            message: Json = json.loads(data)
            if message["type"] != "ping":
                return message
            await self.send(type="pong")

    async def introduce(self) -> None:
        """Do what comes before all else."""
        await self.send(type="connection_init")
        assert (await self.receive())["type"] == "connection_ack"

    async def subscribe(self, query: str, variables: Json = None, *, id: str = "1") -> None:
        """Start an operation."""
        await self.send(id=id, type="subscribe", payload={"query": query, "variables": variables})

    async def results(self, query: str, variables: Json = None, *, id: str = "1") -> AsyncIterator[Json]:
        """Run the only operation of this connection and give the data of its results until it completes."""
        await self.subscribe(query, variables, id=id)
        while (message := await self.receive())["type"] == "next":
            assert message["id"] == id
            assert "errors" not in message["payload"], message
            yield message["payload"]["data"]
        assert message == {"id": id, "type": "complete"}

    async def closed(self) -> tuple[int, str]:
        """Read until the other side closes the connection, and tell its code and reason."""
        frame = None
        try:
            while True:
                await self.connection.recv()
        except ConnectionClosed as closed:
            frame = closed.rcvd
        assert frame is not None, "The connection was cut."
        return frame.code, frame.reason


@asynccontextmanager
async def connect(
    url: str, *, introduced: bool = True, protocol: str = PROTOCOL, **options: Json
) -> AsyncIterator[SocketClient]:
    """Open a connection, by default one that has introduced itself."""
    async with open_socket(url, subprotocols=[Subprotocol(protocol)], proxy=None, **options) as connection:
        client = SocketClient(connection)
        if introduced:
            await client.introduce()
        yield client
