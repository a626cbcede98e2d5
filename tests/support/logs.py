"""Logs of runs, made by hand: for what keeps and reads logs without running anything."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from gql_app.core.events import (
    AttemptStarted,
    Failure,
    NodeCompleted,
    Outcome,
    RunEvent,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    WorkflowStopping,
    WorkflowSubmitted,
    WorkflowTimedOut,
)
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace, NodeKey, RunId, make_run_id
from gql_app.core.plan import NodePlan, Plan
from gql_app.core.values import NULL, Value

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


def run_id(number: int) -> RunId:
    """Make a run id; a higher number sorts later."""
    return make_run_id(int(MIDNIGHT.timestamp() * 1000), number.to_bytes(10, "big"))


def submission(
    number: int = 1,
    *,
    name: str = "brief",
    nodes: int = 1,
    namespace: Namespace = DEFAULT_NAMESPACE,
    at: datetime = MIDNIGHT,
    labels: Mapping[str, str] | None = None,
    input: Value = NULL,
    retry_of: RunId | None = None,
) -> WorkflowSubmitted:
    """Make the first event of the run of that number."""
    keys = (NodeKey(f"n{index}") for index in range(nodes))
    return WorkflowSubmitted(
        sequence=1,
        at=at,
        run_id=run_id(number),
        namespace=namespace,
        plan=Plan(name=name, nodes=tuple(NodePlan(key=key, tool="echo") for key in keys)),
        document=msgspec.Raw(b'{"name":"brief"}'),
        input=input,
        labels=dict(labels or {}),
        retry_of=retry_of,
    )


def progress(nodes: int = 1, *, after: int = 1, at: datetime = MIDNIGHT, output: Value = NULL) -> list[RunEvent]:
    """Let a run start, and one node after another start and complete."""
    events: list[RunEvent] = [WorkflowStarted(sequence=after + 1, at=at)]
    for index in range(nodes):
        key = NodeKey(f"n{index}")
        sequence = after + 2 + 2 * index
        events.append(AttemptStarted(sequence=sequence, at=at, node=key, attempt=1))
        events.append(NodeCompleted(sequence=sequence + 1, at=at, node=key, attempt=1, output=output))
    return events


def stopping(sequence: int, *, outcome: Outcome = Outcome.CANCELLED, at: datetime = MIDNIGHT) -> RunEvent:
    """Let a run begin to stop."""
    return WorkflowStopping(sequence=sequence, at=at, outcome=outcome)


def ending(sequence: int, *, outcome: Outcome = Outcome.COMPLETED, at: datetime = MIDNIGHT) -> RunEvent:
    """Let a run end."""
    error = Failure("Boom", "it broke")
    match outcome:
        case Outcome.COMPLETED:
            return WorkflowCompleted(sequence=sequence, at=at)
        case Outcome.FAILED:
            return WorkflowFailed(sequence=sequence, at=at, error=error)
        case Outcome.CANCELLED:
            return WorkflowCancelled(sequence=sequence, at=at)
        case Outcome.TIMED_OUT:
            return WorkflowTimedOut(sequence=sequence, at=at, error=error)


def finished_log(number: int = 1, *, nodes: int = 1, at: datetime = MIDNIGHT) -> Sequence[RunEvent]:
    """Make the log of a run that has completed."""
    middle = progress(nodes, at=at)
    return [submission(number, nodes=nodes, at=at), *middle, ending(len(middle) + 2, at=at)]


def later(seconds: float, *, than: datetime = MIDNIGHT) -> datetime:
    """Tell a time so many seconds later."""
    return than + timedelta(seconds=seconds)
