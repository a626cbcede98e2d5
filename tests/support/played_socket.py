"""A websocket both ends of which are in this process: the real server's side, and one that the test plays."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.types import ASGIApp
from starlette.types import Message as Event

from gql_app.bootstrap import Application
from gql_app.core.values import Json
from gql_app.schema.execution import Operations
from gql_app.telemetry.instruments import Instruments
from gql_app.web.closing import Closing
from gql_app.web.gate import Gate
from gql_app.web.sockets import GraphQLSockets
from gql_app.web.sockets.messages import PROTOCOL
from tests.support.service import Stage


class PlayedSocket:
    """The client's end."""

    def __init__(self, scope: Json) -> None:
        self.scope = scope
        self.reading = asyncio.Event()
        """Cleared, this end reads nothing, and has no room for anything."""
        self.reading.set()
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self._sent: asyncio.Queue[Event] = asyncio.Queue()
        self._sent.put_nowait({"type": "websocket.connect"})

    async def run(self, app: ASGIApp) -> None:
        """Let the server's end talk until it ends."""
        await app(self.scope, self._sent.get, self._take)

    def leave(self) -> None:
        """Go away."""
        self.reading.set()
        self._sent.put_nowait({"type": "websocket.disconnect", "code": 1006})

    def send(self, **message: Json) -> None:
        """Send one message."""
        self.send_text(json.dumps(message))

    def send_text(self, text: str) -> None:
        """Send what need not be a message."""
        self._sent.put_nowait({"type": "websocket.receive", "text": text})

    def subscribe(self, query: str, variables: Json = None, *, id: str = "1") -> None:
        """Start an operation."""
        self.send(id=id, type="subscribe", payload={"query": query, "variables": variables})

    async def receive(self) -> Json:
        """Give the next message."""
        event = await self.events.get()
        if event["type"] == "websocket.accept":
            event = await self.events.get()
        assert event["type"] == "websocket.send", event
        return json.loads(event["text"])

    async def closed(self) -> tuple[int, str]:
        """Read until the other side closes the connection, and tell its code and reason."""
        while (event := await self.events.get())["type"] != "websocket.close":
            pass
        return event["code"], event["reason"]

    async def _take(self, event: Event) -> None:
        await self.reading.wait()
        self.events.put_nowait(event)


class Sockets:
    """A server that has nothing but websockets, over a stage."""

    def __init__(self, stage: Stage, *, gate: Gate | None = None) -> None:
        self._app = GraphQLSockets(stage.settings)
        self._state = {
            "application": Application(
                service=stage.service,
                repository=stage.repository,
                executor=stage.executor,
                tools=stage.tools,
                instruments=Instruments(stage.settings),
                settings=stage.settings,
            ),
            "operations": Operations(stage.settings),
            "gate": gate or Gate(),
            "closing": Closing(),
        }

    @asynccontextmanager
    async def open(
        self, *, headers: Sequence[tuple[bytes, bytes]] = (), protocols: Sequence[str] = (PROTOCOL,)
    ) -> AsyncIterator[PlayedSocket]:
        """Ask for a websocket, and leave it at the end of the block."""
        socket = PlayedSocket(
            {
                "type": "websocket",
                "path": "/graphql",
                "headers": list(headers),
                "subprotocols": list(protocols),
                "extensions": {},
                "state": self._state,
            }
        )
        serving = asyncio.create_task(socket.run(self._app))
        try:
            yield socket
        finally:
            socket.leave()
            await serving

    @asynccontextmanager
    async def connect(self, payload: Json = None) -> AsyncIterator[PlayedSocket]:
        """Open a websocket that has introduced itself, and leave it at the end of the block."""
        async with self.open() as socket:
            socket.send(type="connection_init", payload=payload)
            assert await socket.receive() == {"type": "connection_ack"}
            yield socket
