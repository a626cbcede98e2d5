"""The rules of a run: timeouts, and stopping by its first cause."""

from datetime import timedelta

import pytest

from gql_app.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptStarted,
    AttemptTimedOut,
    Failure,
    NodeCancelled,
    NodeCompleted,
    NodeFailed,
    NodeSkipped,
    Outcome,
    RetryState,
    SkipReason,
    SlotLimit,
    Timeout,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowStopping,
    WorkflowTimedOut,
)
from gql_app.core.ids import Holder, NodeKey
from gql_app.core.run import AttemptStatus, NodeStatus, RunStatus
from gql_app.core.signals import CancelRequested, SetTimer, SlotWanted, StopAttempt, TimerKind
from gql_app.core.spec import TimeoutPolicy
from gql_app.testing.virtual_time import NOON
from tests.support.builders import ONCE, Story, kinds, node


class OneSlot:
    """A single slot, and a count of who has it or wants it."""

    def __init__(self) -> None:
        self.holders: set[Holder] = set()

    def acquire(self, holder: Holder, tool: str, limits: tuple[str, ...] = ()) -> SlotWanted | None:
        if self.holders:
            return SlotWanted(SlotLimit.EXECUTOR)
        self.holders.add(holder)
        return None

    def release(self, holder: Holder) -> None:
        self.holders.discard(holder)


def timed(**seconds: float) -> TimeoutPolicy:
    return TimeoutPolicy(**seconds)


def test_an_attempt_that_takes_too_long_is_timed_out_and_tried_again() -> None:
    story = Story(node("a", timeout=timed(attempt_seconds=5.0)))

    events = story.fire(TimerKind.ATTEMPT, "a", after=5)

    assert kinds(events) == [AttemptTimedOut]
    assert story["a"].attempts[0].status is AttemptStatus.TIMED_OUT
    assert story["a"].status is NodeStatus.RETRYING
    assert StopAttempt(node=NodeKey("a"), attempt=1, abandon=True) in story.commands


def test_a_timer_that_fires_early_is_set_again() -> None:
    story = Story(node("a", timeout=timed(attempt_seconds=5.0)))

    events = story.fire(TimerKind.ATTEMPT, "a", after=4.999)

    assert events == []
    due = NOON + timedelta(seconds=5)
    assert story.commands == [SetTimer(kind=TimerKind.ATTEMPT, at=due, node=NodeKey("a"), attempt=1)]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (TimerKind.RETRY, "retrying"),
        (TimerKind.WORKFLOW, None),
        (TimerKind.QUEUE, "queued"),
        (TimerKind.TOTAL, "total"),
    ],
)
def test_every_other_timer_that_fires_early_is_set_again_too(kind: TimerKind, name: str | None) -> None:
    slots = OneSlot()
    nodes = [
        node("total", timeout=timed(total_seconds=100.0)),
        node("queued", timeout=timed(queue_seconds=100.0)),
        node("retrying"),
    ]
    story = Story(nodes[2], slots=slots) if name == "retrying" else Story(*nodes, slots=slots)
    if name == "retrying":
        story.fail("retrying", retry_after=100.0)

    events = story.fire(kind, name, after=1)

    assert events == []
    assert [command.kind for command in story.commands if isinstance(command, SetTimer)] == [kind]


def test_a_timer_of_an_attempt_that_is_over_is_ignored() -> None:
    story = Story(node("a"))
    story.fail("a")
    story.fire(TimerKind.RETRY, "a", after=100)

    assert story.fire(TimerKind.ATTEMPT, "a", attempt=1, after=1000) == []
    assert story.fire(TimerKind.RETRY, "a", attempt=2) == []


def test_a_result_that_comes_after_the_timeout_is_not_taken_even_if_the_timer_is_late() -> None:
    story = Story(node("a", timeout=timed(attempt_seconds=5.0)))

    events = story.succeed("a", after=5)

    assert kinds(events) == [AttemptTimedOut]


def test_silence_times_an_attempt_out() -> None:
    story = Story(node("a", timeout=timed(heartbeat_seconds=2.0)))

    (event,) = story.fire(TimerKind.HEARTBEAT, "a", after=2)

    assert isinstance(event, AttemptTimedOut)
    assert (event.timeout, event.error.type) == (Timeout.HEARTBEAT, "HeartbeatTimeout")


def test_a_sign_of_life_moves_the_heartbeat_timer() -> None:
    story = Story(node("a", timeout=timed(heartbeat_seconds=2.0)))

    events = story.fire(TimerKind.HEARTBEAT, "a", after=2, beat_at=NOON + timedelta(seconds=1.5))

    assert events == []
    due = NOON + timedelta(seconds=3.5)
    assert story.commands == [SetTimer(kind=TimerKind.HEARTBEAT, at=due, node=NodeKey("a"), attempt=1)]


def test_waiting_too_long_for_a_slot_fails_the_node_without_a_retry() -> None:
    story = Story(node("a"), node("b", timeout=timed(queue_seconds=3.0)), slots=OneSlot())

    events = story.fire(TimerKind.QUEUE, "b", after=3)

    assert kinds(events)[0] is NodeFailed
    assert story["b"].error is not None
    assert (story["b"].error.type, story["b"].retry_state) == ("QueueTimeout", RetryState.TIMEOUT)


def test_all_attempts_together_may_take_the_total_and_no_longer() -> None:
    story = Story(node("a", timeout=timed(total_seconds=10.0)))
    story.fail("a", after=1, retry_after=1.0)
    story.fire(TimerKind.RETRY, "a", after=1)

    events = story.fire(TimerKind.TOTAL, "a", after=8)

    assert kinds(events)[:2] == [AttemptTimedOut, NodeFailed]
    assert story["a"].error is not None
    assert (story["a"].error.type, story["a"].retry_state) == ("TotalTimeout", RetryState.TIMEOUT)


def test_the_total_ends_a_node_that_waits_for_its_retry() -> None:
    story = Story(node("a", timeout=timed(total_seconds=10.0)))
    story.fail("a", after=1, retry_after=9.0)

    events = story.fire(TimerKind.TOTAL, "a", after=9)

    assert kinds(events) == [NodeFailed, WorkflowStopping, WorkflowFailed]


def test_a_run_that_takes_too_long_is_stopped_and_timed_out() -> None:
    story = Story(node("a"), node("b", after=["a"]), timeout_seconds=60.0)

    stopping = story.fire(TimerKind.WORKFLOW, after=60)
    ended = story.stopped("a")

    assert kinds(stopping) == [WorkflowStopping, NodeSkipped]
    assert kinds(ended) == [AttemptCancelled, NodeCancelled, WorkflowTimedOut]
    assert story.run.error is not None
    assert story.run.error.type == "WorkflowTimeout"


def test_cancelling_asks_what_is_in_flight_to_stop_and_gives_it_its_grace() -> None:
    story = Story(node("a"), node("b", after=["a"]))

    events = story.tell(CancelRequested(reason="enough"))

    assert kinds(events) == [WorkflowStopping, NodeSkipped]
    assert story["b"].skip_reason is SkipReason.WORKFLOW_STOPPING
    assert story.run.status is RunStatus.STOPPING
    assert story.commands == [
        StopAttempt(node=NodeKey("a"), attempt=1, abandon=False),
        SetTimer(kind=TimerKind.STOP_GRACE, at=NOON + timedelta(seconds=10)),
    ]


def test_an_attempt_that_completes_within_the_grace_is_completed() -> None:
    story = Story(node("a"))
    story.tell(CancelRequested())

    events = story.succeed("a", after=1)

    assert kinds(events) == [NodeCompleted, WorkflowCancelled]
    assert story.run.outcome is Outcome.CANCELLED


def test_what_is_left_after_the_grace_is_cancelled_and_abandoned() -> None:
    story = Story(node("a"))
    story.tell(CancelRequested())

    events = story.fire(TimerKind.STOP_GRACE, after=10)

    assert kinds(events) == [AttemptCancelled, NodeCancelled, WorkflowCancelled]
    assert story.commands == [StopAttempt(node=NodeKey("a"), attempt=1, abandon=True)]


def test_an_attempt_that_fails_while_stopping_is_not_tried_again() -> None:
    story = Story(node("a"))
    story.tell(CancelRequested())

    events = story.fail("a")

    assert kinds(events) == [AttemptFailed, NodeFailed, WorkflowCancelled]
    assert story["a"].retry_state is RetryState.CANCEL_REQUESTED


def test_a_node_that_waits_for_its_retry_is_cancelled_at_once() -> None:
    story = Story(node("a"))
    story.fail("a")

    events = story.tell(CancelRequested())

    assert kinds(events) == [WorkflowStopping, NodeCancelled, WorkflowCancelled]


def test_the_first_cause_of_stopping_wins() -> None:
    story = Story(node("a", retry=ONCE), node("b"))

    story.fail("a")
    ignored = story.tell(CancelRequested(reason="too late"))
    story.stopped("b")

    assert ignored == []
    assert story.run.status is RunStatus.FAILED
    assert story.run.error == Failure("Boom", "it broke", node=NodeKey("a"))


def test_nothing_happens_to_a_run_that_has_ended() -> None:
    story = Story(node("a"))
    story.tell(CancelRequested())
    story.stopped("a")

    assert story.succeed("a") == []
    assert story.tell(CancelRequested()) == []
    assert story.fire(TimerKind.WORKFLOW, after=9999) == []


def test_a_run_may_be_cancelled_before_it_has_begun() -> None:
    story = Story(node("a"), begun=False)

    events = story.tell(CancelRequested())

    assert kinds(events) == [WorkflowStopping, NodeSkipped, WorkflowCancelled]


@pytest.mark.parametrize("ending", ["succeed", "fail", "time out", "stop", "cancel"])
def test_a_slot_is_given_back_however_the_attempt_ends(ending: str) -> None:
    slots = OneSlot()
    story = Story(node("a"), slots=slots)

    match ending:
        case "succeed":
            story.succeed("a")
        case "fail":
            story.fail("a")
        case "time out":
            story.fire(TimerKind.ATTEMPT, "a", after=60)
        case "stop":
            story.tell(CancelRequested())
            story.stopped("a")
        case _:
            story.tell(CancelRequested())
            story.fire(TimerKind.STOP_GRACE, after=10)

    assert slots.holders == set()


def test_time_that_goes_back_does_not_go_back_in_the_log() -> None:
    story = Story(node("a"), node("b", after=["a"]))

    events = story.succeed("a", after=-3600)

    assert kinds(events) == [NodeCompleted, AttemptStarted]
    assert [event.at for event in events] == [NOON, NOON]
