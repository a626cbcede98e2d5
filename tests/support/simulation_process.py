"""A process of a simulation: the whole service on a connection to the shared store, until it dies."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from gql_app.core.errors import ToolError
from gql_app.core.events import AttemptStarted
from gql_app.core.formulas import Formula, evaluate_here
from gql_app.core.ids import Namespace, NodeKey, RunId
from gql_app.core.values import Json
from gql_app.engine.elected import ElectedExecutor
from gql_app.engine.executor import AsyncioExecutor
from gql_app.ports import ToolContext
from gql_app.service import WorkflowService
from gql_app.testing.virtual_time import VirtualClock
from tests.support.engine import Toolbox, plain
from tests.support.simulation_loop import SeededLoop
from tests.support.simulation_store import Connection, Database

T = TypeVar("T")
HANGS = 3_600.0
STUBBORN_SECONDS = 3.0


class AwayError(Exception):
    """The process died before it answered."""


class Inline:
    """An evaluator that trusts every expression."""

    async def evaluate(
        self, formula: Formula, scope: Mapping[str, Json], *, namespace: Namespace, run_id: RunId
    ) -> Json:
        return evaluate_here(formula, scope)


@dataclass
class Calls:
    """Every call of a tool there has been in any process, and what was wrong with it."""

    database: Database
    count: "Counter[tuple[RunId, str, int]]" = field(default_factory=Counter)
    keys: dict[tuple[RunId, str], set[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    async def add(self, process: str, context: ToolContext) -> None:
        """Note a call. It may only happen once its beginning is stored."""
        run_id, node, attempt = context.run_id, context.node_id, context.attempt
        self.database.note(f"{process} calls {run_id[-4:]} {node}#{attempt}")
        self.count[run_id, node, attempt] += 1
        self.keys.setdefault((run_id, node), set()).add(context.idempotency_key)
        log = await self.database.runs.events(context.namespace, run_id, after=0, limit=100_000)
        begun = [event for event in log if isinstance(event, AttemptStarted) and event.attempt == attempt]
        if all(event.node != NodeKey(node) for event in begun):
            self.faults.append(f"{run_id} {node}#{attempt} was called before its beginning was stored")


class Process:
    """One life of a server."""

    def __init__(self, name: str, database: Database, calls: Calls, random: Random) -> None:
        self.name = name
        self.tasks: list[asyncio.Task[Json]] = []
        self.dead = False
        self.connection = Connection(database, name)
        self.executors: list[AsyncioExecutor] = []
        self._database = database
        self._calls = calls
        self._random = random
        self.elected = ElectedExecutor(self.connection, self._make_executor)
        self._toolbox = Toolbox(
            {"work": plain("work", self._work), "narrow": plain("narrow", self._work, max_concurrency=1)}
        )
        self.service = WorkflowService(
            repository=self.connection,
            executor=self.elected,
            evaluator=Inline(),
            tools=self._toolbox,
            clock=VirtualClock(),
            settings=database.settings,
            random_bytes=random.randbytes,
        )

    def _make_executor(self) -> AsyncioExecutor:
        made = AsyncioExecutor(
            repository=self.connection,
            tools=self._toolbox,
            evaluator=Inline(),
            clock=VirtualClock(),
            settings=self._database.settings,
            random=self._random.random,
        )
        self.executors.append(made)
        return made

    def begin(self, work: Coroutine[None, None, T]) -> "asyncio.Task[T]":
        """Begin a task that lives and dies with the process."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SeededLoop)
        return loop.begin(self, work)

    async def open(self) -> None:
        """Start to serve."""
        self._database.note(f"{self.name} starts")
        await self.call(self.elected.open(stands_by=True))

    async def call(self, work: Coroutine[None, None, T]) -> T:
        """Let the process do something. Raises `AwayError` if it dies meanwhile."""
        if self.dead:
            work.close()
            raise AwayError
        task = self.begin(work)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            raise
        if task.cancelled():
            raise AwayError
        return task.result()

    async def kill(self) -> None:
        """Die: nothing that still runs here has any effect."""
        self._database.note(f"{self.name} dies")
        self.dead = self.connection.cut = True
        while alive := [task for task in self.tasks if not task.done()]:
            for task in alive:
                task.cancel()
            await asyncio.wait(alive, timeout=0.001)

    async def close(self) -> None:
        """Shut down in order."""
        self._database.note(f"{self.name} shuts down")
        try:
            await self.call(self.elected.close())
        except AwayError:
            return
        self._database.note(f"{self.name} has shut down")

    # What tools do

    async def _work(self, how: Json, context: ToolContext) -> Json:
        if self.dead:
            raise asyncio.CancelledError
        await self._calls.add(self.name, context)
        if context.attempt <= how.get("failures", 0):
            raise ToolError("It was told to fail.", retryable=how.get("retryable", True))
        if context.attempt <= how.get("failures", 0) + how.get("hangs", 0):
            await self._sleep(HANGS, how, context)
        await self._sleep(how.get("seconds", 0.0), how, context)
        return {"attempt": context.attempt, "text": "x" * how.get("size", 0)}

    async def _sleep(self, seconds: float, how: Json, context: ToolContext) -> None:
        """Take time, with signs of life or without; a deaf tool cannot be cancelled, for a while."""
        loop = asyncio.get_running_loop()
        end, deaf_until = loop.time() + seconds, loop.time() + STUBBORN_SECONDS
        while (left := end - loop.time()) > 0:
            try:
                await asyncio.sleep(min(left, 0.2) if how.get("beats") else left)
            except asyncio.CancelledError:
                if self.dead or not how.get("deaf") or loop.time() >= deaf_until:
                    raise
                end = min(end, deaf_until)
            if how.get("beats"):
                context.heartbeat()
