"""How the events of a log become events of the API."""

from typing import TypeAlias, assert_never

import strawberry
from strawberry.scalars import JSON

from gql_app.core import events as facts
from gql_app.core.ids import NodeKey
from gql_app.core.run import WorkflowRun
from gql_app.schema import event as api
from gql_app.schema.failure import Failure
from gql_app.schema.step_facts import make_shown_event, make_step_event

_RunFact: TypeAlias = (
    facts.WorkflowSubmitted
    | facts.WorkflowStarted
    | facts.WorkflowStopping
    | facts.WorkflowCompleted
    | facts.WorkflowFailed
    | facts.WorkflowCancelled
    | facts.WorkflowTimedOut
)
_AttemptFact: TypeAlias = (
    facts.AttemptStarted
    | facts.AttemptFailed
    | facts.AttemptTimedOut
    | facts.AttemptLost
    | facts.AttemptCancelled
    | facts.NodeCompleted
)
_NodeFact: TypeAlias = facts.NodeReused | facts.NodeQueued | facts.NodeFailed | facts.NodeSkipped | facts.NodeCancelled


def make_event(run: WorkflowRun, fact: facts.RunEvent) -> api.RunEvent:
    """Tell a fact about a run; what is big about it is read only if it is asked for."""
    match fact:
        case (
            facts.AttemptStarted()
            | facts.AttemptFailed()
            | facts.AttemptTimedOut()
            | facts.AttemptLost()
            | facts.AttemptCancelled()
            | facts.NodeCompleted()
        ):
            return _attempt_event(run, fact)
        case facts.NodeReused() | facts.NodeQueued() | facts.NodeFailed() | facts.NodeSkipped() | facts.NodeCancelled():
            return _node_event(run, fact)
        case facts.NodeOutputChunk() | facts.NodeLog() | facts.NodeProgress():
            return make_shown_event(fact)
        case facts.StepQueued() | facts.StepStarted() | facts.StepFailed() | facts.StepCompleted():
            return make_step_event(run, fact)
        case _:
            return _run_event(run, fact)


def _run_event(run: WorkflowRun, fact: _RunFact) -> api.RunEvent:
    sequence, at = fact.sequence, fact.at
    match fact:
        case facts.WorkflowSubmitted():
            return api.WorkflowSubmitted(
                sequence=sequence,
                at=at,
                run=run,
                value=fact.input,
                name=fact.plan.name,
                labels=JSON(fact.labels),
                retry_of=strawberry.ID(fact.retry_of) if fact.retry_of is not None else None,
            )
        case facts.WorkflowStarted():
            return api.WorkflowStarted(sequence=sequence, at=at)
        case facts.WorkflowStopping():
            error = Failure.from_optional(fact.error)
            return api.WorkflowStopping(sequence=sequence, at=at, outcome=fact.outcome, error=error)
        case facts.WorkflowCompleted():
            return api.WorkflowCompleted(sequence=sequence, at=at, run=run, value=fact.output)
        case facts.WorkflowFailed():
            return api.WorkflowFailed(sequence=sequence, at=at, error=Failure.from_failure(fact.error))
        case facts.WorkflowCancelled():
            return api.WorkflowCancelled(sequence=sequence, at=at, error=Failure.from_optional(fact.error))
        case facts.WorkflowTimedOut():
            return api.WorkflowTimedOut(sequence=sequence, at=at, error=Failure.from_failure(fact.error))
        case _:
            assert_never(fact)


def _node_event(run: WorkflowRun, fact: _NodeFact) -> api.NodeEvent:
    sequence, at, node_id = fact.sequence, fact.at, _id(fact.node)
    match fact:
        case facts.NodeReused():
            return api.NodeReused(sequence=sequence, at=at, node_id=node_id, run=run, value=fact.output)
        case facts.NodeQueued():
            return api.NodeQueued(sequence=sequence, at=at, node_id=node_id, limit=fact.limit, limit_name=fact.name)
        case facts.NodeFailed():
            error = Failure.from_failure(fact.error)
            return api.NodeFailed(sequence=sequence, at=at, node_id=node_id, error=error, retry_state=fact.retry_state)
        case facts.NodeSkipped():
            cause = _id(fact.cause) if fact.cause is not None else None
            return api.NodeSkipped(sequence=sequence, at=at, node_id=node_id, reason=fact.reason, cause=cause)
        case facts.NodeCancelled():
            return api.NodeCancelled(sequence=sequence, at=at, node_id=node_id)
        case _:
            assert_never(fact)


def _attempt_event(run: WorkflowRun, fact: _AttemptFact) -> api.AttemptEvent:
    sequence, at, node_id, attempt = fact.sequence, fact.at, _id(fact.node), fact.attempt
    match fact:
        case facts.NodeCompleted():
            return api.NodeCompleted(
                sequence=sequence, at=at, node_id=node_id, attempt=attempt, run=run, value=fact.output
            )
        case facts.AttemptStarted():
            return api.AttemptStarted(sequence=sequence, at=at, node_id=node_id, attempt=attempt)
        case facts.AttemptCancelled():
            return api.AttemptCancelled(sequence=sequence, at=at, node_id=node_id, attempt=attempt)
        case _:
            return _attempt_trouble(fact)


def _attempt_trouble(fact: facts.AttemptFailed | facts.AttemptTimedOut | facts.AttemptLost) -> api.AttemptEvent:
    sequence, at, node_id, attempt = fact.sequence, fact.at, _id(fact.node), fact.attempt
    error, retry_at = Failure.from_failure(fact.error), fact.retry_at
    match fact:
        case facts.AttemptFailed():
            return api.AttemptFailed(
                sequence=sequence, at=at, node_id=node_id, attempt=attempt, error=error, retry_at=retry_at
            )
        case facts.AttemptTimedOut(timeout=timeout):
            return api.AttemptTimedOut(
                sequence=sequence,
                at=at,
                node_id=node_id,
                attempt=attempt,
                timeout=timeout,
                error=error,
                retry_at=retry_at,
            )
        case facts.AttemptLost(reason=reason):
            return api.AttemptLost(
                sequence=sequence,
                at=at,
                node_id=node_id,
                attempt=attempt,
                reason=reason,
                error=error,
                retry_at=retry_at,
            )
        case _:
            assert_never(fact)


def _id(key: NodeKey) -> strawberry.ID:
    return strawberry.ID(str(key))
