"""One run that many subscribers watch, each over a websocket of its own, on a real server.

The run goes on with a step when every subscriber has seen the one before: none is told two steps at once.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks.figure import Figure
from benchmarks.resident import allow_open_files, resident_bytes
from gql_app.client.operations import load_operation
from gql_app.core.values import Json
from tests.support.server import ProcessServer, server_process

LONGEST_SECONDS: Final = 300.0
CONNECTING_AT_ONCE: Final = 50
PROTOCOL: Final = Subprotocol("graphql-transport-ws")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many watch, for how many steps, and how many of them warm the server up."""

    subscribers: int = 1_000
    steps: int = 10
    warm_up: int = 50


FULL: Final = Sizes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What came of a run that was watched."""

    events: int
    deliveries: int
    seconds: float
    slowest_step: float
    memory: int


class Audience:
    """All subscribers of one run, and how far they are together."""

    def __init__(self, url: str, run_id: str, count: int) -> None:
        self.deliveries = 0
        self.sequences: set[int] = set()
        self._url = url
        self._variables = {"id": run_id, "after": 0}
        self._count = count
        self._started = self._ended = 0
        self._changed = asyncio.Event()
        self._connecting = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def watch(self) -> None:
        """Watch as one more subscriber, to the end; every event must come once and in order."""
        async with self._connecting:
            opening = connect(
                self._url, subprotocols=[PROTOCOL], compression=None, proxy=None, ping_interval=None, open_timeout=60
            )
            connection = await opening
        async with connection:
            await self._read(connection)

    async def all_started(self, step: int) -> None:
        """Wait until every subscriber knows that the step has started."""
        await self._wait(lambda: self._started >= step * self._count)

    async def all_ended(self) -> None:
        """Wait until every subscriber knows that the run has ended."""
        await self._wait(lambda: self._ended == self._count)

    async def _read(self, connection: ClientConnection) -> None:
        await _send(connection, type="connection_init")
        assert (await _receive(connection))["type"] == "connection_ack"
        payload = {"query": load_operation("WorkflowUpdates"), "variables": self._variables}
        await _send(connection, id="1", type="subscribe", payload=payload)
        sequence = 0
        while (message := await _receive(connection))["type"] == "next":
            sequence = self._take(message["payload"]["data"]["workflowUpdates"]["events"], sequence)
        assert message == {"id": "1", "type": "complete"}, message
        self.sequences.add(sequence)
        self._ended += 1
        self._changed.set()

    def _take(self, events: list[Json], after: int) -> int:
        """Count a message of events; tells the sequence of the last."""
        self.deliveries += 1
        sequences = [event["sequence"] for event in events]
        assert sequences == list(range(after + 1, after + len(events) + 1)), f"After {after} came {sequences}."
        self._started += sum(event["__typename"] == "AttemptStarted" for event in events)
        self._changed.set()
        return after + len(events)

    async def _wait(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self._changed.clear()
            await self._changed.wait()


def figures(sizes: Sizes = FULL) -> list[Figure]:
    """Measure on a server of its own. That a subscriber misses an event is an error."""
    allow_open_files(2 * sizes.subscribers + 200)
    with server_process("--tools", "benchmarks.gate") as server:
        asyncio.run(perform(server, sizes.warm_up, sizes.steps))
        watched = asyncio.run(perform(server, sizes.subscribers, sizes.steps))
    many = f"{sizes.subscribers:,} subscribers"
    told = sizes.subscribers * watched.events
    return [
        Figure(name=f"{many}, events told to each", value=watched.events, unit="events"),
        Figure(name=f"{many}, deliveries", value=watched.deliveries / watched.seconds, unit="messages/s"),
        Figure(name=f"{many}, events delivered", value=told / watched.seconds, unit="events/s"),
        Figure(name=f"{many}, until all have a step (slowest)", value=watched.slowest_step * 1e3, unit="ms"),
        Figure(name=f"{many}, server memory", value=watched.memory / sizes.subscribers / 1024, unit="KiB each"),
    ]


async def perform(server: ProcessServer, count: int, steps: int) -> Watched:
    """Let `count` subscribers watch a run of `steps` nodes."""
    async with asyncio.timeout(LONGEST_SECONDS), asyncio.TaskGroup() as tasks:
        before = resident_bytes(server.process.pid)
        audience = Audience(server.ws_url, submit(server, _chain(steps)), count)
        for _ in range(count):
            tasks.create_task(audience.watch())
        await audience.all_started(1)
        memory = resident_bytes(server.process.pid) - before
        told, slowest, started = audience.deliveries, 0.0, time.perf_counter()
        for step in range(1, steps + 1):
            opened = time.perf_counter()
            await asyncio.to_thread(submit, server, {"name": "open", "nodes": [{"id": "open", "tool": "gate.open"}]})
            await (audience.all_started(step + 1) if step < steps else audience.all_ended())
            slowest = max(slowest, time.perf_counter() - opened)
        seconds = time.perf_counter() - started
    (events,) = audience.sequences
    deliveries = audience.deliveries - told
    return Watched(events=events, deliveries=deliveries, seconds=seconds, slowest_step=slowest, memory=memory)


def submit(server: ProcessServer, document: Json) -> str:
    """Start a run and tell its id."""
    with server.client() as client:
        answer = client.post("/workflows/", json=document).raise_for_status()
    return str(answer.json()["run_id"])


def _chain(steps: int) -> Json:
    wait = {"tool": "gate.wait", "timeout": {"attemptSeconds": None}}
    nodes = [{"id": f"n{i}", **wait, "dependsOn": [f"n{i - 1}"] if i else []} for i in range(steps)]
    return {"name": "watched", "nodes": nodes}


async def _send(connection: ClientConnection, **message: Json) -> None:
    await connection.send(orjson.dumps(message).decode())


async def _receive(connection: ClientConnection) -> Json:
    return orjson.loads(await connection.recv())
