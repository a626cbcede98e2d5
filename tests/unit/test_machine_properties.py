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
    Failure,
    NodeCancelled,
    NodeCompleted,
    NodeFailed,
    NodeSkipped,
    RunEvent,
    SlotLimit,
)
from gql_app.core.fold import begin, evolve, fold
from gql_app.core.ids import Holder, NodeKey
from gql_app.core.machine import Turn
from gql_app.core.plan import NodePlan, Plan
from gql_app.core.run import NodeStatus
from gql_app.core.signals import (
    AnswerStep,
    AttemptErred,
    AttemptStopped,
    AttemptSucceeded,
    Begin,
    CancelRequested,
    Command,
    Evaluate,
    Evaluated,
    EvaluationTarget,
    SetTimer,
    ShuttingDown,
    Signal,
    SlotGranted,
    SlotWanted,
    StartAttempt,
    StartStep,
    StopAttempt,
    StopStep,
    TimerFired,
)
from gql_app.core.spec import Jitter, RetryPolicy, TimeoutPolicy
from gql_app.testing.virtual_time import NOON
from tests.support.builders import plan, submitted

STEPS: Final = 2_000
"""More than any run here can take if it makes progress at all."""


class CountedSlots:
    """A few slots and a line, which notice whoever takes two or gives back what is not theirs."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.holders: set[Holder] = set()
        self.line: list[Holder] = []
        self.granted: list[Holder] = []

    def acquire(self, holder: Holder, tool: str, limits: tuple[str, ...] = ()) -> SlotWanted | None:
        assert holder not in self.holders
        if holder in self.line:
            return SlotWanted(SlotLimit.EXECUTOR)
        if len(self.holders) >= self.capacity:
            self.line.append(holder)
            return SlotWanted(SlotLimit.EXECUTOR)
        self.holders.add(holder)
        return None

    def release(self, holder: Holder) -> None:
        if holder in self.line:
            self.line.remove(holder)
        elif holder in self.holders:
            self.holders.remove(holder)
            if self.line:
                self.holders.add(self.line[0])
                self.granted.append(self.line.pop(0))


class World:
    """A shell around the machine in which anything may happen next, as a seeded generator of chance says."""

    def __init__(self, what: Plan, capacity: int, chance: random.Random) -> None:
        self.chance = chance
        self.capacity = capacity
        first = submitted(what)
        self.log: list[RunEvent] = [first]
        self.run = begin(first)
        self.now = NOON
        self.slots = CountedSlots(capacity)
        self.calls: dict[NodeKey, int] = {}
        self.asked_to_stop: set[NodeKey] = set()
        self.timers: list[SetTimer] = []
        self.evaluations: list[Evaluate] = []
        self.past: list[Signal] = []
        self.crashes = 0

    def tell(self, signal: Signal) -> None:
        turn = Turn(self.run, self.now, self.slots)
        turn.tell(signal)
        while self.slots.granted:
            holder = self.slots.granted.pop(0)
            assert isinstance(holder, NodeKey)
            turn.tell(SlotGranted(node=holder))
        self.log += turn.events
        if not isinstance(signal, Begin | ShuttingDown):  # Said by whoever takes over or goes, never late.
            self.past.append(signal)
        for command in turn.commands:
            self.carry_out(command)

    def carry_out(self, command: Command) -> None:
        match command:
            case StartAttempt():
                assert command.node not in self.calls, "a node runs twice at once"
                self.calls[command.node] = command.attempt
            case StopAttempt():
                if self.calls.get(command.node) == command.attempt:
                    if command.abandon:
                        del self.calls[command.node]
                    else:
                        self.asked_to_stop.add(command.node)
            case SetTimer():
                self.timers.append(command)
            case Evaluate():
                self.evaluations.append(command)
            case StartStep() | StopStep() | AnswerStep():
                pass

    def crash(self) -> None:
        """Lose everything but the log, and take the run over again."""
        self.crashes += 1
        self.run = fold(decode_events(encode_events(self.log)))
        self.slots = CountedSlots(self.capacity)
        self.calls, self.asked_to_stop, self.timers, self.evaluations = {}, set(), [], []
        self.tell(Begin(draw=self.chance.random()))

    def step(self) -> None:
        """Let something happen: mostly what was asked for, now and then trouble."""
        dice = self.chance.random()
        if dice < 0.02:
            self.tell(CancelRequested())
        elif dice < 0.04 and self.crashes < 5:
            self.crash()
        elif dice < 0.05 and self.crashes < 5:
            self.tell(ShuttingDown(draw=self.chance.random()))
            self.crash()
        elif dice < 0.15 and self.past:
            self.tell(self.chance.choice(self.past))
        elif dice < 0.65 and self.calls:
            self.end_a_call()
        elif self.evaluations:
            self.answer(self.evaluations.pop(self.chance.randrange(len(self.evaluations))))
        elif self.timers:
            self.fire_a_timer()

    def end_a_call(self) -> None:
        node = self.chance.choice(list(self.calls))
        attempt = self.calls.pop(node)
        self.now += timedelta(seconds=self.chance.choice([0, 0, 1, 30]))
        if node in self.asked_to_stop and self.chance.random() < 0.5:
            self.tell(AttemptStopped(node=node, attempt=attempt))
        elif self.chance.random() < 0.6:
            self.tell(AttemptSucceeded(node=node, attempt=attempt))
        else:
            after = self.chance.choice([None, None, 0.0, 5.0, 1e9])
            error = Failure("Boom", "", self.chance.random() < 0.8, after)
            self.tell(AttemptErred(node=node, attempt=attempt, error=error, draw=self.chance.random()))

    def answer(self, command: Evaluate) -> None:
        error = Failure("ExpressionError", "", retryable=False) if self.chance.random() < 0.1 else None
        truth = None if error else self.chance.choice([True, True, False, None])
        self.tell(Evaluated(target=command.target, node=command.node, truth=truth, error=error))

    def fire_a_timer(self) -> None:
        timer = min(self.timers, key=lambda timer: timer.at)
        self.timers.remove(timer)
        early = self.chance.random() < 0.2
        due = timer.at - timedelta(milliseconds=1) if early else timer.at
        self.now = max(self.now, due)
        fired = TimerFired(kind=timer.kind, node=timer.node, attempt=timer.attempt, draw=self.chance.random())
        self.tell(fired)


@st.composite
def policies(draw: st.DrawFn) -> tuple[RetryPolicy, TimeoutPolicy]:
    retry = RetryPolicy(
        maximum_attempts=draw(st.integers(1, 4)),
        initial_interval_seconds=draw(st.sampled_from([0.5, 10.0])),
        jitter=draw(st.sampled_from(Jitter)),
        non_retryable_errors=draw(st.sampled_from([(), ("Boom",), ("AttemptTimeout",)])),
    )
    seconds = st.sampled_from([None, 2.0, 40.0])
    timeout = TimeoutPolicy(
        attempt_seconds=draw(seconds),
        heartbeat_seconds=draw(seconds),
        queue_seconds=draw(seconds),
        total_seconds=draw(seconds),
    )
    return retry, timeout


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    nodes = []
    for i in range(draw(st.integers(1, 8))):
        earlier = [f"n{j}" for j in range(i)]
        after = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3)) if earlier else []
        reads = [name for name in after if draw(st.booleans())]
        retry, timeout = draw(policies())
        nodes.append(
            NodePlan(
                key=NodeKey(f"n{i}"),
                tool="t",
                depends_on=tuple(after),
                reads=tuple(reads),
                when=draw(st.sampled_from([None, None, "x"])),
                retry=retry,
                timeout=timeout,
                continue_on_failure=draw(st.booleans()),
            )
        )
    return plan(
        *nodes,
        timeout_seconds=draw(st.sampled_from([20.0, 3600.0])),
        maximum_concurrency=draw(st.sampled_from([None, 1, 2])),
    )


def live_through(what: Plan, capacity: int, seed: int) -> World:
    """Let a run live until it ends."""
    world = World(what, capacity, random.Random(seed))
    world.tell(Begin())
    for _ in range(STEPS):
        if world.run.finished_at is not None:
            return world
        world.step()
    raise AssertionError(f"The run has not ended after {STEPS} steps: {world.run}")


worlds = st.builds(live_through, plans(), st.integers(1, 4), st.integers(0, 2**32))


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
