"""A process of a simulation: the whole service on a connection to the shared store, until it dies."""

import asyncio
from collections.abc import Coroutine, Mapping
from random import Random
from typing import TypeVar

from gql_app.core.formulas import Formula, evaluate_here
from gql_app.core.ids import Namespace, RunId
from gql_app.core.values import Json
from gql_app.engine.elected import ElectedExecutor
from gql_app.engine.executor import AsyncioExecutor
from gql_app.service import WorkflowService
from gql_app.testing.virtual_time import VirtualClock
from tests.support.engine import Toolbox
from tests.support.simulation_calls import Calls
from tests.support.simulation_loop import SeededLoop
from tests.support.simulation_store import Connection, Database
from tests.support.simulation_tools import Workers

T = TypeVar("T")


class AwayError(Exception):
    """The process died before it answered."""


class Inline:
    """An evaluator that trusts every expression."""

    async def evaluate(
        self, formula: Formula, scope: Mapping[str, Json], *, namespace: Namespace, run_id: RunId
    ) -> Json:
        return evaluate_here(formula, scope)


class Process:
    """One life of a server."""

    def __init__(self, name: str, database: Database, calls: Calls, random: Random) -> None:
        self.name = name
        self.tasks: list[asyncio.Task[Json]] = []
        self.dead = False
        self.connection = Connection(database, name)
        self.executors: list[AsyncioExecutor] = []
        self._database = database
        self._random = random
        self.elected = ElectedExecutor(self.connection, self._make_executor)
        self._toolbox = Toolbox(Workers(self, calls).tools())
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
