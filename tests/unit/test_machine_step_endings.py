"""The rules of steps: what becomes of them when what they are part of ends, and that they keep no slot."""

import pytest

from gql_app.core.codec import decode_events, encode_events, restore, snapshot
from gql_app.core.events import (
    AttemptCancelled,
    AttemptLost,
    AttemptTimedOut,
    NodeCancelled,
    RetryState,
    StepCompleted,
    StepFailed,
    Usage,
    WorkflowCancelled,
    WorkflowStopping,
)
from gql_app.core.fold import fold
from gql_app.core.ids import StepKey
from gql_app.core.reports import Chunk, Mark
from gql_app.core.run import RunStatus
from gql_app.core.signals import (
    AnswerStep,
    Begin,
    CancelRequested,
    ShuttingDown,
    TimerKind,
)
from gql_app.core.spec import RetryPolicy, TimeoutPolicy
from gql_app.core.step_run import StepStatus
from tests.support.builders import kinds, node
from tests.support.steps import A, StepSlots, StepStory, limited, request, value_of


def statuses(story: StepStory) -> dict[str, StepStatus]:
    return {step.id: step.status for step in story["a"].steps}


ENDINGS = ["done", "failed", "timed out", "total", "attempt failed", "attempt timed out", "tool returned", "grace"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_step_gives_its_slot_back_however_it_ends(ending: str) -> None:
    slots = StepSlots(1)
    story = StepStory(node("a"), slots=slots)
    story.ask("x", limited(total_seconds=30.0))
    assert slots.holders == [StepKey(A, "x")]

    match ending:
        case "done":
            story.done("x")
        case "failed":
            story.err("x")
        case "timed out":
            story.ring(TimerKind.ATTEMPT, "x", after=60)
        case "total":
            story.ring(TimerKind.TOTAL, "x", after=30)
        case "attempt failed":
            story.fail("a")
        case "attempt timed out":
            story.fire(TimerKind.ATTEMPT, "a", after=60)
        case "tool returned":
            story.succeed("a")
        case _:
            story.tell(CancelRequested())
            story.fire(TimerKind.STOP_GRACE, after=10)

    assert slots.holders == []


def test_a_step_that_waits_for_a_slot_leaves_the_line_with_its_attempt() -> None:
    slots = StepSlots()
    story = StepStory(node("a"), slots=slots)
    story.ask("x")

    story.fail("a")

    assert slots.line == []


def test_nothing_begins_once_the_run_is_stopping() -> None:
    story = StepStory(node("a"))
    story.ask("x")
    story.tell(CancelRequested())

    events = story.ask("y")

    assert events == []
    (answer,) = story.answers()
    assert answer.error is not None
    assert (answer.error.type, answer.error.retryable) == ("WorkflowStopping", False)


def test_a_step_that_waits_for_its_next_try_is_not_tried_once_the_run_is_stopping() -> None:
    story = StepStory(node("a"))
    story.ask("x")
    story.err("x")
    story.tell(CancelRequested())

    events = story.ring(TimerKind.RETRY, "x", after=1)

    assert events == []
    assert story.started() == []
    assert [answer.error.type for answer in story.answers() if answer.error] == ["WorkflowStopping"]


def test_a_step_that_ends_within_the_grace_is_kept() -> None:
    story = StepStory(node("a"))
    story.ask("x")
    story.tell(CancelRequested())

    events = story.done("x", value_of(1), after=1)

    assert kinds(events) == [StepCompleted]
    assert story.answers() == [AnswerStep(node=A, attempt=1, step="x", output=value_of(1))]


@pytest.mark.parametrize(
    ("seconds", "state"), [(None, RetryState.CANCEL_REQUESTED), (3_600.0, RetryState.TIMEOUT)], ids=["cancel", "time"]
)
def test_a_step_that_fails_while_the_run_stops_is_not_tried_again(seconds: float | None, state: RetryState) -> None:
    story = StepStory(node("a", timeout=TimeoutPolicy(attempt_seconds=None)))
    story.ask("x")
    if seconds is None:
        story.tell(CancelRequested())
    else:
        story.fire(TimerKind.WORKFLOW, after=seconds)

    (event,) = story.err("x")

    assert isinstance(event, StepFailed)
    assert event.retry_state is state


def test_what_is_left_after_the_grace_takes_its_steps_with_it() -> None:
    story = StepStory(node("a"))
    story.ask("x")
    story.tell(CancelRequested())

    events = story.fire(TimerKind.STOP_GRACE, after=10)

    assert kinds(events) == [AttemptCancelled, NodeCancelled, WorkflowCancelled]
    assert statuses(story) == {"x": StepStatus.CANCELLED}


def test_a_run_that_is_over_takes_no_answer_of_a_step() -> None:
    story = StepStory(node("a"))
    story.ask("x")
    story.tell(CancelRequested())
    story.fire(TimerKind.STOP_GRACE, after=10)

    assert story.done("x") == []
    assert story.ask("y") == []
    assert story.ring(TimerKind.ATTEMPT, "x", after=60) == []


def test_the_time_of_the_run_ends_its_steps() -> None:
    story = StepStory(node("a", timeout=TimeoutPolicy(attempt_seconds=None)), timeout_seconds=30.0)
    story.ask("x")

    events = story.fire(TimerKind.WORKFLOW, after=30)
    story.fire(TimerKind.STOP_GRACE, after=10)

    assert kinds(events) == [WorkflowStopping]
    assert story.run.status is RunStatus.TIMED_OUT
    assert statuses(story) == {"x": StepStatus.CANCELLED}


def test_shutting_down_loses_the_steps_that_go_on() -> None:
    story = StepStory(node("a"))
    story.ask("x")
    story.done("x")
    story.ask("y")
    story.ask("z")
    story.err("z")

    events = story.tell(ShuttingDown())

    assert kinds(events) == [AttemptLost]
    assert statuses(story) == {"x": StepStatus.COMPLETED, "y": StepStatus.LOST, "z": StepStatus.LOST}
    assert story.done("y", attempt=1) == []


def test_an_attempt_that_takes_too_long_ends_its_steps() -> None:
    story = StepStory(node("a"))
    story.ask("x")

    events = story.fire(TimerKind.ATTEMPT, "a", after=60)

    assert kinds(events) == [AttemptTimedOut]
    assert statuses(story) == {"x": StepStatus.CANCELLED}


# What is kept


def full_story() -> StepStory:
    """Let everything happen to steps that can."""
    story = StepStory(node("a"), node("b", after=["a"]), slots=StepSlots(3), timeout_seconds=600.0)
    story.show(Chunk("thinking"), Mark(0.25, "at it"))
    story.ask("x", request(name="fetch", input=value_of({"q": 1}), retry=RetryPolicy(maximum_attempts=2)))
    story.ask("x/y")
    story.show(Chunk("of a step", "x/y", 1))
    story.err("x/y", usage=Usage(1, 10, 2, 0.25))
    story.err("x", usage=Usage(1, 5, 0))
    story.ask("done")
    story.done("done", value_of(["an", "output"]), usage=Usage(1, 7, 7, 0.5))
    for step in ("one", "two", "three", "four"):
        story.ask(step)
    story.tell(Begin(), after=5)
    story.fire(TimerKind.RETRY, "a", after=9)
    story.ask("done")
    story.ask("x", request(name="fetch"))
    return story


def test_the_fold_of_the_log_is_the_run_with_its_steps() -> None:
    story = full_story()

    assert fold(story.log) == story.run
    assert decode_events(encode_events(story.log)) == story.log
    assert fold(decode_events(encode_events(story.log))) == story.run


def test_a_run_with_steps_is_the_same_after_it_was_kept() -> None:
    story = full_story()

    for length in range(1, len(story.log) + 1):
        run = fold(story.log[:length])
        assert restore(snapshot(run)) == run
