"""The rules of steps: done once for all attempts of their node, and heard only while they go on."""

from datetime import timedelta

from gql_app.core.events import (
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    Failure,
    NodeCompleted,
    StepCompleted,
    StepStarted,
)
from gql_app.core.signals import (
    AnswerStep,
    Begin,
    SetTimer,
    StartStep,
    StepErred,
    StepRequested,
    StepSucceeded,
    TimerKind,
)
from gql_app.core.step_run import StepStatus
from gql_app.testing.virtual_time import NOON
from tests.support.builders import kinds, node
from tests.support.steps import A, StepStory, request, value_of


def test_a_step_that_is_asked_for_is_begun() -> None:
    story = StepStory(node("a"))

    events = story.ask("x", request(name="fetch", input=value_of({"url": "here"})), after=2)

    assert kinds(events) == [StepStarted]
    assert story.started() == [StartStep(node=A, attempt=1, step="x", step_attempt=1)]
    assert story.timers() == [
        SetTimer(
            kind=TimerKind.ATTEMPT,
            at=NOON + timedelta(seconds=62),
            node=A,
            attempt=1,
            step="x",
            step_attempt=1,
        )
    ]
    step = story.step("x")
    assert (step.status, step.attempt, step.started_at) == (StepStatus.RUNNING, 1, NOON + timedelta(seconds=2))
    assert step.request.name == "fetch"


def test_a_step_that_is_done_is_answered_with_its_output() -> None:
    story = StepStory(node("a"))
    story.ask("x")

    events = story.done("x", value_of(42))

    assert kinds(events) == [StepCompleted]
    assert story.commands == [AnswerStep(node=A, attempt=1, step="x", output=value_of(42))]
    assert (story.step("x").status, story.step("x").output) == (StepStatus.COMPLETED, value_of(42))


def test_the_nodes_next_attempt_gets_the_output_at_once_and_nothing_happens() -> None:
    story = StepStory(node("a"))
    story.ask("x")
    story.done("x", value_of(42))
    story.fail("a")
    story.fire(TimerKind.RETRY, "a", after=1)

    events = story.ask("x")

    assert events == []
    assert story.commands == [AnswerStep(node=A, attempt=2, step="x", output=value_of(42))]


def test_a_step_that_is_done_is_not_done_again_in_the_same_attempt_either() -> None:
    story = StepStory(node("a"))
    story.ask("x")
    story.done("x", value_of(42))

    assert story.ask("x") == []
    assert story.answers() == [AnswerStep(node=A, attempt=1, step="x", output=value_of(42))]


def test_a_step_is_remembered_when_its_process_dies() -> None:
    story = StepStory(node("a"))
    story.ask("x")
    story.done("x", value_of(42))
    story.ask("y")

    events = story.tell(Begin(), after=1)
    story.fire(TimerKind.RETRY, "a", after=1)

    assert kinds(events) == [AttemptLost]
    assert (story.step("x").status, story.step("y").status) == (StepStatus.COMPLETED, StepStatus.LOST)
    assert story.ask("x") == []
    assert kinds(story.ask("y")) == [StepStarted]
    assert (story.step("y").attempt, story.step("y").node_attempt) == (1, 2)


def test_a_step_that_goes_on_is_not_begun_twice() -> None:
    story = StepStory(node("a"))
    story.ask("x")

    assert story.ask("x") == []
    assert story.commands == []


def test_steps_go_on_side_by_side() -> None:
    story = StepStory(node("a"))
    story.ask("x")
    story.ask("y")

    story.done("y", value_of("second"))
    story.done("x", value_of("first"))

    assert [step.id for step in story["a"].steps] == ["x", "y"]
    assert [step.status for step in story["a"].steps] == [StepStatus.COMPLETED, StepStatus.COMPLETED]


def test_steps_of_two_nodes_have_nothing_to_do_with_each_other() -> None:
    story = StepStory(node("a"), node("b"))
    story.ask("x")
    story.done("x", value_of("of a"))

    other = StepRequested(node=story["b"].key, attempt=1, step="x", request=request())

    assert kinds(story.tell(other)) == [StepStarted]


def test_what_is_told_of_another_try_of_a_step_is_ignored() -> None:
    story = StepStory(node("a"))
    story.ask("x")
    story.err("x")
    waiting = [story.done("x", step_attempt=1), story.err("x", step_attempt=1)]
    story.ring(TimerKind.RETRY, "x", after=1)

    stale = [
        story.done("x", step_attempt=1),
        story.done("x", step_attempt=3),
        story.err("x", step_attempt=1),
        story.done("x", step_attempt=2, attempt=2),
        story.done("y"),
    ]

    assert waiting == [[], []]
    assert stale == [[], [], [], [], []]
    assert story.commands == []


def test_what_is_told_of_a_step_whose_node_goes_on_in_another_attempt_is_ignored() -> None:
    story = StepStory(node("a"))
    story.ask("x")
    story.fail("a")
    story.fire(TimerKind.RETRY, "a", after=1)
    story.ask("x")

    assert story.done("x", attempt=1) == []
    assert story.ask("y", attempt=1) == []
    assert story.step("x").status is StepStatus.RUNNING


def test_a_step_ends_with_the_attempt_that_took_it() -> None:
    story = StepStory(node("a"))
    story.ask("x")
    story.ask("y")
    story.err("y")

    story.fail("a", after=3)

    assert kinds(story.log[-1:]) == [AttemptFailed]
    for step in story["a"].steps:
        assert step.status is StepStatus.CANCELLED
        assert step.finished_at == NOON + timedelta(seconds=3)
        assert step.next_attempt_at is None
    assert story.done("x") == []


def test_a_tool_may_return_while_a_step_goes_on() -> None:
    story = StepStory(node("a"), node("b", after=["a"]))
    story.ask("x")

    events = story.succeed("a")

    assert kinds(events) == [NodeCompleted, AttemptStarted]
    assert story.step("x").status is StepStatus.CANCELLED
    key, error = story["a"].key, Failure("Boom")
    assert story.tell(StepSucceeded(node=key, attempt=1, step="x", step_attempt=1)) == []
    assert story.tell(StepErred(node=key, attempt=1, step="x", step_attempt=1, error=error)) == []
