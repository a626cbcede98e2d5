"""The real engine on the real store in memory, with tools made of plain functions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gql_app.core.events import RunEvent
from gql_app.core.fold import fold
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace, NodeKey, RunId, make_run_id
from gql_app.core.plan import NodePlan, ToolDefinition
from gql_app.core.run import NodeRun, WorkflowRun
from gql_app.core.values import NULL, Json, Value
from gql_app.engine.executor import AsyncioExecutor
from gql_app.ports import Clock, RunRepository, Tool, ToolContext
from gql_app.sandbox.sandbox import Sandbox
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from gql_app.telemetry.monitor import UNMONITORED, Monitor
from gql_app.testing.virtual_time import VirtualClock, VirtualTimeLoop
from tests.support.builders import plan, submitted


@dataclass(frozen=True)
class PlainTool:
    """A tool made of a function of its input and context."""

    definition: ToolDefinition
    work: Callable[[Json, ToolContext], Json]

    def parse(self, value: Json) -> Json:
        return value

    async def call(self, arguments: Json, context: ToolContext) -> Json:
        result: Awaitable[Json] = self.work(arguments, context)
        return await result

    def run(self, arguments: Json, context: ToolContext) -> Json:
        return self.work(arguments, context)


def plain(name: str, work: Callable[[Json, ToolContext], Json], **options: Json) -> PlainTool:
    """Make a tool; `isolation` and `max_concurrency` are options."""
    return PlainTool(ToolDefinition(name=name, **options), work)


@dataclass
class Toolbox:
    """Tools by name."""

    tools: dict[str, Tool] = field(default_factory=dict)

    def find(self, name: str) -> Tool | None:
        return self.tools.get(name)

    def definitions(self, namespace: Namespace | None = None) -> Mapping[str, ToolDefinition]:
        return {name: self.tools[name].definition for name in sorted(self.tools)}

    def why_missing(self, name: str, namespace: Namespace) -> str | None:
        return None


class Engine:
    """An executor, its store, and ways to ask what became of a run."""

    def __init__(
        self,
        *tools: Tool,
        clock: Clock,
        settings: Settings,
        repository: RunRepository | None = None,
        monitor: Monitor = UNMONITORED,
    ) -> None:
        self.clock = clock
        self.repository = repository or MemoryRunRepository(clock=clock, settings=settings)
        self.sandbox = Sandbox(settings)
        self.executor = AsyncioExecutor(
            repository=self.repository,
            evaluator=self.sandbox,
            tools=Toolbox({tool.definition.name: tool for tool in tools}),
            clock=clock,
            settings=settings,
            random=lambda: 0.5,
            monitor=monitor,
        )
        self._count = 0

    async def submit(self, *nodes: NodePlan, value: Value = NULL, **options: Json) -> RunId:
        """Store a run and start it."""
        return await self.submit_in(DEFAULT_NAMESPACE, *nodes, value=value, **options)

    async def submit_in(self, namespace: Namespace, *nodes: NodePlan, value: Value = NULL, **options: Json) -> RunId:
        """Store a run in a namespace and start it."""
        self._count += 1
        run_id = make_run_id(self._count, bytes(10))
        what = plan(*nodes, **options)
        first = submitted(what, run_id=run_id, at=self.clock.now(), value=value, namespace=namespace)
        await self.repository.create([first], values={})
        await self.executor.start(namespace, run_id)
        return run_id

    async def log(self, run_id: RunId) -> Sequence[RunEvent]:
        """Read all events of a run."""
        return await self.repository.events(DEFAULT_NAMESPACE, run_id, after=0, limit=1_000_000)

    async def run(self, run_id: RunId) -> WorkflowRun:
        """Fold what there is of a run."""
        return fold(await self.log(run_id))

    async def until(self, run_id: RunId, there: Callable[[WorkflowRun], bool]) -> WorkflowRun:
        """Wait until a run is as described."""
        while not there(run := await self.run(run_id)):
            await self.repository.wait(DEFAULT_NAMESPACE, run_id, after=run.sequence)
        return run

    async def finished(self, run_id: RunId) -> WorkflowRun:
        """Wait until a run has ended."""
        return await self.until(run_id, lambda run: run.finished_at is not None)

    async def no_leftovers(self) -> None:
        """Wait until every abandoned call has ended; threads do so at a moment of their own."""
        for _ in iter(lambda: self.executor.load().leftovers, 0):
            await asyncio.sleep(0.001)

    async def perform(self, *nodes: NodePlan, **options: Json) -> WorkflowRun:
        """Submit a run and wait until it has ended."""
        return await self.finished(await self.submit(*nodes, **options))


def node_of(run: WorkflowRun, name: str) -> NodeRun:
    """Find a node by its id."""
    return run.node(NodeKey(name))


@asynccontextmanager
async def engine(
    *tools: Tool, repository: RunRepository | None = None, monitor: Monitor = UNMONITORED, **settings: Json
) -> AsyncIterator[Engine]:
    """An engine on the running loop's virtual time, shut down at the end."""
    made = Engine(*tools, clock=VirtualClock(), settings=Settings(**settings), repository=repository, monitor=monitor)
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualTimeLoop):
        loop.hold_while(lambda: made.executor.caller.invoker.threads_out > 0 or made.sandbox.busy)
    yield made
    await made.executor.close()
    await made.sandbox.close()
