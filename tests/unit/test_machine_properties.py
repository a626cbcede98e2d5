"""Whatever happens to whatever run: it ends, its log is sound, and nothing is left over."""

import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from gql_app.core.codec import decode_events, encode_events, restore, snapshot
from gql_app.core.events import (
    TERMINAL_EVENTS,
    AttemptStarted,
    NodeCancelled,
    NodeCompleted,
    NodeFailed,
    NodeSkipped,
)
from gql_app.core.fold import begin, evolve, fold
from gql_app.core.plan import Plan
from gql_app.core.run import NodeStatus
from gql_app.core.signals import (
    Begin,
    CancelRequested,
    Evaluated,
    EvaluationTarget,
    ShuttingDown,
    Signal,
)
from tests.support.builders import submitted
from tests.support.strategies import plans, worlds
from tests.support.world import World, live_through

STEPS: Final = 2_000
"""More than any run here can take if it makes progress at all."""


@given(worlds)
def test_every_run_ends_and_only_once(world: World) -> None:
    endings = [event for event in world.log if isinstance(event, TERMINAL_EVENTS)]

    assert endings == [world.log[-1]]
    assert world.run.status.final
    assert all(node.status.final for node in world.run.nodes)


@given(worlds)
def test_the_log_is_dense_and_its_time_never_goes_back(world: World) -> None:
    assert [event.sequence for event in world.log] == list(range(1, len(world.log) + 1))
    assert [event.at for event in world.log] == sorted(event.at for event in world.log)


@given(worlds)
def test_the_fold_of_the_log_is_the_run(world: World) -> None:
    assert fold(world.log) == world.run
    assert fold(decode_events(encode_events(world.log))) == world.run


@given(worlds, st.randoms(use_true_random=False))
def test_a_run_can_be_snapshot_and_restored_at_any_point(world: World, chance: random.Random) -> None:
    run = fold(world.log[: chance.randint(1, len(world.log))])

    assert restore(snapshot(run)) == run


@given(worlds)
def test_no_node_is_attempted_more_often_than_its_policy_says(world: World) -> None:
    started = Counter(event.node for event in world.log if isinstance(event, AttemptStarted))

    for node in world.run.plan.nodes:
        assert started[node.key] <= node.retry.maximum_attempts


@given(worlds)
def test_no_slot_is_held_or_wanted_when_the_run_has_ended(world: World) -> None:
    assert world.slots.holders == set()
    assert world.slots.line == []
    assert (world.run.running, world.run.held, world.run.waiting) == (0, 0, {})


@given(worlds)
def test_no_attempt_outlives_its_timeout_unless_its_process_was_gone(world: World) -> None:
    for node in world.run.nodes:
        seconds = world.run.plan.nodes[node.index].timeout.attempt_seconds
        for attempt in node.attempts:
            if seconds is not None and attempt.status == "COMPLETED":
                assert attempt.finished_at is not None
                assert attempt.finished_at - attempt.started_at < timedelta(seconds=seconds)


@given(worlds)
def test_the_runs_own_limit_is_kept_at_every_moment(world: World) -> None:
    limit = world.run.plan.maximum_concurrency

    run = begin(submitted(world.run.plan))
    for event in world.log[1:]:
        evolve(run, event)
        assert limit is None or run.running <= limit


@given(worlds)
def test_every_node_ends_once_and_before_its_run(world: World) -> None:
    endings = Counter(
        event.node
        for event in world.log[:-1]
        if isinstance(event, NodeCompleted | NodeFailed | NodeSkipped | NodeCancelled)
    )

    assert endings == {node.key: 1 for node in world.run.nodes}


@given(worlds)
def test_a_node_starts_only_after_all_it_depends_on_has_ended(world: World) -> None:
    ended: dict[str, datetime] = {}
    for event in world.log:
        if isinstance(event, AttemptStarted):
            assert set(world.run.node_plan(event.node).depends_on) <= ended.keys()
        elif isinstance(event, NodeCompleted | NodeFailed | NodeSkipped | NodeCancelled):
            ended[event.node.id] = event.at


@given(worlds, st.sampled_from([CancelRequested(), Begin(), ShuttingDown()]))
def test_a_run_that_has_ended_never_changes(world: World, signal: Signal) -> None:
    for told in [*world.past, signal, Evaluated(target=EvaluationTarget.OUTPUT)]:
        before = world.run.copy()
        world.tell(told)
        assert world.run == before


@given(plans(), st.integers(1, 4), st.integers(0, 2**32))
def test_the_machine_is_deterministic(what: Plan, capacity: int, seed: int) -> None:
    assert live_through(what, capacity, seed).log == live_through(what, capacity, seed).log


@given(worlds)
def test_a_failed_node_says_why_it_was_not_tried_again(world: World) -> None:
    for node in world.run.nodes:
        assert (node.retry_state is not None) == (node.status is NodeStatus.FAILED)
        assert (node.error is not None) == (node.status is NodeStatus.FAILED)
        assert (node.skip_reason is not None) == (node.status is NodeStatus.SKIPPED)
