"""The real service on the real store in memory, with an executor that the test plays."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace, RunId
from gql_app.core.plan import ToolDefinition
from gql_app.core.run import WorkflowRun
from gql_app.core.values import Json
from gql_app.ports import Tool
from gql_app.sandbox.sandbox import Sandbox
from gql_app.service import WorkflowService
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from tests.support.executor import PlayedExecutor
from tests.support.repositories import ManualClock


@dataclass
class NamedTools:
    """Tools that have a name and take anything; nobody calls them."""

    names: list[str] = field(default_factory=lambda: ["work"])

    def find(self, name: str) -> Tool | None:
        return None

    def definitions(self, namespace: Namespace | None = None) -> Mapping[str, ToolDefinition]:
        return {name: ToolDefinition(name=name) for name in sorted(self.names)}

    def why_missing(self, name: str, namespace: Namespace) -> str | None:
        return None


class Stage:
    """A service and what it stands on."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        repository: type[MemoryRunRepository] = MemoryRunRepository,
        executor: type[PlayedExecutor] = PlayedExecutor,
    ) -> None:
        self.clock = ManualClock()
        self.settings = settings or Settings()
        self.repository = repository(clock=self.clock, settings=self.settings)
        self.executor = executor(self.repository, self.clock)
        self.evaluator = Sandbox(self.settings)
        self.tools = NamedTools()
        self._drawn = 0
        self.service = WorkflowService(
            repository=self.repository,
            executor=self.executor,
            evaluator=self.evaluator,
            tools=self.tools,
            clock=self.clock,
            settings=self.settings,
            random_bytes=self._random_bytes,
        )

    async def submit(self, *nodes: Json, **fields: Json) -> RunId:
        """Submit a document of these nodes."""
        run = await self.service.submit(DEFAULT_NAMESPACE, document(*nodes, **fields))
        return run.run_id

    async def get(self, run_id: RunId) -> WorkflowRun:
        """Read a run as it is now."""
        return await self.service.get(DEFAULT_NAMESPACE, run_id)

    async def perform(self, *nodes: Json, **fields: Json) -> RunId:
        """Submit a document, and let every node return null in document order."""
        run_id = await self.submit(*nodes, **fields)
        for node in nodes:
            await self.executor.succeed(run_id, node["id"])
        return run_id

    def _random_bytes(self, count: int) -> bytes:
        self._drawn += 1
        return self._drawn.to_bytes(count, "big")


def document(*nodes: Json, **fields: Json) -> Json:
    """Write a document of these nodes."""
    return {"name": "brief", "nodes": list(nodes), **fields}


def node(name: str, *depends_on: str, **fields: Json) -> Json:
    """Write a node that calls the tool `work`."""
    after = {"dependsOn": list(depends_on)} if depends_on else {}
    return {"id": name, "tool": "work", **after, **fields}
