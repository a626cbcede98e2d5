"""The rules of steps within steps: they end with the try of the step that they are part of."""

from datetime import timedelta

import pytest

from gql_app.core.events import (
    Failure,
    RetryState,
    StepFailed,
    StepStarted,
)
from gql_app.core.ids import StepKey
from gql_app.core.signals import (
    AnswerStep,
    TimerKind,
)
from gql_app.core.step_run import StepStatus
from gql_app.testing.virtual_time import NOON
from tests.support.builders import kinds, node
from tests.support.steps import A, StepSlots, StepStory, limited, value_of


def statuses(story: StepStory) -> dict[str, StepStatus]:
    return {step.id: step.status for step in story["a"].steps}


def nested() -> StepStory:
    """Let the step `call` be taking the steps `call/model` and `call/look`, and `other` go on beside it."""
    story = StepStory(node("a"), slots=StepSlots(9))
    for step in ("call", "call/model", "call/look", "call/look/deep", "other", "call2"):
        story.ask(step, limited(total_seconds=50.0))
    return story


def test_the_steps_within_a_step_end_with_its_try() -> None:
    story = nested()
    slots = story.slots
    assert isinstance(slots, StepSlots)
    story.done("call/look/deep")
    story.err("call/look")

    events = story.err("call", after=2)

    assert kinds(events) == [StepFailed]
    assert statuses(story) == {
        "call": StepStatus.RETRYING,
        "call/model": StepStatus.CANCELLED,
        "call/look": StepStatus.CANCELLED,
        "call/look/deep": StepStatus.COMPLETED,
        "other": StepStatus.RUNNING,
        "call2": StepStatus.RUNNING,
    }
    assert story.step("call/model").finished_at == NOON + timedelta(seconds=2)
    assert story.let_go() == ["call/model"]
    assert slots.holders == [StepKey(A, "other"), StepKey(A, "call2")]
    assert story.ring(TimerKind.RETRY, "call/look", after=1) == []


@pytest.mark.parametrize("ending", ["done", "timed out", "total"])
def test_the_steps_within_a_step_are_let_go_of_however_it_ends(ending: str) -> None:
    story = nested()

    match ending:
        case "done":
            story.done("call")
        case "timed out":
            story.ring(TimerKind.ATTEMPT, "call", after=60)
        case _:
            story.ring(TimerKind.TOTAL, "call", after=50)

    assert {"call/model", "call/look", "call/look/deep"} <= set(story.let_go())
    assert [step for step, status in statuses(story).items() if status is StepStatus.RUNNING] == ["other", "call2"]


def test_the_next_try_of_a_step_does_only_what_was_not_done_within_it() -> None:
    story = nested()
    story.done("call/model", value_of("an answer"))
    story.err("call")
    story.ring(TimerKind.RETRY, "call", after=1)

    done = story.ask("call/model")
    answered = story.answers()
    again = story.ask("call/look")

    assert done == []
    assert answered == [AnswerStep(node=A, attempt=1, step="call/model", output=value_of("an answer"))]
    assert kinds(again) == [StepStarted]
    assert story.step("call/look").attempt == 2


def test_what_is_left_of_a_try_that_is_over_begins_no_step() -> None:
    story = nested()
    story.err("call")

    waiting = story.ask("call/late")
    story.ring(TimerKind.RETRY, "call", after=1)
    story.done("call")
    ended = story.ask("call/late")

    assert (waiting, ended) == ([], [])
    assert story.commands == []


def test_a_step_within_another_is_not_tried_again_after_the_deadline_of_that_one() -> None:
    story = StepStory(node("a"))
    story.ask("call", limited(attempt_seconds=10.0))
    story.ask("call/model")

    (event,) = story.err("call/model", Failure("RateLimited", retry_after=11.0))

    assert isinstance(event, StepFailed)
    assert event.retry_state is RetryState.TIMEOUT
