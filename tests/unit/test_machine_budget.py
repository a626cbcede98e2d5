"""The rules of budgets: what models were used for is added up, and a run that has used too much stops."""

from typing import Final

import pytest

from gql_app.core.events import (
    AttemptCancelled,
    Failure,
    NodeCancelled,
    StepCompleted,
    StepFailed,
    StepKind,
    StepStarted,
    Usage,
    WorkflowFailed,
    WorkflowStopping,
    add_usage,
)
from gql_app.core.fold import fold
from gql_app.core.ids import NodeKey
from gql_app.core.run import NodeStatus, RunStatus
from gql_app.core.signals import Begin, SlotGranted, StopAttempt, TimerKind
from gql_app.core.spec import Budget
from gql_app.core.step_run import StepStatus
from tests.support.builders import kinds, node
from tests.support.steps import MODEL, A, StepSlots, StepStory, request

TEN_TOKENS: Final = Budget(tokens=10)
ONE_DOLLAR: Final = Budget(cost_usd=1.0)


def with_budget(budget: Budget | None, *, slots: StepSlots | None = None) -> StepStory:
    story = StepStory(node("a"), node("b", after=["a"]), budget=budget, slots=slots)
    story.ask("model-1", MODEL)
    return story


@pytest.mark.parametrize(
    ("budget", "usage"),
    [
        (TEN_TOKENS, Usage(1, 6, 5)),
        (ONE_DOLLAR, Usage(1, 1, 1, 1.25)),
        (Budget(tokens=10, cost_usd=9.0), Usage(1, 0, 11, 0.5)),
        (Budget(tokens=100, cost_usd=1.0), Usage(1, 0, 11, 1.5)),
    ],
)
def test_a_run_that_has_used_more_than_its_budget_stops(budget: Budget, usage: Usage) -> None:
    story = with_budget(budget)

    events = story.done("model-1", usage=usage)
    commands = story.commands
    ended = story.stopped("a")

    assert kinds(events)[:2] == [StepCompleted, WorkflowStopping]
    assert StopAttempt(node=A, attempt=1, abandon=False) in commands
    assert kinds(ended) == [AttemptCancelled, NodeCancelled, WorkflowFailed]
    assert story.run.status is RunStatus.FAILED
    assert story.run.error is not None
    assert (story.run.error.type, story.run.error.node) == ("BudgetExceeded", NodeKey("a"))
    assert str(budget) in story.run.error.message
    assert story.step("model-1").status is StepStatus.COMPLETED


@pytest.mark.parametrize(
    ("budget", "usage"),
    [
        (None, Usage(1, 10**12, 10**12, 1e9)),
        (TEN_TOKENS, Usage(1, 5, 5, 1e9)),
        (ONE_DOLLAR, Usage(1, 10**9, 10**9, 1.0)),
        (ONE_DOLLAR, Usage(1, 10**9, 10**9, None)),
        (TEN_TOKENS, None),
    ],
    ids=["no budget", "all tokens", "all dollars", "no price", "no usage"],
)
def test_a_run_that_has_not_used_more_than_its_budget_goes_on(budget: Budget | None, usage: Usage | None) -> None:
    story = with_budget(budget)

    events = story.done("model-1", usage=usage)

    assert kinds(events) == [StepCompleted]
    assert [answer.step for answer in story.answers()] == ["model-1"]


@pytest.mark.parametrize(
    ("budget", "usage"), [(TEN_TOKENS, Usage(1, 5, 5)), (ONE_DOLLAR, Usage(1, 0, 0, 1.0))], ids=["tokens", "cost"]
)
def test_a_budget_that_is_used_up_lets_no_further_model_be_asked(budget: Budget, usage: Usage) -> None:
    story = with_budget(budget)
    story.done("model-1", usage=usage)

    others = [story.ask("look", request(StepKind.TOOL, "look")), story.ask("note", request())]
    known = story.ask("model-1", MODEL)
    events = story.ask("model-2", MODEL)

    assert [kinds(each) for each in others] == [[StepStarted], [StepStarted]]
    assert known == []
    assert kinds(events)[0] is WorkflowStopping
    assert story.run.error is not None
    assert story.run.error.type == "BudgetExceeded"
    assert [step.id for step in story["a"].steps] == ["model-1", "look", "note"]


def test_a_request_that_failed_counts_too() -> None:
    story = with_budget(TEN_TOKENS)

    events = story.err("model-1", usage=Usage(1, 11, 0))

    assert kinds(events)[:2] == [StepFailed, WorkflowStopping]
    assert story.answers() == []


def test_a_model_is_not_asked_again_when_its_failures_have_used_the_budget_up() -> None:
    story = with_budget(TEN_TOKENS)
    story.err("model-1", usage=Usage(1, 10, 0))

    events = story.ring(TimerKind.RETRY, "model-1", after=1)

    assert kinds(events)[0] is WorkflowStopping
    assert story.started() == []


def test_a_model_that_waits_for_a_slot_is_not_asked_when_others_have_used_the_budget_up() -> None:
    slots = StepSlots(1)
    story = with_budget(TEN_TOKENS, slots=slots)
    story.ask("model-2", MODEL)
    story.done("model-1", usage=Usage(1, 10, 0))
    slots.holders += slots.line

    events = story.tell(SlotGranted(node=A, step="model-2"))

    assert kinds(events)[0] is WorkflowStopping
    assert story.started() == []
    story.stopped("a")
    assert slots.holders == []


def test_a_budget_is_the_same_for_all_attempts() -> None:
    story = with_budget(TEN_TOKENS)
    story.done("model-1", usage=Usage(1, 6, 0))
    story.fail("a")
    story.fire(TimerKind.RETRY, "a", after=1)
    story.ask("model-1", MODEL)
    story.ask("model-2", MODEL)

    events = story.done("model-2", usage=Usage(1, 5, 0))

    assert kinds(events)[:2] == [StepCompleted, WorkflowStopping]


def test_a_budget_that_was_used_up_is_still_used_up_after_a_crash() -> None:
    story = with_budget(TEN_TOKENS)
    story.done("model-1", usage=Usage(1, 10, 0))
    story.tell(Begin(), after=1)
    story.fire(TimerKind.RETRY, "a", after=1)

    assert story.ask("model-1", MODEL) == []
    assert kinds(story.ask("model-2", MODEL))[0] is WorkflowStopping


def test_a_budget_is_not_exceeded_twice() -> None:
    story = with_budget(TEN_TOKENS)
    story.ask("model-2", MODEL)
    story.done("model-1", usage=Usage(1, 11, 0))

    events = story.done("model-2", usage=Usage(1, 11, 0))

    assert kinds(events) == [StepCompleted]
    assert story.run.usage == Usage(2, 22, 0)


def test_a_node_that_goes_on_after_a_failure_does_not_save_a_run_over_its_budget() -> None:
    story = StepStory(node("a", continue_on_failure=True), budget=TEN_TOKENS)
    story.ask("model-1", MODEL)
    story.done("model-1", usage=Usage(1, 11, 0))

    story.succeed("a")

    assert story["a"].status is NodeStatus.COMPLETED
    assert story.run.status is RunStatus.FAILED


def test_what_was_used_is_added_up_for_step_attempt_node_and_run() -> None:
    story = StepStory(node("a"), node("b"))
    story.ask("x", MODEL)
    story.err("x", usage=Usage(1, 10, 1, 0.5))
    story.ring(TimerKind.RETRY, "x", after=1)
    story.done("x", usage=Usage(1, 20, 2, 0.25))
    story.fail("a")
    story.fire(TimerKind.RETRY, "a", after=1)
    story.ask("y", MODEL)
    story.done("y", usage=Usage(1, 5, 5))
    story.succeed("a")

    assert story.step("x").usage == Usage(2, 30, 3, 0.75)
    assert [attempt.usage for attempt in story["a"].attempts] == [Usage(2, 30, 3, 0.75), Usage(1, 5, 5)]
    assert story["a"].usage == Usage(3, 35, 8, 0.75)
    assert story.run.usage == Usage(3, 35, 8, 0.75)
    assert (story["b"].usage, fold(story.log)) == (None, story.run)


def test_a_step_that_every_attempt_has_to_do_again_adds_up_what_all_of_them_used() -> None:
    story = StepStory(node("a"))
    story.ask("x", MODEL)
    story.err("x", Failure("Boom", retryable=False), usage=Usage(1, 1, 1))
    story.fail("a")
    story.fire(TimerKind.RETRY, "a", after=1)

    story.ask("x", MODEL)
    story.done("x", usage=Usage(1, 1, 1))

    assert story.step("x").usage == Usage(2, 2, 2)


def test_what_has_no_price_costs_nothing_beside_what_has_one() -> None:
    free, priced = Usage(1, 1, 1), Usage(1, 1, 1, 0.5)

    assert add_usage(free, free) == Usage(2, 2, 2, None)
    assert add_usage(free, priced) == Usage(2, 2, 2, 0.5)
    assert add_usage(priced, None) == priced
    assert add_usage(None, None) is None
