"""Running again what did not work."""

import pytest

from gql_app.core.errors import (
    InvalidArgumentError,
    InvalidWorkflowError,
    WorkflowNotFinishedError,
)
from gql_app.core.events import NodeReused, WorkflowSubmitted
from gql_app.core.ids import DEFAULT_NAMESPACE, RunId
from gql_app.core.run import NodeStatus, RunStatus, WorkflowRun
from gql_app.core.values import Json
from gql_app.service import Action, RetryFrom
from tests.support.service import Stage, node

pytestmark = pytest.mark.anyio


async def failed_run(stage: Stage, *nodes: Json, succeed: tuple[str, ...] = ("a",), fail: str = "b") -> RunId:
    """Submit a run in which these nodes succeed and then one fails."""
    run_id = await stage.submit(*nodes, input={"x": 1}, labels={"team": "t"})
    for name in succeed:
        await stage.executor.succeed(run_id, name, {"big": "x" * 5_000})
    await stage.executor.fail(run_id, fail)
    return run_id


def completed(run: WorkflowRun) -> list[str]:
    return [item.key.id for item in run.nodes if item.status is NodeStatus.COMPLETED]


async def test_a_retry_from_what_failed_carries_over_what_completed() -> None:
    stage = Stage()
    old = await failed_run(stage, node("a"), node("b", "a"), node("c", "b"))

    run = await stage.service.retry(DEFAULT_NAMESPACE, old)
    log = await stage.service.events(DEFAULT_NAMESPACE, run.run_id)

    assert (run.retry_of, run.labels, run.status) == (old, {"team": "t"}, RunStatus.RUNNING)
    assert run.run_id != old
    assert bytes(run.document) == bytes((await stage.get(old)).document)
    assert [type(event) for event in log[:2]] == [WorkflowSubmitted, NodeReused]
    assert [item.status for item in run.nodes] == [NodeStatus.COMPLETED, NodeStatus.RUNNING, NodeStatus.PENDING]
    assert await stage.service.value(run, run.nodes[0].output) == {"big": "x" * 5_000}
    assert await stage.service.value(run, run.input) == {"x": 1}


async def test_a_retry_goes_on_to_the_end() -> None:
    stage = Stage()
    old = await failed_run(stage, node("a"), node("b", "a"))

    new = (await stage.service.retry(DEFAULT_NAMESPACE, old)).run_id
    await stage.executor.succeed(new, "b")

    assert (await stage.get(new)).status is RunStatus.COMPLETED
    assert (await stage.get(old)).status is RunStatus.FAILED


async def test_a_retry_from_the_start_carries_nothing_over() -> None:
    stage = Stage()
    old = await failed_run(stage, node("a"), node("b", "a"))

    run = await stage.service.retry(DEFAULT_NAMESPACE, old, RetryFrom.START)

    assert run.retry_of == old
    assert [item.status for item in run.nodes] == [NodeStatus.RUNNING, NodeStatus.PENDING]


async def test_what_came_after_a_node_that_runs_again_runs_again() -> None:
    stage = Stage()
    nodes = [
        node("flaky", continueOnFailure=True),
        node("after", "flaky"),
        node("apart"),
        node("last", "after", "apart"),
    ]
    old = await stage.submit(*nodes)
    await stage.executor.fail(old, "flaky")
    await stage.executor.succeed(old, "after")
    await stage.executor.succeed(old, "apart")
    await stage.executor.fail(old, "last")

    run = await stage.service.retry(DEFAULT_NAMESPACE, old)

    assert completed(run) == ["apart"]
    assert [item.status for item in run.nodes[:2]] == [NodeStatus.RUNNING, NodeStatus.PENDING]


async def test_what_came_after_a_node_that_is_skipped_again_is_carried_over() -> None:
    stage = Stage()
    nodes = [node("skipped", when="${ false }"), node("after", "skipped"), node("last", "after")]
    old = await stage.submit(*nodes)
    await stage.executor.succeed(old, "after")
    await stage.executor.fail(old, "last")

    run = await stage.service.retry(DEFAULT_NAMESPACE, old)

    assert [item.status for item in run.nodes] == [NodeStatus.SKIPPED, NodeStatus.COMPLETED, NodeStatus.RUNNING]


async def test_a_completed_run_is_retried_from_the_start_alone() -> None:
    stage = Stage()
    old = await stage.perform(node("a"))

    with pytest.raises(InvalidArgumentError, match="START"):
        await stage.service.retry(DEFAULT_NAMESPACE, old)
    run = await stage.service.retry(DEFAULT_NAMESPACE, old, RetryFrom.START)

    assert run.retry_of == old


async def test_a_completed_run_with_a_failed_node_can_be_retried() -> None:
    stage = Stage()
    old = await stage.submit(node("a"), node("b", continueOnFailure=True))
    await stage.executor.succeed(old, "a")
    await stage.executor.fail(old, "b")
    finished = await stage.get(old)

    run = await stage.service.retry(DEFAULT_NAMESPACE, old)

    actions = {action.action: action.enabled for action in stage.service.actions(finished)}
    assert (finished.status, actions[Action.RETRY]) == (RunStatus.COMPLETED, True)
    assert completed(run) == ["a"]


async def test_a_cancelled_run_can_be_retried() -> None:
    stage = Stage()
    old = await stage.submit(node("a"), node("b", "a"))
    await stage.executor.succeed(old, "a")
    await stage.service.cancel(DEFAULT_NAMESPACE, old)
    await stage.executor.stop(old, "b")

    run = await stage.service.retry(DEFAULT_NAMESPACE, old)

    assert completed(run) == ["a"]


async def test_a_retry_can_be_retried() -> None:
    stage = Stage()
    old = await failed_run(stage, node("a"), node("b", "a"))
    again = (await stage.service.retry(DEFAULT_NAMESPACE, old)).run_id
    await stage.executor.fail(again, "b")

    run = await stage.service.retry(DEFAULT_NAMESPACE, again)

    assert run.retry_of == again
    assert completed(run) == ["a"]
    assert await stage.service.value(run, run.nodes[0].output) == {"big": "x" * 5_000}


async def test_a_run_that_goes_on_is_not_retried() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"))

    with pytest.raises(WorkflowNotFinishedError, match="RUNNING"):
        await stage.service.retry(DEFAULT_NAMESPACE, run_id)


async def test_a_document_that_no_longer_works_is_refused() -> None:
    stage = Stage()
    old = await failed_run(stage, node("a"), node("b", "a"))
    stage.tools.names = ["other"]

    with pytest.raises(InvalidWorkflowError):
        await stage.service.retry(DEFAULT_NAMESPACE, old)

    assert await stage.repository.unfinished() == []
