"""How the events inside attempts become events of the API."""

from datetime import datetime
from typing import TypeAlias, TypedDict, assert_never

import msgspec
import strawberry
from strawberry.scalars import JSON

from gql_app.core import events as facts
from gql_app.core.run import WorkflowRun
from gql_app.schema import step_event as api
from gql_app.schema.event import AttemptEvent
from gql_app.schema.failure import Failure
from gql_app.schema.usage import Usage

ShownFact: TypeAlias = facts.NodeOutputChunk | facts.NodeLog | facts.NodeProgress
StepFact: TypeAlias = facts.StepQueued | facts.StepStarted | facts.StepFailed | facts.StepCompleted


class _Attempt(TypedDict):
    sequence: int
    at: datetime
    node_id: strawberry.ID
    attempt: int


class _Step(_Attempt):
    step_id: strawberry.ID
    kind: facts.StepKind
    name: str


def make_shown_event(fact: ShownFact) -> AttemptEvent:
    """Tell what an attempt has shown."""
    about = _about_attempt(fact)
    match fact:
        case facts.NodeOutputChunk():
            step = _optional_id(fact.step)
            return api.NodeOutputChunk(
                **about, text=fact.text, within_step=step, step_attempt=fact.step_attempt, truncated=fact.truncated
            )
        case facts.NodeLog():
            return make_log(fact)
        case facts.NodeProgress():
            return api.NodeProgress(**about, fraction=fact.fraction, message=fact.message)
        case _:
            assert_never(fact)


def make_log(fact: facts.NodeLog) -> api.NodeLog:
    """Tell a line of a log."""
    return api.NodeLog(
        **_about_attempt(fact),
        level=fact.level,
        message=fact.message,
        fields=JSON(msgspec.json.decode(fact.fields)),
        within_step=_optional_id(fact.step),
        truncated=fact.truncated,
    )


def make_step_event(run: WorkflowRun, fact: StepFact) -> AttemptEvent:
    """Tell a fact about a step; what it is about is read from the run, which is at the fact or after it."""
    step = run.step(fact.node, fact.step)
    assert step is not None
    request, step_id = step.request, strawberry.ID(fact.step)
    about: _Step = {**_about_attempt(fact), "step_id": step_id, "kind": request.kind, "name": request.name}
    match fact:
        case facts.StepQueued():
            return api.StepQueued(**about, limit=fact.limit, limit_name=fact.name)
        case facts.StepStarted():
            value = request.input if fact.request is None else fact.request.input
            return api.StepStarted(**about, run=run, value=value, step_attempt=fact.step_attempt)
        case facts.StepFailed():
            return api.StepFailed(
                **about,
                step_attempt=fact.step_attempt,
                error=Failure.from_failure(fact.error),
                retry_at=fact.retry_at,
                step_retry_state=fact.retry_state,
                usage=Usage.from_optional(fact.usage),
            )
        case facts.StepCompleted():
            usage = Usage.from_optional(fact.usage)
            return api.StepCompleted(**about, run=run, value=fact.output, step_attempt=fact.step_attempt, usage=usage)
        case _:
            assert_never(fact)


def _about_attempt(fact: ShownFact | StepFact) -> _Attempt:
    return {
        "sequence": fact.sequence,
        "at": fact.at,
        "node_id": strawberry.ID(str(fact.node)),
        "attempt": fact.attempt,
    }


def _optional_id(step: str | None) -> strawberry.ID | None:
    return None if step is None else strawberry.ID(step)
