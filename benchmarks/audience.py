"""Many who listen on websockets of a server, and how far they are together."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from gql_app.client.operations import load_operation
from gql_app.core.values import Json

CONNECTING_AT_ONCE: Final = 50
PROTOCOL: Final = Subprotocol("graphql-transport-ws")


class Crowd:
    """Listeners who connect a few at a time, and who are waited for together."""

    def __init__(self, url: str, count: int) -> None:
        self.received = 0
        self.count = count
        self._url = url
        self._connected = 0
        self._changed = asyncio.Event()
        self._connecting = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def listen(self) -> None:
        """Count what comes as one more listener, until the connection ends."""
        async with await self.connect() as connection:
            async for _ in connection:
                self.received += 1
                self.change()

    async def connect(self, protocols: list[Subprotocol] | None = None) -> ClientConnection:
        """Connect once it is one's turn."""
        async with self._connecting:
            connection = await connect(
                self._url, subprotocols=protocols, compression=None, proxy=None, ping_interval=None, open_timeout=60
            )
        self._connected += 1
        self.change()
        return connection

    async def all_connected(self) -> None:
        """Wait until everybody is there."""
        await self.until(lambda: self._connected == self.count)

    async def all_received(self, messages: int) -> None:
        """Wait until everybody has so many messages."""
        await self.until(lambda: self.received >= messages * self.count)

    def change(self) -> None:
        """Let those who wait look again."""
        self._changed.set()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until something is so."""
        while not reached():
            self._changed.clear()
            await self._changed.wait()


class Audience(Crowd):
    """All subscribers of one run. Every event must come to each of them once and in order."""

    def __init__(self, url: str, run_id: str, count: int) -> None:
        super().__init__(url, count)
        self.sequences: set[int] = set()
        self.texts: list[str] = []
        """What the first of them was sent since somebody took a look."""
        self.delays: list[float] = []
        """How long after the clock was set the messages came."""
        self.clock = 0.0
        self._variables = {"id": run_id, "after": 0}
        self._started = self._ended = 0
        self._first: ClientConnection | None = None

    async def listen(self) -> None:
        """Watch as one more subscriber, to the end."""
        connection = await self.connect([PROTOCOL])
        async with connection:
            self._first = self._first or connection
            await self._watch(connection)

    async def all_started(self, step: int) -> None:
        """Wait until every subscriber knows that the step has started."""
        await self.until(lambda: self._started >= step * self.count)

    async def all_ended(self) -> None:
        """Wait until every subscriber knows that the run has ended."""
        await self.until(lambda: self._ended == self.count)

    async def _watch(self, connection: ClientConnection) -> None:
        await connection.send('{"type":"connection_init"}')
        assert orjson.loads(await connection.recv())["type"] == "connection_ack"
        payload = {"query": load_operation("WorkflowUpdates"), "variables": self._variables}
        await connection.send(orjson.dumps({"id": "1", "type": "subscribe", "payload": payload}).decode())
        sequence = 0
        while True:
            text = await connection.recv()
            self.delays.append(time.perf_counter() - self.clock)
            message = orjson.loads(text)
            if message["type"] == "complete":
                break
            if message["type"] == "ping":
                await connection.send('{"type":"pong"}')
                continue
            if connection is self._first:
                self.texts.append(str(text))
            sequence = self._take(message["payload"]["data"]["workflowUpdates"]["events"], sequence)
        self.sequences.add(sequence)
        self._ended += 1
        self.change()

    def _take(self, events: list[Json], after: int) -> int:
        """Count a message of events; tells the sequence of the last."""
        self.received += 1
        sequences = [event["sequence"] for event in events]
        assert sequences == list(range(after + 1, after + len(events) + 1)), f"After {after} came {sequences}."
        self._started += sum(event["__typename"] == "AttemptStarted" for event in events)
        self.change()
        return after + len(events)
