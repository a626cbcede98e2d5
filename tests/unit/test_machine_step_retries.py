"""The rules of steps: when they are tried again, and when they are given up."""

from datetime import timedelta

import pytest

from gql_app.core.events import (
    Failure,
    RetryState,
    StepFailed,
    StepRequest,
    StepStarted,
)
from gql_app.core.run import NodeStatus
from gql_app.core.signals import (
    AnswerStep,
    SetTimer,
    StartStep,
    TimerKind,
)
from gql_app.core.spec import RetryPolicy, TimeoutPolicy
from gql_app.core.step_run import StepStatus
from gql_app.testing.virtual_time import NOON
from tests.support.builders import kinds, node
from tests.support.steps import PLAIN, A, StepStory, limited, request


def test_a_step_that_fails_is_tried_again_after_its_delay() -> None:
    story = StepStory(node("a"))
    story.ask("x")

    (event,) = story.err("x", after=1)
    asked = story.timers()
    again = story.ring(TimerKind.RETRY, "x", after=1)

    assert isinstance(event, StepFailed)
    due = NOON + timedelta(seconds=2)
    assert (event.retry_at, event.retry_state) == (due, None)
    assert asked == [SetTimer(kind=TimerKind.RETRY, at=due, node=A, attempt=1, step="x", step_attempt=1)]
    assert kinds(again) == [StepStarted]
    assert story.started() == [StartStep(node=A, attempt=1, step="x", step_attempt=2)]
    assert story["a"].status is NodeStatus.RUNNING


def test_the_delay_between_tries_grows_by_the_steps_own_policy() -> None:
    retry = PLAIN.model_copy(update={"maximum_attempts": 9, "backoff_coefficient": 3.0, "maximum_interval_seconds": 7})
    story = StepStory(node("a"))
    story.ask("x", request(retry=retry))

    delays = []
    for _ in range(4):
        (event,) = story.err("x")
        assert isinstance(event, StepFailed)
        assert event.retry_at is not None
        delays.append((event.retry_at - event.at).total_seconds())
        story.ring(TimerKind.RETRY, "x", after=delays[-1])

    assert delays == [1, 3, 7, 7]


def test_the_draw_spreads_the_tries_of_a_step() -> None:
    story = StepStory(node("a"))
    story.ask("x", request(retry=RetryPolicy(initial_interval_seconds=8.0)))

    (event,) = story.err("x", draw=0.25)

    assert isinstance(event, StepFailed)
    assert event.retry_at == NOON + timedelta(seconds=2)


def test_what_a_step_says_of_when_to_come_back_replaces_the_delay() -> None:
    story = StepStory(node("a"))
    story.ask("x", request(retry=RetryPolicy(initial_interval_seconds=8.0)))

    (event,) = story.err("x", Failure("RateLimited", retry_after=30.0), draw=0.1)

    assert isinstance(event, StepFailed)
    assert event.retry_at == NOON + timedelta(seconds=30)


@pytest.mark.parametrize(
    ("error", "retry", "state"),
    [
        (Failure("Boom", retryable=False), PLAIN, RetryState.NON_RETRYABLE_ERROR),
        (Failure("Boom"), RetryPolicy(non_retryable_errors=("Boom",)), RetryState.NON_RETRYABLE_ERROR),
        (Failure("Boom"), RetryPolicy(maximum_attempts=1), RetryState.MAXIMUM_ATTEMPTS_REACHED),
        (Failure("Boom", retry_after=4_000.0), PLAIN, RetryState.TIMEOUT),
    ],
    ids=["not retryable", "listed", "tried often enough", "too late for the run"],
)
def test_a_step_that_is_given_up_says_why_and_answers_with_its_error(
    error: Failure, retry: RetryPolicy, state: RetryState
) -> None:
    story = StepStory(node("a", timeout=TimeoutPolicy(attempt_seconds=None)))
    story.ask("x", request(retry=retry))

    (event,) = story.err("x", error)

    assert isinstance(event, StepFailed)
    assert (event.retry_at, event.retry_state) == (None, state)
    assert (story.step("x").status, story.step("x").error) == (StepStatus.FAILED, error)
    assert story.commands == [AnswerStep(node=A, attempt=1, step="x", error=error)]
    assert story["a"].status is NodeStatus.RUNNING


@pytest.mark.parametrize(
    ("timeout", "what"),
    [
        (TimeoutPolicy(attempt_seconds=10.0), request()),
        (TimeoutPolicy(attempt_seconds=None, total_seconds=10.0), request()),
        (TimeoutPolicy(attempt_seconds=None), limited(attempt_seconds=None, total_seconds=10.0)),
    ],
    ids=["its node's attempt", "its node's total", "its own total"],
)
def test_a_step_is_not_tried_again_after_the_deadline_of(timeout: TimeoutPolicy, what: StepRequest) -> None:
    story = StepStory(node("a", timeout=timeout))
    story.ask("x", what)
    story.ask("y", what)

    (within,) = story.err("x", Failure("Boom", retry_after=9.0), after=1)
    (beyond,) = story.err("y", Failure("Boom", retry_after=9.001))

    assert isinstance(within, StepFailed)
    assert isinstance(beyond, StepFailed)
    assert within.retry_at == NOON + timedelta(seconds=10)
    assert (beyond.retry_at, beyond.retry_state) == (None, RetryState.TIMEOUT)


def test_a_step_that_was_given_up_may_be_asked_for_again_and_goes_on_counting() -> None:
    story = StepStory(node("a"))
    story.ask("x", request(retry=RetryPolicy(maximum_attempts=1)))
    story.err("x")

    events = story.ask("x", request(retry=PLAIN))
    failed = story.err("x")

    assert kinds(events) == [StepStarted]
    assert story.step("x").attempt == 2
    assert story.step("x").status is StepStatus.RETRYING
    assert [(event.step_attempt, event.retry_at) for event in failed if isinstance(event, StepFailed)] == [
        (2, NOON + timedelta(seconds=1))
    ]
