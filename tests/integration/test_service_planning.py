"""Planning of big documents, which nobody else waits for."""

import threading
from collections.abc import Iterator, Mapping

import anyio
import pytest

from gql_app.core.errors import InvalidWorkflowError
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.core.plan import ToolDefinition
from gql_app.core.run import RunStatus
from gql_app.service import HealthStatus, WorkflowService
from tests.support.service import NamedTools, Stage, document, node

pytestmark = pytest.mark.anyio

LONGEST_WAIT = 60.0


class SlowTools(NamedTools):
    """Tools whose definitions are looked up only once somebody says so."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def definitions(self, namespace: Namespace | None = None) -> Mapping[str, ToolDefinition]:
        return Definitions(super().definitions(namespace), self.go_on)


class Definitions(Mapping[str, ToolDefinition]):
    """Definitions that whoever reads them waits for."""

    def __init__(self, definitions: Mapping[str, ToolDefinition], go_on: threading.Event) -> None:
        self._definitions = definitions
        self._go_on = go_on

    def __getitem__(self, name: str) -> ToolDefinition:
        assert self._go_on.wait(LONGEST_WAIT), "Planning holds the event loop up."
        return self._definitions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._definitions)

    def __len__(self) -> int:
        return len(self._definitions)


async def test_others_are_served_while_a_big_document_is_planned() -> None:
    stage = Stage()
    tools = SlowTools()
    service = WorkflowService(
        repository=stage.repository,
        executor=stage.executor,
        evaluator=stage.evaluator,
        tools=tools,
        clock=stage.clock,
        settings=stage.settings,
    )

    async with anyio.create_task_group() as group:
        group.start_soon(service.submit, DEFAULT_NAMESPACE, document(*(node(f"n{i}") for i in range(1000))))
        await anyio.wait_all_tasks_blocked()
        runs_meanwhile = await stage.repository.unfinished()
        assert (await service.health()).status is HealthStatus.OK
        tools.go_on.set()

    assert runs_meanwhile == []
    [run] = await stage.repository.unfinished()
    assert (await service.get(*run)).status is RunStatus.RUNNING


async def test_a_big_document_is_refused_like_a_small_one() -> None:
    stage = Stage()

    with pytest.raises(InvalidWorkflowError) as refused:
        await stage.submit(*(node(f"n{i}", tool="none") for i in range(90)))

    assert {problem.code for problem in refused.value.problems} == {"UNKNOWN_TOOL"}
    assert await stage.repository.unfinished() == []


async def test_what_is_not_json_is_refused_with_its_place() -> None:
    stage = Stage()

    with pytest.raises(InvalidWorkflowError) as refused:
        await stage.submit(node("a", input={"x": object()}))

    assert [problem.pointer for problem in refused.value.problems] == ["/nodes/0/input/x"]
