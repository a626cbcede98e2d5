"""The use cases of the service, on the real store."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from gql_app.core.errors import (
    IdempotencyConflictError,
    InvalidArgumentError,
    InvalidCursorError,
    InvalidWorkflowError,
    OverloadedError,
    ProblemCode,
    WorkflowAlreadyFinishedError,
    WorkflowNotFoundError,
)
from gql_app.core.events import RunEvent
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace, RunId
from gql_app.core.listing import RunQuery
from gql_app.core.run import NodeStatus, RunStatus
from gql_app.core.signals import CancelRequested, Signal
from gql_app.ports import IdempotencyKey
from gql_app.service import Action, AvailableAction, HealthStatus
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from tests.support.executor import PlayedExecutor
from tests.support.service import Stage, document, node

pytestmark = pytest.mark.anyio
OTHER = Namespace("other")
NOBODY = RunId("019c0000-0000-7000-8000-000000000000")


async def test_a_submitted_run_is_stored_and_started() -> None:
    stage = Stage()

    run = await stage.service.submit(
        DEFAULT_NAMESPACE, document(node("a"), node("b", "a"), input={"x": 1}, labels={"team": "t"})
    )

    assert (run.status, run.labels, run.created_at) == (RunStatus.RUNNING, {"team": "t"}, stage.clock.now())
    assert [item.status for item in run.nodes] == [NodeStatus.RUNNING, NodeStatus.PENDING]
    assert await stage.service.value(run, run.input) == {"x": 1}
    assert stage.executor.started == [run.run_id]


async def test_an_input_argument_replaces_that_of_the_document() -> None:
    stage = Stage()
    sent = document(node("a"), input={"x": 1, "y": 2})

    run = await stage.service.submit(DEFAULT_NAMESPACE, sent, input={"x": 3})
    nothing = await stage.service.submit(DEFAULT_NAMESPACE, sent, input=None)

    assert await stage.service.value(run, run.input) == {"x": 3}
    assert await stage.service.value(nothing, nothing.input) is None


async def test_a_big_input_is_stored_beside_the_log() -> None:
    stage = Stage()
    big = {"text": "x" * 5_000}

    run = await stage.service.submit(DEFAULT_NAMESPACE, document(node("a")), input=big)

    assert not run.input.inline
    assert await stage.service.value(run, run.input) == big


async def test_an_input_bigger_than_a_run_may_be_is_refused() -> None:
    stage = Stage(Settings(maximum_run_bytes=2_000))

    with pytest.raises(InvalidWorkflowError) as raised:
        await stage.service.submit(DEFAULT_NAMESPACE, document(node("a")), input="x" * 2_000)

    assert ProblemCode.LIMIT_EXCEEDED in {problem.code for problem in raised.value.problems}
    assert await stage.repository.unfinished() == []


async def test_an_invalid_document_is_refused_and_nothing_is_stored() -> None:
    stage = Stage()

    with pytest.raises(InvalidWorkflowError):
        await stage.submit({"id": "a", "tool": "wrok"})

    assert await stage.repository.unfinished() == []
    assert stage.executor.started == []


async def test_the_same_submission_with_the_same_key_finds_its_run_and_starts_nothing() -> None:
    stage = Stage()
    sent = document(node("a"), input=1)

    first = await stage.service.submit(DEFAULT_NAMESPACE, sent, idempotency_key="key")
    again = await stage.service.submit(DEFAULT_NAMESPACE, dict(reversed(sent.items())), idempotency_key="key")
    with pytest.raises(IdempotencyConflictError) as raised:
        await stage.service.submit(DEFAULT_NAMESPACE, sent, input=2, idempotency_key="key")

    assert first.run_id == again.run_id == raised.value.run_id
    assert stage.executor.started == [first.run_id]


async def test_submissions_at_once_with_one_key_make_one_run() -> None:
    stage = Stage()

    runs = await asyncio.gather(
        *(stage.service.submit(DEFAULT_NAMESPACE, document(node("a")), idempotency_key="key") for _ in range(10))
    )

    assert len({run.run_id for run in runs}) == 1
    assert len(stage.executor.started) == 1


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_an_idempotency_key_has_a_length(key: str) -> None:
    stage = Stage()

    with pytest.raises(InvalidArgumentError, match="idempotencyKey"):
        await stage.service.submit(DEFAULT_NAMESPACE, document(node("a")), idempotency_key=key)


async def test_a_service_that_shuts_down_takes_no_run() -> None:
    stage = Stage()
    await stage.executor.close()

    with pytest.raises(OverloadedError):
        await stage.submit(node("a"))

    assert await stage.repository.unfinished() == []


class BusyRepository(MemoryRunRepository):
    """A store that has stored a run a while before it says so."""

    async def create(
        self,
        events: Sequence[RunEvent],
        *,
        values: Mapping[str, bytes],
        idempotency: IdempotencyKey | None = None,
    ) -> RunId:
        run_id = await super().create(events, values=values, idempotency=idempotency)
        for _ in range(5):
            await asyncio.sleep(0)
        return run_id


@pytest.mark.parametrize("turns", [1, 2, 4])
async def test_a_caller_that_goes_away_leaves_no_run_that_is_not_started(turns: int) -> None:
    stage = Stage(repository=BusyRepository)
    submitting = asyncio.ensure_future(stage.submit(node("a")))
    for _ in range(turns):
        await asyncio.sleep(0)

    submitting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await submitting
    assert len(stage.executor.started) == 1
    assert [run_id for _, run_id in await stage.repository.unfinished()] == stage.executor.started


async def test_a_run_is_read_at_any_time_as_it_is_then() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"), node("b", "a"))
    before = await stage.get(run_id)

    await stage.executor.succeed(run_id, "a", {"x": 1})
    between = await stage.get(run_id)
    await stage.executor.succeed(run_id, "b")
    after = await stage.get(run_id)

    assert [item.status for item in before.nodes] == [NodeStatus.RUNNING, NodeStatus.PENDING]
    assert [item.status for item in between.nodes] == [NodeStatus.COMPLETED, NodeStatus.RUNNING]
    assert await stage.service.value(between, between.nodes[0].output) == {"x": 1}
    assert (between.status, after.status) == (RunStatus.RUNNING, RunStatus.COMPLETED)


async def test_readers_share_a_run_until_something_happens() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"))

    one, two = await asyncio.gather(stage.get(run_id), stage.get(run_id))
    await stage.executor.succeed(run_id, "a")
    three = await stage.get(run_id)

    assert one is two
    assert three is not one


async def test_a_run_of_another_namespace_is_not_found() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"))

    for call in (
        stage.service.get(OTHER, run_id),
        stage.service.summary(OTHER, run_id),
        stage.service.events(OTHER, run_id),
        stage.service.cancel(OTHER, run_id),
        stage.service.retry(OTHER, run_id),
        anext(stage.service.watch(OTHER, run_id)),
        stage.service.get(DEFAULT_NAMESPACE, NOBODY),
    ):
        with pytest.raises(WorkflowNotFoundError):
            await call


async def test_runs_are_listed() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"))

    page = await stage.service.list(DEFAULT_NAMESPACE, RunQuery())

    assert page.runs == (await stage.service.summary(DEFAULT_NAMESPACE, run_id),)
    with pytest.raises(InvalidArgumentError, match="limit"):
        await stage.service.list(DEFAULT_NAMESPACE, RunQuery(limit=101))


async def test_a_log_is_read_in_parts() -> None:
    stage = Stage()
    run_id = await stage.perform(node("a"))
    last = (await stage.get(run_id)).sequence

    head = await stage.service.events(DEFAULT_NAMESPACE, run_id, limit=2)
    tail = await stage.service.events(DEFAULT_NAMESPACE, run_id, after=2, limit=1_000)

    assert [event.sequence for event in (*head, *tail)] == list(range(1, last + 1))
    assert await stage.service.events(DEFAULT_NAMESPACE, run_id, after=last) == []
    with pytest.raises(InvalidArgumentError, match="limit"):
        await stage.service.events(DEFAULT_NAMESPACE, run_id, limit=1_001)
    with pytest.raises(InvalidCursorError):
        await stage.service.events(DEFAULT_NAMESPACE, run_id, after=-1)


async def test_cancelling_stops_a_run_once() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"))

    run = await stage.service.cancel(DEFAULT_NAMESPACE, run_id, "enough")
    again = await stage.service.cancel(DEFAULT_NAMESPACE, run_id, "more than enough")
    await stage.executor.stop(run_id, "a")
    ended = await stage.get(run_id)

    assert (run.status, ended.status) == (RunStatus.STOPPING, RunStatus.CANCELLED)
    assert again is run
    assert run.error is not None
    assert "enough" in run.error.message
    with pytest.raises(WorkflowAlreadyFinishedError, match="CANCELLED"):
        await stage.service.cancel(DEFAULT_NAMESPACE, run_id)


async def test_a_reason_as_long_as_a_book_is_refused_and_the_run_goes_on() -> None:
    stage = Stage()
    run_id = (await stage.service.submit(DEFAULT_NAMESPACE, document(node("a")))).run_id

    with pytest.raises(InvalidArgumentError, match="reason"):
        await stage.service.cancel(DEFAULT_NAMESPACE, run_id, "x" * 2_001)

    assert not (await stage.service.get(DEFAULT_NAMESPACE, run_id)).status.final


async def test_a_run_that_nobody_runs_cannot_be_cancelled_now() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"))
    stage.executor.forget(run_id)

    with pytest.raises(OverloadedError, match=run_id):
        await stage.service.cancel(DEFAULT_NAMESPACE, run_id)


async def test_a_run_that_is_stopping_needs_nobody_to_cancel_it_again() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"))
    stopping = await stage.service.cancel(DEFAULT_NAMESPACE, run_id)
    stage.executor.forget(run_id)

    assert await stage.service.cancel(DEFAULT_NAMESPACE, run_id) is stopping


class LateExecutor(PlayedExecutor):
    """An executor whose runs end just before they are told anything."""

    async def signal(self, namespace: Namespace, run_id: RunId, signal: Signal) -> None:
        if isinstance(signal, CancelRequested):
            await self.succeed(run_id, "a")
        await super().signal(namespace, run_id, signal)


async def test_a_run_that_completes_before_it_can_be_cancelled_has_finished() -> None:
    stage = Stage(executor=LateExecutor)
    run_id = await stage.submit(node("a"))

    with pytest.raises(WorkflowAlreadyFinishedError, match="COMPLETED"):
        await stage.service.cancel(DEFAULT_NAMESPACE, run_id)


async def test_actions_say_what_would_work_and_why_the_rest_would_not() -> None:
    stage = Stage()
    running = await stage.submit(node("a"))
    stopping = await stage.submit(node("a"))
    await stage.service.cancel(DEFAULT_NAMESPACE, stopping)
    completed = await stage.perform(node("a"))
    failed = await stage.submit(node("a"))
    await stage.executor.fail(failed, "a")

    runs = [await stage.get(run_id) for run_id in (running, stopping, completed, failed)]
    found = [stage.service.actions(run) for run in runs]

    assert [[action.enabled for action in actions] for actions in found] == [
        [True, False, False],
        [False, False, False],
        [False, False, True],
        [False, True, True],
    ]
    assert found[0][1] == AvailableAction(
        action=Action.RETRY, enabled=False, disabled_reason="The run has not finished: RUNNING."
    )
    assert all(bool(action.disabled_reason) is not action.enabled for actions in found for action in actions)


async def test_the_input_of_a_node_is_resolved_once_what_it_mentions_has_ended() -> None:
    stage = Stage()
    run_id = await stage.submit(
        node("a", input={"text": "$${ no expression }", "n": 1}),
        node("b", input={"of": "${ nodes.a.output.text }", "own": "${ input.x }", "was": "${ nodes.a.status }"}),
        input={"x": [1, 2]},
    )
    before = await stage.get(run_id)

    await stage.executor.succeed(run_id, "a", {"text": "x" * 5_000})
    after = await stage.get(run_id)

    assert await stage.service.node_input(before, before.nodes[0]) == {"text": "${ no expression }", "n": 1}
    assert await stage.service.node_input(before, before.nodes[1]) is None
    assert await stage.service.node_input(after, after.nodes[1]) == {
        "of": "x" * 5_000,
        "own": [1, 2],
        "was": "COMPLETED",
    }


async def test_an_input_that_cannot_be_resolved_is_null() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"), node("b", input={"of": "${ nodes.a.output.missing }"}))

    await stage.executor.succeed(run_id, "a", {"x": 1})
    run = await stage.get(run_id)

    assert await stage.service.node_input(run, run.nodes[1]) is None


async def test_a_service_that_can_work_is_well() -> None:
    stage = Stage()
    stage.clock.advance(5)

    health = await stage.service.health()

    assert (health.status, health.uptime_seconds, health.leftovers) == (HealthStatus.OK, 5.0, 0)
    assert {check.name: check.status for check in health.checks} == {
        "executor": HealthStatus.OK,
        "store": HealthStatus.OK,
    }
    assert health.version


async def test_a_service_with_too_many_leftovers_is_degraded() -> None:
    stage = Stage(Settings(maximum_leftovers=2))
    stage.executor.leftovers = 2

    health = await stage.service.health()

    assert (health.status, health.leftovers) == (HealthStatus.DEGRADED, 2)
    assert "2 calls" in (health.checks[0].message or "")


async def test_a_service_that_shuts_down_is_degraded() -> None:
    stage = Stage()
    await stage.executor.close()

    health = await stage.service.health()

    assert health.status is HealthStatus.DEGRADED


async def test_tools_are_told_by_name() -> None:
    stage = Stage()

    assert list(stage.service.tools(DEFAULT_NAMESPACE)) == ["work"]
