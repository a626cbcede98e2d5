"""Whatever happens to runs whose nodes take steps and show what they do: their logs are sound, their sums right."""

import operator
from collections import Counter
from collections.abc import Sequence
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from gql_app.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    AttemptTimedOut,
    NodeCompleted,
    NodeLog,
    NodeOutputChunk,
    NodeProgress,
    RunEvent,
    StepCompleted,
    StepFailed,
    StepKind,
    StepQueued,
    StepRequest,
    StepStarted,
    Usage,
    WorkflowStopping,
    add_usage,
)
from gql_app.core.fold import begin, evolve, fold
from gql_app.core.ids import NodeKey, StepKey
from gql_app.core.plan import Plan
from gql_app.core.run import AttemptStatus, NodeStatus, RunStatus, WorkflowRun
from gql_app.core.step_run import StepStatus
from tests.support.builders import submitted
from tests.support.strategies import busy_worlds, plans, requests
from tests.support.world import World, live_through

ENDED: Final = (AttemptFailed, AttemptTimedOut, AttemptLost, AttemptCancelled, NodeCompleted)
"""What ends an attempt of a node."""


def within(key: StepKey, outer: StepKey) -> bool:
    return key.node == outer.node and key.step.startswith(f"{outer.step}/")


@given(busy_worlds)
def test_a_step_that_is_done_is_never_begun_again(world: World) -> None:
    done: set[StepKey] = set()
    for event in world.log:
        if isinstance(event, StepQueued | StepStarted):
            assert StepKey(event.node, event.step) not in done
        if isinstance(event, StepCompleted):
            done.add(StepKey(event.node, event.step))

    assert done == world.done
    for node in world.run.nodes:
        completed = {StepKey(node.key, step.id) for step in node.steps if step.status is StepStatus.COMPLETED}
        assert completed == {key for key in done if key.node == node.key}


@given(busy_worlds)
def test_every_try_of_a_step_ends_before_the_next_and_within_what_it_is_part_of(world: World) -> None:
    goes_on: dict[StepKey, tuple[int, int]] = {}
    for event in world.log:
        if isinstance(event, StepStarted):
            key = StepKey(event.node, event.step)
            assert key not in goes_on
            assert all(outer in goes_on for outer in key.enclosing() if isinstance(outer, StepKey))
            goes_on[key] = event.attempt, event.step_attempt
        elif isinstance(event, StepCompleted | StepFailed):
            key = StepKey(event.node, event.step)
            if isinstance(event, StepCompleted) or key in goes_on:
                assert goes_on.pop(key) == (event.attempt, event.step_attempt)
            else:
                assert event.error.type in {"QueueTimeout", "TotalTimeout", "StepDropped"}
            goes_on = {other: tried for other, tried in goes_on.items() if not within(other, key)}
        elif isinstance(event, ENDED):
            goes_on = {other: tried for other, tried in goes_on.items() if other.node != event.node}

    assert goes_on == {}


@given(busy_worlds)
def test_the_tries_of_a_step_in_an_attempt_are_counted_from_one(world: World) -> None:
    tried: Counter[tuple[NodeKey, int, str]] = Counter()
    for event in world.log:
        if isinstance(event, StepStarted):
            key = (event.node, event.attempt, event.step)
            tried[key] += 1
            assert event.step_attempt == tried[key]


@given(busy_worlds)
def test_no_step_is_tried_more_often_than_its_policy_says(world: World) -> None:
    run = begin(submitted(world.run.plan))
    since_asked: Counter[StepKey] = Counter()
    for event in world.log[1:]:
        evolve(run, event)
        if isinstance(event, StepQueued | StepStarted) and event.request is not None:
            since_asked[StepKey(event.node, event.step)] = 0
        if isinstance(event, StepStarted):
            since_asked[StepKey(event.node, event.step)] += 1
            step = run.step(event.node, event.step)
            assert step is not None
            assert since_asked[StepKey(event.node, event.step)] <= step.request.retry.maximum_attempts


@given(busy_worlds)
def test_a_step_that_failed_says_when_it_is_tried_again_or_why_not(world: World) -> None:
    for event in world.log:
        if isinstance(event, StepFailed):
            assert (event.retry_at is None) is (event.retry_state is not None)
            assert event.retry_at is None or event.retry_at >= event.at


@given(busy_worlds)
def test_no_step_goes_on_when_its_node_does_not(world: World) -> None:
    run = begin(submitted(world.run.plan))
    for event in world.log[1:]:
        evolve(run, event)
        for node in run.nodes:
            assert node.status is NodeStatus.RUNNING or all(step.status.final for step in node.steps)
            for step in node.steps:
                assert (step.finished_at is not None) is step.status.final
                assert (step.next_attempt_at is not None) is (step.status is StepStatus.RETRYING)
                assert (step.queued_for is not None) is (step.status is StepStatus.QUEUED)
                assert len({other.id for other in node.steps}) == len(node.steps)


@given(busy_worlds)
def test_no_step_begins_once_the_run_is_stopping(world: World) -> None:
    kinds = [type(event) for event in world.log]
    if WorkflowStopping in kinds:
        after = world.log[kinds.index(WorkflowStopping) :]
        assert not any(isinstance(event, StepStarted) for event in after)


@given(busy_worlds)
def test_nothing_is_shown_by_what_is_over(world: World) -> None:
    run = begin(submitted(world.run.plan))
    for event in world.log[1:]:
        if isinstance(event, NodeOutputChunk | NodeLog | NodeProgress):
            node = run.node(event.node)
            assert (node.status, len(node.attempts)) == (NodeStatus.RUNNING, event.attempt)
        if isinstance(event, NodeOutputChunk) and event.step is not None:
            step = run.step(event.node, event.step)
            assert step is not None
            assert (step.status, step.attempt) == (StepStatus.RUNNING, event.step_attempt)
        evolve(run, event)


@given(busy_worlds)
def test_what_the_run_has_progressed_is_what_its_attempts_in_flight_have(world: World) -> None:
    run = begin(submitted(world.run.plan))
    for event in world.log[1:]:
        evolve(run, event)
        told = [node.progress for node in run.nodes if node.status is NodeStatus.RUNNING]
        assert run.progressed == sum(progress.millionths for progress in told if progress is not None)
        assert all(node.progress is None for node in run.nodes if node.status is not NodeStatus.RUNNING)

    assert world.run.progressed == 0


@given(busy_worlds)
def test_what_the_run_keeps_is_counted_to_the_byte(world: World) -> None:
    assert world.run.value_bytes == sum(map(size, world.log))


def size(event: RunEvent) -> int:
    match event:
        case NodeCompleted() | StepCompleted():
            return event.output.size
        case StepQueued(request=request) | StepStarted(request=request) if request is not None:
            return request.input.size
        case NodeOutputChunk():
            return len(event.text.encode())
        case NodeLog():
            return len(event.message.encode()) + len(bytes(event.fields))
        case _:
            return 0


@given(busy_worlds)
def test_what_was_streamed_is_counted_for_the_last_attempt(world: World) -> None:
    streamed: dict[NodeKey, int] = {}
    for event in world.log:
        if isinstance(event, AttemptStarted):
            streamed[event.node] = 0
        if isinstance(event, NodeOutputChunk):
            streamed[event.node] += len(event.text.encode())

    assert {node.key: node.streamed_bytes for node in world.run.nodes if node.attempts} == streamed


@given(busy_worlds)
def test_what_was_used_adds_up_everywhere(world: World) -> None:
    run = world.run
    used = [event.usage for event in world.log if isinstance(event, StepCompleted | StepFailed)]

    assert run.usage == total(used)
    assert run.usage == total([node.usage for node in run.nodes])
    for node in run.nodes:
        assert node.usage == total([attempt.usage for attempt in node.attempts])
        assert node.usage == total([step.usage for step in node.steps])


def total(usages: Sequence[Usage | None]) -> Usage | None:
    added = None
    for usage in usages:
        added = add_usage(added, usage)
    return added


@given(busy_worlds)
def test_a_run_over_its_budget_stops_at_once(world: World) -> None:
    run = begin(submitted(world.run.plan))
    for event in world.log[1:]:
        if run.status is RunStatus.RUNNING and spent(run, more=True):
            assert isinstance(event, WorkflowStopping)
            assert event.error is not None
            assert event.error.type == "BudgetExceeded"
        evolve(run, event)

    assert run.status is not RunStatus.COMPLETED or not spent(run, more=True)


@given(busy_worlds)
def test_no_model_is_asked_once_the_budget_is_used_up(world: World) -> None:
    run = begin(submitted(world.run.plan))
    for event in world.log[1:]:
        used_up = spent(run, more=False)
        evolve(run, event)
        if used_up and isinstance(event, StepStarted):
            step = run.step(event.node, event.step)
            assert step is not None
            assert step.request.kind is not StepKind.MODEL


def spent(run: WorkflowRun, *, more: bool) -> bool:
    """Tell whether all of the budget is used, or more than that."""
    budget, used = run.plan.budget, run.usage
    if budget is None or used is None:
        return False
    over = operator.gt if more else operator.ge
    tokens = budget.tokens is not None and over(used.tokens, budget.tokens)
    return tokens or (budget.cost_usd is not None and over(used.cost_usd or 0.0, budget.cost_usd))


@given(busy_worlds)
def test_the_steps_of_a_lost_attempt_are_lost_and_of_any_other_cancelled(world: World) -> None:
    run = begin(submitted(world.run.plan))
    for event in world.log[1:]:
        before = run.nodes.copy()
        evolve(run, event)
        if isinstance(event, ENDED):
            node = run.node(event.node)
            lost = node.attempts[-1].status is AttemptStatus.LOST
            for step, was in zip(node.steps, before[node.index].steps, strict=True):
                if not was.status.final:
                    assert step.status is (StepStatus.LOST if lost else StepStatus.CANCELLED)


@given(busy_worlds, st.integers(0, 2**16))
def test_a_run_whose_log_was_folded_anywhere_goes_on_the_same(world: World, place: int) -> None:
    cut = place % len(world.log) + 1

    run = fold(world.log[:cut])
    for event in world.log[cut:]:
        evolve(run, event)

    assert run == world.run


@given(plans(), st.lists(requests(), min_size=1, max_size=3), st.integers(0, 2**32))
def test_the_machine_is_deterministic_with_steps(what: Plan, asked: list[StepRequest], seed: int) -> None:
    lives = [live_through(what, 2, seed, asked) for _ in range(2)]

    assert lives[0].log == lives[1].log
