"""The clients of a simulation: they submit until it is acknowledged, watch to the end, cancel and retry."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count
from random import Random

from gql_app.core.errors import (
    InvalidArgumentError,
    OverloadedError,
    WorkflowAlreadyFinishedError,
)
from gql_app.core.events import RunEvent
from gql_app.core.ids import Namespace, RunId
from gql_app.core.run import WorkflowRun
from gql_app.core.values import Json
from gql_app.service import RetryFrom
from gql_app.service.filters import UpdateFilter, UpdateTopic
from tests.support.simulation_process import AwayError, Process
from tests.support.simulation_store import Database

EVERYTHING = 1_000_000
LATER = (AwayError, OverloadedError)
TWO_TOPICS = (UpdateTopic.STATUS, UpdateTopic.PROGRESS)
NAMESPACES = (Namespace("north"), Namespace("south"))


@dataclass
class Watched:
    """What one watcher was told."""

    namespace: Namespace
    run_id: RunId
    after: int | None
    """Where it began; None until the state then was told, if it began with that."""
    only: tuple[UpdateTopic, ...] | None = None
    """What it wants to be told of; everything, if that is left out."""
    nodes: tuple[str, ...] | None = None
    sequence: int = 0
    """How far it has come."""
    events: list[RunEvent] = field(default_factory=list)
    shown: WorkflowRun | None = None
    ended: bool = False

    def wants(self, event: RunEvent) -> bool:
        """Tell whether it wants to be told of an event."""
        topics = frozenset(self.only or UpdateTopic)
        return UpdateFilter(topics, None if self.nodes is None else frozenset(self.nodes)).passes(event)


class Clients:
    """Everybody who uses the service; `process` chooses whom to ask."""

    def __init__(self, random: Random, database: Database, process: Callable[[], Process]) -> None:
        self._random = random
        self._database = database
        self._process = process
        self._numbers = count(1)
        self._tasks: list[asyncio.Task[None]] = []
        self.acknowledged: list[tuple[Namespace, RunId]] = []
        self.watched: list[Watched] = []
        self.cancelled: list[tuple[Namespace, RunId, float]] = []
        """The runs whose cancel was acknowledged, and when."""
        self.calm_at: float | None = None
        """When the misfortune stopped."""

    def submit(self, runs: int) -> None:
        """Let so many clients come, each with a document of its own."""
        for _ in range(runs):
            self._go(self._carry(next(self._numbers)))

    async def finished(self) -> None:
        """Wait until everybody has what they wanted."""
        while pending := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(pending)
        for task in self._tasks:
            task.result()

    async def gone(self) -> None:
        """Send everybody away."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    def _go(self, work: Json) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def _carry(self, number: int) -> None:
        random, namespace = self._random, self._random.choice(NAMESPACES)
        document = make_document(random, number)
        await asyncio.sleep(random.random() * 10)
        run = await self._submit(namespace, document, f"key-{number}")
        self._use(namespace, run.run_id)
        if random.random() < 0.2:
            self._go(self._cancel(namespace, run.run_id))
        if random.random() < 0.2:
            self._go(self._retry(namespace, run.run_id))

    async def _submit(self, namespace: Namespace, document: Json, key: str) -> WorkflowRun:
        while True:
            try:
                process = self._process()
                return await process.call(process.service.submit(namespace, document, idempotency_key=key))
            except LATER:
                await self._pause()

    def _use(self, namespace: Namespace, run_id: RunId) -> None:
        self._database.note(f"{run_id[-4:]} is acknowledged")
        self.acknowledged.append((namespace, run_id))
        for _ in range(self._random.randint(1, 2)):
            watched = Watched(namespace, run_id, self._random.choice([0, 0, None]))
            watched.only = self._random.choice([None, None, (UpdateTopic.OUTPUT,), TWO_TOPICS])
            watched.nodes = self._random.choice([None, None, None, ("n0",)])
            self.watched.append(watched)
            self._go(self._watch(watched))

    async def _cancel(self, namespace: Namespace, run_id: RunId) -> None:
        await asyncio.sleep(self._random.random() * 5)
        while True:
            try:
                process = self._process()
                await process.call(process.service.cancel(namespace, run_id, "Enough."))
                self._database.note(f"the cancel of {run_id[-4:]} is acknowledged")
                self.cancelled.append((namespace, run_id, asyncio.get_running_loop().time()))
                return
            except WorkflowAlreadyFinishedError:
                return
            except LATER:
                await self._pause()

    async def _retry(self, namespace: Namespace, run_id: RunId) -> None:
        await self._database.runs.wait(namespace, run_id, after=EVERYTHING)
        while True:
            try:
                process = self._process()
                run = await process.call(process.service.retry(namespace, run_id, self._random.choice(list(RetryFrom))))
                self._use(namespace, run.run_id)
                return
            except InvalidArgumentError:
                return
            except LATER:
                await self._pause()

    async def _watch(self, watched: Watched) -> None:
        """Watch a run to its end, through as many connections as it takes."""
        while not watched.ended:
            process = self._process()
            reading = asyncio.ensure_future(process.call(self._read(process, watched)))
            try:
                patience = None if self.calm_at is not None else self._random.choice([None, self._random.random() * 3])
                await asyncio.wait([reading], timeout=patience)
            finally:
                reading.cancel()
                await asyncio.wait([reading])
            if not reading.cancelled() and not isinstance(reading.exception(), LATER):
                reading.result()
            await self._pause()

    async def _read(self, process: Process, watched: Watched) -> None:
        after = None if watched.after is None else watched.sequence
        told = process.service.watch(
            watched.namespace, watched.run_id, after=after, only=watched.only, nodes=watched.nodes
        )
        async with aclosing(told) as updates:
            async for update in updates:
                if watched.after is None:
                    watched.after = update.sequence
                assert update.sequence >= watched.sequence, "An update goes back."
                watched.sequence = update.sequence
                watched.events.extend(update.events)
                watched.shown = update.run
        watched.ended = True

    async def _pause(self) -> None:
        await asyncio.sleep(0.01 + self._random.random())


def make_document(random: Random, number: int) -> Json:
    """Make a small graph of nodes that fail, hang, wait, depend on conditions, return much, or may run only once."""
    nodes: list[Json] = []
    for index in range(random.randint(1, 5)):
        node = _make_node(random, index)
        for other in range(index):
            if random.random() < 0.3:
                node.setdefault("dependsOn", []).append(f"n{other}")
        if index and random.random() < 0.25:
            node["when"] = f"${{ nodes.n{random.randrange(index)}.status == 'COMPLETED' }}"
        if index and random.random() < 0.25:
            node["input"]["before"] = f"${{ nodes.n{random.randrange(index)}.output.text }}"
        nodes.append(node)
    document: Json = {"name": f"run {number}", "nodes": nodes}
    if random.random() < 0.2:
        document["maximumConcurrency"] = random.randint(1, 2)
    if random.random() < 0.2:
        document["timeoutSeconds"] = random.choice([10.0, 60.0])
    return document


def _make_node(random: Random, index: int) -> Json:
    once = random.random() < 0.25
    timeout: Json = {"attemptSeconds": random.choice([1.0, 5.0])}
    how: Json = {
        "seconds": random.choice([0.0, 0.0, 0.1, 0.7, 3.0]),
        "failures": random.choice([0, 0, 0, 1, 2]),
        "hangs": random.choice([0, 0, 0, 0, 1]),
        "deaf": random.random() < 0.15,
        "size": random.choice([0, 10, 3_000]),
    }
    tool = random.choice(["work", "work", "narrow", "stream", "agent"])
    if tool in {"stream", "agent"}:
        how["pieces"] = random.choice([1, 3, 8])
        how["pause"] = random.choice([0.0, 0.02, 0.2])
        how["doubts"] = random.choice([0, 0, 1])
        how["steps"] = random.choice([1, 2, 3])
        how["limits"] = random.choice([[], [], ["few"], ["slow", "few"]])
        how["tools"] = random.choice([[], ["work"], ["narrow", "narrow"], ["agent", "work"], ["stream", "agent"]])
    if random.random() < 0.2:
        how["beats"] = random.random() < 0.5
        timeout["heartbeatSeconds"] = 0.5
    if random.random() < 0.15:
        timeout["totalSeconds"] = 8.0
    if random.random() < 0.1:
        timeout["queueSeconds"] = 2.0
    return {
        "id": f"n{index}",
        "tool": tool,
        "input": how,
        "retry": {
            "maximumAttempts": 1 if once else random.choice([3, 20]),
            "initialIntervalSeconds": random.choice([0.05, 1.0]),
            "maximumIntervalSeconds": 2.0,
        },
        "timeout": timeout,
        "continueOnFailure": random.random() < 0.3,
        "limits": random.choice([[], [], [], [], ["few"], ["slow"], ["few", "slow"]]),
    }
