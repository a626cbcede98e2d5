"""One run that many subscribers watch, each over a websocket of its own, beside a bare broadcast of the same texts.

The run goes on with a step when every subscriber has seen the one before: none is told two steps at once.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from benchmarks.audience import Audience, Crowd
from benchmarks.broadcast import BroadcastServer, broadcast_server
from benchmarks.figure import Figure
from benchmarks.gate import STEP
from benchmarks.processor import processor_seconds
from benchmarks.resident import allow_open_files, resident_bytes
from gql_app.core.values import Json
from tests.support.server import ProcessServer, server_process
from tests.support.stalled import stalled

LONGEST_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many watch and how many of them warm the server up; the rounds, and the steps of each."""

    subscribers: int = 1_000
    warm_up: int = 50
    rounds: int = 8
    steps: int = 3


FULL: Final = Sizes()


@dataclass(slots=True)
class Round:
    """What some steps cost a server, and when subscribers were told them."""

    messages: int
    processor_seconds: float
    seconds: float
    slowest_step: float
    delays: list[float]


@dataclass(slots=True)
class Watched:
    """What came of a run that was watched."""

    idle_bytes: int = 0
    stalled_bytes: int = 0
    events: int = 0
    rounds: list[Round] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    """Processor seconds for each message of the bare broadcast, in each round."""
    stalled: list[Round] = field(default_factory=list)
    """The rounds while one more subscriber read nothing."""


def figures(sizes: Sizes = FULL) -> list[Figure]:
    """Measure on a server of its own. That a subscriber misses an event is an error."""
    allow_open_files(4 * sizes.subscribers + 200)
    with server_process("--tools", "benchmarks.gate") as server, broadcast_server() as bare:
        asyncio.run(_perform(server, bare, sizes.warm_up, sizes))
        watched = asyncio.run(_perform(server, bare, sizes.subscribers, sizes))
    many = f"{sizes.subscribers:,} subscribers"
    ours = min(each.processor_seconds / each.messages for each in watched.rounds)
    bare_seconds = min(watched.bare)
    messages, seconds = sum(each.messages for each in watched.rounds), sum(each.seconds for each in watched.rounds)
    usual, beside_stalled = _p99(watched.rounds), _p99(watched.stalled)
    return [
        Figure(name=f"{many}, events told to each", value=watched.events, unit="events"),
        Figure(name=f"{many}, deliveries", value=messages / seconds, unit="messages/s"),
        Figure(name=f"{many}, until all have a step (slowest)", value=_slowest(watched.rounds) * 1e3, unit="ms"),
        Figure(name="bare broadcast, processor time of a message", value=bare_seconds * 1e6, unit="µs"),
        Figure(name=f"{many}, processor time of a message", value=ours * 1e6, unit="µs"),
        Figure(name=f"{many} / bare broadcast", value=ours / bare_seconds, unit="x", at_most=2.5),
        Figure(
            name=f"{many}, server memory",
            value=watched.idle_bytes / sizes.subscribers / 1e3,
            unit="kB each",
            at_most=60,
        ),
        Figure(name=f"{many}, 99 % are told within", value=usual * 1e3, unit="ms"),
        Figure(name="the same beside one that reads nothing", value=beside_stalled * 1e3, unit="ms"),
        Figure(name="with / without one that reads nothing", value=beside_stalled / usual, unit="x", at_most=1.25),
        Figure(
            name="one that reads nothing, server memory",
            value=watched.stalled_bytes / 1e6,
            unit="MB",
            at_most=16,
        ),
    ]


async def _perform(server: ProcessServer, bare: BroadcastServer, count: int, sizes: Sizes) -> Watched:
    """Let `count` subscribers watch a run, in rounds that alternate with those of the bare broadcast."""
    watched = Watched()
    async with asyncio.timeout(LONGEST_SECONDS), asyncio.TaskGroup() as tasks:
        before = resident_bytes(server.process.pid)
        performance = Performance(server, count, 2 * sizes.rounds * sizes.steps + 1)
        crowd = Crowd(bare.ws_url.removesuffix("graphql"), count)
        for listener in [performance.audience.listen() for _ in range(count)]:
            tasks.create_task(listener)
        await performance.audience.all_started(1)
        watched.idle_bytes = resident_bytes(server.process.pid) - before
        listening = [tasks.create_task(crowd.listen()) for _ in range(count)]
        await crowd.all_connected()
        for _ in range(sizes.rounds):
            watched.rounds.append(await performance.play(sizes.steps))
            watched.bare.append(await _broadcast(bare, crowd, performance.texts()))
            before = resident_bytes(server.process.pid)
            with await asyncio.to_thread(_stall, server, performance.run_id):
                await _settled(server)
                watched.stalled.append(await performance.play(sizes.steps))
                watched.stalled_bytes = max(watched.stalled_bytes, resident_bytes(server.process.pid) - before)
            await _settled(server)
        # With the run's end all connections are closed: that is no step like the others.
        await performance.play(1)
        for listener_task in listening:
            listener_task.cancel()
    (watched.events,) = performance.audience.sequences
    return watched


class Performance:
    """A run of many steps, and those who watch it."""

    def __init__(self, server: ProcessServer, count: int, steps: int) -> None:
        self.run_id = submit(server, _chain(steps))
        self.audience = Audience(server.ws_url, self.run_id, count)
        self._process = server.process.pid
        self._steps = steps
        self._step = 0

    async def play(self, steps: int) -> Round:
        """Go on by some steps."""
        audience = self.audience
        told, processor, started, slowest = (
            audience.received,
            processor_seconds(self._process),
            time.perf_counter(),
            0.0,
        )
        audience.delays.clear()
        audience.texts.clear()
        for _ in range(steps):
            self._step += 1
            audience.clock = time.perf_counter()
            os.kill(self._process, STEP)
            await (audience.all_started(self._step + 1) if self._step < self._steps else audience.all_ended())
            slowest = max(slowest, time.perf_counter() - audience.clock)
        return Round(
            messages=audience.received - told,
            processor_seconds=processor_seconds(self._process) - processor,
            seconds=time.perf_counter() - started,
            slowest_step=slowest,
            delays=audience.delays.copy(),
        )

    def texts(self) -> list[str]:
        """Tell what each subscriber was sent in the last round."""
        return self.audience.texts.copy()


async def _broadcast(bare: BroadcastServer, crowd: Crowd, texts: Sequence[str]) -> float:
    """Send texts to everybody; tells the processor seconds that one message to one of them took."""
    before, received = processor_seconds(bare.process.pid), crowd.received
    for number, text in enumerate(texts, 1):
        await asyncio.to_thread(bare.broadcast, text)
        await crowd.until(lambda: crowd.received >= received + number * crowd.count)  # noqa: B023 - awaited at once
    return (processor_seconds(bare.process.pid) - before) / (len(texts) * crowd.count)


def submit(server: ProcessServer, document: Json) -> str:
    """Start a run and tell its id."""
    with server.client() as client:
        answer = client.post("/workflows/", json=document).raise_for_status()
    return str(answer.json()["run_id"])


def _stall(server: ProcessServer, run_id: str) -> ExitStack:
    """Let one more subscribe, to more than there is room for, who reads nothing until the end of the block."""
    with ExitStack() as stack:
        stack.enter_context(stalled(server, run_id))
        return stack.pop_all()


async def _settled(server: ProcessServer) -> None:
    """Wait until a server has done what it can for now."""
    before = -1.0
    while (now := processor_seconds(server.process.pid)) > before + 0.001:
        before = now
        await asyncio.sleep(0.2)


def _p99(rounds: Sequence[Round]) -> float:
    """Tell how long 99 % of the messages take at most, in the round in the middle."""
    return statistics.median(statistics.quantiles(each.delays, n=100)[-1] for each in rounds)


def _slowest(rounds: Sequence[Round]) -> float:
    return max(each.slowest_step for each in rounds)


def _chain(steps: int) -> Json:
    wait = {"tool": "gate.wait", "timeout": {"attemptSeconds": None}}
    nodes = [{"id": f"n{i}", **wait, "dependsOn": [f"n{i - 1}"] if i else []} for i in range(steps)]
    return {"name": "watched", "nodes": nodes}
