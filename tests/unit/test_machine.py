"""The rules of a run: starting, retrying, skipping, conditions and limits."""

from datetime import timedelta

import pytest

from gql_app.core.events import (
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    Failure,
    NodeCompleted,
    NodeFailed,
    NodeQueued,
    NodeSkipped,
    RetryState,
    SkipReason,
    SlotLimit,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    WorkflowStopping,
    WorkflowTimedOut,
)
from gql_app.core.ids import Holder, NodeKey
from gql_app.core.machine import decide, retry_delay
from gql_app.core.run import AttemptStatus, NodeStatus, RunStatus, UpstreamNodes, waiting_on
from gql_app.core.signals import (
    AttemptErred,
    AttemptSucceeded,
    Begin,
    Evaluate,
    EvaluationTarget,
    SetTimer,
    ShuttingDown,
    Signal,
    SlotGranted,
    SlotMoved,
    SlotWanted,
    StartAttempt,
    TimerKind,
)
from gql_app.core.spec import Jitter, RetryPolicy, TimeoutPolicy
from gql_app.core.values import Json
from gql_app.testing.virtual_time import NOON
from tests.support.builders import ONCE, Story, inline, kinds, node


def retries(maximum_attempts: int, **fields: Json) -> RetryPolicy:
    return RetryPolicy(maximum_attempts=maximum_attempts, jitter=Jitter.NONE, **fields)


class Full:
    """Slots that are all taken."""

    def acquire(self, holder: Holder, tool: str, limits: tuple[str, ...] = ()) -> SlotWanted | None:
        return SlotWanted(SlotLimit.EXECUTOR)

    def release(self, holder: Holder) -> None:
        pass


def test_a_run_starts_the_nodes_that_depend_on_nothing() -> None:
    story = Story(node("a"), node("b"), node("c", after=["a"]))

    assert kinds(story.log[1:]) == [WorkflowStarted, AttemptStarted, AttemptStarted]
    assert [c.node.id for c in story.commands if isinstance(c, StartAttempt)] == ["a", "b"]
    assert waiting_on(story.run, story["c"]) == UpstreamNodes((NodeKey("a"),))


def test_a_node_starts_when_its_last_dependency_has_ended() -> None:
    story = Story(node("a"), node("b"), node("c", after=["a", "b"]))

    first = story.succeed("a")
    second = story.succeed("b")

    assert kinds(first) == [NodeCompleted]
    assert kinds(second) == [NodeCompleted, AttemptStarted]


def test_a_run_asks_for_its_output_and_completes_with_it() -> None:
    story = Story(node("a"))

    story.succeed("a")
    asked = story.commands
    events = story.answer_output(inline(b'{"a":1}'))

    assert asked == [Evaluate(target=EvaluationTarget.OUTPUT)]
    assert kinds(events) == [WorkflowCompleted]
    assert story.run.output == inline(b'{"a":1}')
    assert story.run.status is RunStatus.COMPLETED


def test_an_output_that_cannot_be_evaluated_fails_the_run() -> None:
    story = Story(node("a"))
    story.succeed("a")

    events = story.answer_output(error=Failure("ExpressionError", "no such key", retryable=False))

    assert kinds(events) == [WorkflowFailed]
    assert story.run.error == Failure("ExpressionError", "no such key", retryable=False)


def test_deciding_leaves_the_run_as_it_is() -> None:
    story = Story(node("a"))
    before = story.run.copy()

    events = decide(story.run, AttemptSucceeded(node=NodeKey("a"), attempt=1), NOON)

    assert kinds(events) == [NodeCompleted]
    assert story.run == before


def test_a_node_is_retried_until_its_policy_is_exhausted() -> None:
    story = Story(node("a", retry=retries(2)))

    first = story.fail("a")
    story.fire(TimerKind.RETRY, "a", after=1)
    last = story.fail("a")

    assert kinds(first) == [AttemptFailed]
    assert story["a"].attempts[0].status is AttemptStatus.FAILED
    assert kinds(last) == [AttemptFailed, NodeFailed, WorkflowStopping, WorkflowFailed]
    assert story["a"].retry_state is RetryState.MAXIMUM_ATTEMPTS_REACHED
    assert story.run.error == Failure("Boom", "it broke", node=NodeKey("a"))


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 0.5), (2, 1.5), (3, 4.5), (4, 7.0), (99, 7.0)])
def test_the_delay_grows_by_its_coefficient_up_to_its_maximum(attempt: int, seconds: float) -> None:
    policy = retries(100, initial_interval_seconds=0.5, backoff_coefficient=3.0, maximum_interval_seconds=7.0)

    assert retry_delay(policy, attempt, draw=0.1) == seconds


def test_full_jitter_draws_between_nothing_and_the_delay() -> None:
    policy = RetryPolicy(initial_interval_seconds=8.0)

    assert [retry_delay(policy, 1, draw) for draw in (0.0, 0.25, 1.0)] == [0.0, 2.0, 8.0]


def test_the_instant_of_the_retry_is_written_and_waited_for() -> None:
    story = Story(node("a", retry=retries(2, initial_interval_seconds=4.0)))

    (event,) = story.fail("a", after=1)

    assert isinstance(event, AttemptFailed)
    assert event.retry_at == NOON + timedelta(seconds=5)
    assert story["a"].status is NodeStatus.RETRYING
    due = NOON + timedelta(seconds=5)
    assert story.commands == [SetTimer(kind=TimerKind.RETRY, at=due, node=NodeKey("a"), attempt=2)]


def test_retry_after_replaces_the_delay_without_jitter() -> None:
    story = Story(node("a"))

    (event,) = story.fail("a", retry_after=30.0, draw=0.1)

    assert isinstance(event, AttemptFailed)
    assert event.retry_at == NOON + timedelta(seconds=30)


def test_an_error_that_is_not_retryable_ends_the_node() -> None:
    story = Story(node("a"))

    events = story.fail("a", retryable=False)

    assert kinds(events)[:2] == [AttemptFailed, NodeFailed]
    assert story["a"].retry_state is RetryState.NON_RETRYABLE_ERROR


def test_an_error_that_the_policy_lists_ends_the_node() -> None:
    story = Story(node("a", retry=RetryPolicy(non_retryable_errors=("Boom",))))

    story.fail("a", type="Boom")

    assert story["a"].retry_state is RetryState.NON_RETRYABLE_ERROR


def test_a_retry_that_would_come_after_the_runs_deadline_is_not_waited_for() -> None:
    story = Story(node("a", retry=retries(9, initial_interval_seconds=20.0)), timeout_seconds=10.0)

    story.fail("a")

    assert story["a"].retry_state is RetryState.TIMEOUT
    assert story.run.status is RunStatus.FAILED


def test_a_retry_that_would_come_after_the_nodes_total_is_not_waited_for() -> None:
    policy = retries(9, initial_interval_seconds=20.0)
    story = Story(node("a", retry=policy, timeout=TimeoutPolicy(total_seconds=10.0)))

    story.fail("a")

    assert story["a"].retry_state is RetryState.TIMEOUT


def test_a_failure_that_is_continued_on_lets_the_run_complete() -> None:
    story = Story(node("a", retry=ONCE, continue_on_failure=True), node("b", reads=["a"]))

    events = story.fail("a")
    story.succeed("b")
    story.answer_output()

    assert kinds(events) == [AttemptFailed, NodeFailed, AttemptStarted]
    assert story.run.status is RunStatus.COMPLETED


def test_a_false_condition_skips_the_node_and_those_that_read_its_output() -> None:
    story = Story(node("a", when="false"), node("b", reads=["a"]), node("c", reads=["b"]), node("d", after=["c"]))

    asked = [c for c in story.commands if isinstance(c, Evaluate)]
    events = story.when("a", False)

    assert asked == [Evaluate(target=EvaluationTarget.WHEN, node=NodeKey("a"))]
    assert kinds(events) == [NodeSkipped, NodeSkipped, NodeSkipped, AttemptStarted]
    assert story["a"].skip_reason is SkipReason.CONDITION_FALSE
    assert (story["b"].skip_reason, story["b"].skip_cause) == (SkipReason.DEPENDENCY_UNAVAILABLE, NodeKey("a"))
    assert story["d"].status is NodeStatus.RUNNING


def test_a_true_condition_starts_the_node() -> None:
    story = Story(node("a", when="true"))

    assert kinds(story.when("a", True)) == [AttemptStarted]


def test_a_condition_that_is_not_a_boolean_fails_the_node_without_an_attempt() -> None:
    story = Story(node("a", when="1"))

    events = story.when("a", None)

    assert kinds(events) == [NodeFailed, WorkflowStopping, WorkflowFailed]
    assert story["a"].error is not None
    assert story["a"].error.type == "ExpressionError"
    assert story["a"].attempts == ()


def test_a_condition_that_fails_is_continued_on_when_the_node_says_so() -> None:
    story = Story(node("a", when="1", continue_on_failure=True), node("b", after=["a"]))

    events = story.when("a", None, error=Failure("ExpressionError", "no such key", retryable=False))

    assert kinds(events) == [NodeFailed, AttemptStarted]


def test_the_answer_to_a_condition_counts_once() -> None:
    story = Story(node("a", when="x"))
    story.when("a", True)

    assert story.when("a", False) == []
    assert story["a"].status is NodeStatus.RUNNING


def test_the_runs_own_limit_lets_nodes_wait_first_come_first() -> None:
    story = Story(node("a"), node("b"), node("c"), maximum_concurrency=1)

    begun = story.log[2:]
    after_a = story.succeed("a")

    assert kinds(begun) == [AttemptStarted, NodeQueued, NodeQueued]
    assert story["b"].status is NodeStatus.RUNNING
    assert kinds(after_a) == [NodeCompleted, AttemptStarted]
    assert story["c"].queued_for is SlotLimit.WORKFLOW


def test_back_off_holds_no_slot_of_the_run() -> None:
    story = Story(node("a"), node("b"), maximum_concurrency=1)

    story.fail("a")

    assert story.statuses() == {"a": NodeStatus.RETRYING, "b": NodeStatus.RUNNING}


def test_a_node_that_gets_no_slot_is_queued_until_it_is_granted_one() -> None:
    story = Story(node("a"), slots=Full())

    granted = story.tell(SlotGranted(node=NodeKey("a")))

    assert kinds(story.log[2:]) == [NodeQueued, AttemptStarted]
    assert kinds(granted) == [AttemptStarted]


def test_a_node_that_moves_to_the_next_line_says_for_what_it_waits() -> None:
    story = Story(node("a"), slots=Full())

    events = story.tell(SlotMoved(node=NodeKey("a"), limit=SlotLimit.TOOL), after=5)

    assert kinds(events) == [NodeQueued]
    assert story["a"].queued_for is SlotLimit.TOOL
    assert story["a"].queued_at == NOON


def test_results_of_another_attempt_are_ignored() -> None:
    story = Story(node("a", retry=retries(3)))
    story.fail("a")
    story.fire(TimerKind.RETRY, "a", after=1)

    stale: list[Signal] = [
        AttemptSucceeded(node=NodeKey("a"), attempt=1),
        AttemptErred(node=NodeKey("a"), attempt=1, error=Failure("Boom")),
        AttemptSucceeded(node=NodeKey("a"), attempt=3),
    ]

    assert [story.tell(signal) for signal in stale] == [[], [], []]


def test_taking_a_run_over_loses_what_was_in_flight_and_tries_it_again() -> None:
    story = Story(node("a", retry=retries(2)), node("b", after=["a"]))

    events = story.tell(Begin(), after=1)
    story.fire(TimerKind.RETRY, "a", after=1)

    assert kinds(events) == [AttemptLost]
    assert story["a"].attempts[0].status is AttemptStatus.LOST
    assert story["a"].status is NodeStatus.RUNNING


def test_a_lost_attempt_uses_up_the_only_one_there_is() -> None:
    story = Story(node("a", retry=ONCE))

    story.tell(Begin())

    assert story["a"].retry_state is RetryState.MAXIMUM_ATTEMPTS_REACHED
    assert story.run.status is RunStatus.FAILED


def test_taking_a_run_over_sets_its_timers_for_the_instants_that_were_written() -> None:
    story = Story(node("a", retry=retries(2, initial_interval_seconds=60.0)), timeout_seconds=600.0)
    story.fail("a")

    story.tell(Begin(), after=10)

    assert story.commands == [
        SetTimer(kind=TimerKind.WORKFLOW, at=NOON + timedelta(seconds=600)),
        SetTimer(kind=TimerKind.RETRY, at=NOON + timedelta(seconds=60), node=NodeKey("a"), attempt=2),
    ]


def test_a_run_whose_time_passed_while_nobody_executed_it_has_timed_out() -> None:
    story = Story(node("a", retry=retries(2)), node("b"), node("c", after=["a"]), timeout_seconds=60.0)
    story.fail("b")

    events = story.tell(Begin(), after=61)

    assert kinds(events)[0] is WorkflowStopping
    assert kinds(events)[-1] is WorkflowTimedOut
    assert story["a"].attempts[0].status is AttemptStatus.LOST
    assert story["a"].retry_state is RetryState.TIMEOUT
    assert story.run.status is RunStatus.TIMED_OUT


def test_taking_over_a_run_that_waits_for_its_output_asks_for_it_again() -> None:
    story = Story(node("a"))
    story.succeed("a")

    story.tell(Begin())

    assert Evaluate(target=EvaluationTarget.OUTPUT) in story.commands


def test_shutting_down_loses_what_is_in_flight_and_starts_nothing() -> None:
    story = Story(node("a", retry=ONCE, continue_on_failure=True), node("b", after=["a"]))

    events = story.tell(ShuttingDown())

    assert kinds(events) == [AttemptLost, NodeFailed]
    assert story["b"].status is NodeStatus.PENDING
    assert kinds(story.tell(Begin())) == [AttemptStarted]
