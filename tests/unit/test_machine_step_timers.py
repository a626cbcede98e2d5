"""The rules of steps: their timeouts, and the limits they wait for."""

from datetime import timedelta

import pytest

from gql_app.core.events import RetryState, RunEvent, SlotLimit, StepFailed, StepQueued, StepStarted
from gql_app.core.ids import StepKey
from gql_app.core.run import NodeStatus
from gql_app.core.signals import (
    AnswerStep,
    CancelRequested,
    SetTimer,
    SlotGranted,
    SlotMoved,
    SlotWanted,
    StartStep,
    StepDropped,
    TimerKind,
)
from gql_app.core.step_run import StepStatus
from gql_app.testing.virtual_time import NOON
from tests.support.builders import kinds, node
from tests.support.steps import A, StepSlots, StepStory, limited, request


def failed(events: list[RunEvent]) -> StepFailed:
    (event,) = events
    assert isinstance(event, StepFailed)
    return event


def test_a_try_that_takes_too_long_is_let_go_of_and_tried_again() -> None:
    story = StepStory(node("a"))
    story.ask("x", limited(attempt_seconds=5.0))

    event = failed(story.ring(TimerKind.ATTEMPT, "x", after=5))

    assert event.error.type == "AttemptTimeout"
    assert event.retry_at == NOON + timedelta(seconds=6)
    assert story.let_go() == ["x"]
    assert story.done("x", step_attempt=1) == []


def test_a_try_that_is_silent_for_too_long_is_let_go_of() -> None:
    story = StepStory(node("a"))
    story.ask("x", limited(heartbeat_seconds=5.0))

    quiet = story.ring(TimerKind.HEARTBEAT, "x", after=5, beat_at=NOON + timedelta(seconds=3))
    again = story.timers()
    event = failed(story.ring(TimerKind.HEARTBEAT, "x", after=3, beat_at=NOON + timedelta(seconds=3)))

    assert quiet == []
    assert [(timer.kind, timer.at) for timer in again] == [(TimerKind.HEARTBEAT, NOON + timedelta(seconds=8))]
    assert event.error.type == "HeartbeatTimeout"
    assert story.let_go() == ["x"]


def test_a_sign_of_life_of_the_try_before_does_not_count() -> None:
    story = StepStory(node("a"))
    story.ask("x", limited(heartbeat_seconds=5.0))
    story.err("x", after=4)
    story.ring(TimerKind.RETRY, "x", after=1)

    early = story.ring(TimerKind.HEARTBEAT, "x", after=1, beat_at=NOON)

    assert early == []
    assert [timer.at for timer in story.timers()] == [NOON + timedelta(seconds=10)]


def test_all_tries_together_may_not_take_longer_than_the_total() -> None:
    story = StepStory(node("a"))
    story.ask("x", limited(attempt_seconds=None, total_seconds=10.0))

    event = failed(story.ring(TimerKind.TOTAL, "x", after=10))

    assert (event.error.type, event.retry_state) == ("TotalTimeout", RetryState.TIMEOUT)
    assert story.let_go() == ["x"]
    assert [answer.error for answer in story.answers()] == [event.error]


def test_the_total_also_ends_a_step_that_waits_for_its_next_try() -> None:
    story = StepStory(node("a"))
    story.ask("x", limited(total_seconds=10.0))
    story.err("x", after=9)

    event = failed(story.ring(TimerKind.TOTAL, "x", after=1))

    assert event.error.type == "TotalTimeout"
    assert story.let_go() == []
    assert story.ring(TimerKind.RETRY, "x") == []


def test_the_total_is_set_once_for_all_tries() -> None:
    story = StepStory(node("a"))
    story.ask("x", limited(attempt_seconds=None, total_seconds=10.0))
    first = [timer.kind for timer in story.timers()]
    story.err("x")

    story.ring(TimerKind.RETRY, "x", after=1)

    assert first == [TimerKind.TOTAL]
    assert story.timers() == []


def test_a_step_that_is_asked_for_again_has_its_total_again() -> None:
    story = StepStory(node("a"))
    story.ask("x", limited(attempt_seconds=None, total_seconds=10.0))
    story.ring(TimerKind.TOTAL, "x", after=10)

    story.ask("x", limited(attempt_seconds=None, total_seconds=10.0))

    assert [timer.at for timer in story.timers()] == [NOON + timedelta(seconds=20)]
    assert story.ring(TimerKind.TOTAL, "x", after=9, step_attempt=1) == []
    assert story.step("x").status is StepStatus.RUNNING


@pytest.mark.parametrize("kind", [TimerKind.ATTEMPT, TimerKind.HEARTBEAT, TimerKind.TOTAL])
def test_a_timer_of_a_step_that_fires_early_is_set_again(kind: TimerKind) -> None:
    story = StepStory(node("a"))
    story.ask("x", limited(attempt_seconds=5.0, heartbeat_seconds=5.0, total_seconds=5.0))

    assert story.ring(kind, "x", after=4.999) == []
    assert story.commands == [
        SetTimer(kind=kind, at=NOON + timedelta(seconds=5), node=A, attempt=1, step="x", step_attempt=1)
    ]


def test_a_retry_that_comes_early_is_waited_for() -> None:
    story = StepStory(node("a"))
    story.ask("x")
    story.err("x")

    assert story.ring(TimerKind.RETRY, "x", after=0.5) == []
    assert [timer.at for timer in story.timers()] == [NOON + timedelta(seconds=1)]


@pytest.mark.parametrize("kind", list(TimerKind))
def test_a_timer_of_a_try_that_is_over_does_nothing(kind: TimerKind) -> None:
    story = StepStory(node("a"))
    story.ask("x", limited(attempt_seconds=5.0, heartbeat_seconds=5.0, queue_seconds=5.0))
    story.err("x")
    story.ring(TimerKind.RETRY, "x", after=1)

    assert story.ring(kind, "x", after=100, step_attempt=1) == []
    assert story.commands == []


@pytest.mark.parametrize("kind", list(TimerKind))
def test_a_timer_of_a_step_in_an_attempt_that_is_over_does_nothing(kind: TimerKind) -> None:
    story = StepStory(node("a"))
    story.ask("x", limited(attempt_seconds=5.0, heartbeat_seconds=5.0, total_seconds=5.0))
    story.fail("a")
    story.fire(TimerKind.RETRY, "a", after=1)
    story.ask("x", limited(attempt_seconds=5.0, heartbeat_seconds=5.0, total_seconds=5.0))

    assert story.ring(kind, "x", after=3, attempt=1) == []
    assert story.commands == []


@pytest.mark.parametrize("kind", list(TimerKind))
def test_a_timer_of_a_step_that_nobody_asked_for_does_nothing(kind: TimerKind) -> None:
    story = StepStory(node("a"))

    assert story.ring(kind, "x", after=3) == []
    assert story.commands == []


def test_a_step_waits_for_a_slot_and_begins_when_it_is_granted() -> None:
    slots = StepSlots()
    story = StepStory(node("a"), slots=slots)

    queued = story.ask("x", limited(queue_seconds=5.0))
    asked = story.timers()
    step = story.step("x")
    granted = story.tell(SlotGranted(node=A, step="x"), after=1)

    assert kinds(queued) == [StepQueued]
    assert (step.status, step.queued_for, step.queued_name) == (StepStatus.QUEUED, SlotLimit.TOOL, "narrow")
    assert [(timer.kind, timer.at) for timer in asked] == [(TimerKind.QUEUE, NOON + timedelta(seconds=5))]
    assert kinds(granted) == [StepStarted]
    assert story.started() == [StartStep(node=A, attempt=1, step="x", step_attempt=1)]
    assert (story.step("x").queued_for, story.step("x").queued_at) == (None, None)


def test_the_request_of_a_step_is_told_once_in_an_attempt() -> None:
    story = StepStory(node("a"), slots=StepSlots())

    (queued,) = story.ask("x", request(name="fetch"))
    (started,) = story.tell(SlotGranted(node=A, step="x"))
    story.err("x")
    (again,) = story.ring(TimerKind.RETRY, "x", after=1)

    assert isinstance(queued, StepQueued)
    assert queued.request is not None
    assert isinstance(started, StepStarted)
    assert isinstance(again, StepQueued)
    assert (started.request, again.request) == (None, None)
    assert story.step("x").request.name == "fetch"


def test_a_step_that_moves_to_the_next_line_says_for_what_it_waits_since_when_it_waits() -> None:
    story = StepStory(node("a"), slots=StepSlots())
    story.ask("x")

    moved = story.tell(SlotMoved(node=A, step="x", limit=SlotLimit.RATE, name="api"), after=3)
    same = story.tell(SlotMoved(node=A, step="x", limit=SlotLimit.RATE, name="api"))

    assert (kinds(moved), same) == ([StepQueued], [])
    step = story.step("x")
    assert (step.queued_for, step.queued_name, step.queued_at) == (SlotLimit.RATE, "api", NOON)


def test_a_step_that_waits_too_long_for_a_slot_is_given_up() -> None:
    slots = StepSlots()
    story = StepStory(node("a"), slots=slots)
    story.ask("x", limited(queue_seconds=5.0))

    event = failed(story.ring(TimerKind.QUEUE, "x", after=5))

    assert (event.error.type, event.retry_state) == ("QueueTimeout", RetryState.TIMEOUT)
    assert "5 s" in event.error.message
    assert "narrow" in event.error.message
    assert slots.line == []
    assert story.commands == [AnswerStep(node=A, attempt=1, step="x", error=event.error)]
    assert story["a"].status is NodeStatus.RUNNING


def test_a_step_that_was_let_go_of_in_the_line_may_be_asked_for_again_by_other_rules() -> None:
    story = StepStory(node("a"), slots=StepSlots())
    story.ask("x", limited(queue_seconds=5.0))
    story.tell(StepDropped(node=A, attempt=1, step="x"))
    story.ask("x", limited(queue_seconds=None))

    assert story.ring(TimerKind.QUEUE, "x", after=5) == []
    assert story.step("x").status is StepStatus.QUEUED


def test_a_step_may_wait_as_long_again_before_its_next_try() -> None:
    slots = StepSlots(1)
    story = StepStory(node("a"), slots=slots)
    story.ask("x", limited(queue_seconds=5.0))
    story.err("x", after=4)
    slots.capacity = 0

    story.ring(TimerKind.RETRY, "x", after=1)

    assert story.step("x").status is StepStatus.QUEUED
    assert [timer.at for timer in story.timers()] == [NOON + timedelta(seconds=10)]


def test_the_total_also_ends_a_step_that_waits_for_a_slot() -> None:
    slots = StepSlots(1)
    story = StepStory(node("a"), slots=slots)
    story.ask("x", limited(attempt_seconds=None, total_seconds=10.0))
    story.err("x")
    slots.capacity = 0
    story.ring(TimerKind.RETRY, "x", after=1)

    event = failed(story.ring(TimerKind.TOTAL, "x", after=9, step_attempt=1))

    assert event.error.type == "TotalTimeout"
    assert slots.line == []
    assert story.let_go() == []


def test_a_slot_that_comes_too_late_is_given_back() -> None:
    slots = StepSlots()
    story = StepStory(node("a"), slots=slots)
    story.ask("x", limited(queue_seconds=5.0))
    story.ring(TimerKind.QUEUE, "x", after=5)
    slots.holders.append(StepKey(A, "x"))

    assert story.tell(SlotGranted(node=A, step="x")) == []
    assert slots.holders == []


def test_a_slot_that_comes_when_the_run_is_stopping_is_given_back() -> None:
    slots = StepSlots()
    story = StepStory(node("a"), slots=slots)
    story.ask("x")
    story.tell(CancelRequested())
    slots.holders.append(StepKey(A, "x"))

    assert story.tell(SlotGranted(node=A, step="x")) == []
    assert slots.holders == []


def test_a_step_says_of_which_tool_it_wants_a_slot() -> None:
    asked: list[tuple[object, str, tuple[str, ...]]] = []

    class Recorded(StepSlots):
        def acquire(self, holder: object, tool: str, limits: tuple[str, ...] = ()) -> SlotWanted | None:
            asked.append((holder, tool, limits))
            return None

    story = StepStory(node("a"), slots=Recorded())
    story.ask("x", request(name="not a tool", limits=("api",)))

    assert asked[-1] == (StepKey(A, "x"), "", ("api",))
