"""What happened in a run: facts, in the past tense, with a dense sequence. The log of them is the run."""

from datetime import datetime
from typing import TypeAlias

import msgspec

from gql_app.core.event_parts import (
    Event,
    Failure,
    LogLevel,
    LostReason,
    Outcome,
    RetryState,
    SkipReason,
    SlotLimit,
    StepKind,
    StepRequest,
    Timeout,
    Usage,
    add_usage,
)
from gql_app.core.ids import Namespace, NodeKey, RunId
from gql_app.core.plan import Plan
from gql_app.core.step_events import (
    NodeLog,
    NodeOutputChunk,
    NodeProgress,
    StepCompleted,
    StepFailed,
    StepQueued,
    StepStarted,
)
from gql_app.core.values import NULL, Value

__all__ = [
    "TERMINAL_EVENTS",
    "AttemptCancelled",
    "AttemptFailed",
    "AttemptLost",
    "AttemptStarted",
    "AttemptTimedOut",
    "Event",
    "Failure",
    "LogLevel",
    "LostReason",
    "NodeCancelled",
    "NodeCompleted",
    "NodeFailed",
    "NodeLog",
    "NodeOutputChunk",
    "NodeProgress",
    "NodeQueued",
    "NodeReused",
    "NodeSkipped",
    "Outcome",
    "RetryState",
    "RunEvent",
    "SkipReason",
    "SlotLimit",
    "StepCompleted",
    "StepFailed",
    "StepKind",
    "StepQueued",
    "StepRequest",
    "StepStarted",
    "Timeout",
    "Usage",
    "WorkflowCancelled",
    "WorkflowCompleted",
    "WorkflowFailed",
    "WorkflowStarted",
    "WorkflowStopping",
    "WorkflowSubmitted",
    "WorkflowTimedOut",
    "add_usage",
]


class WorkflowSubmitted(Event, frozen=True, kw_only=True):
    """A document was accepted. Always the first event."""

    run_id: RunId
    namespace: Namespace
    plan: Plan
    document: msgspec.Raw
    """The document as it was sent."""
    input: Value = NULL
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    retry_of: RunId | None = None
    trace_parent: str | None = None
    """The W3C `traceparent` of what submitted it, if that was traced: the run goes on with the trace."""
    submitted_by: str | None = None
    """The name of who submitted or retried it; none where nobody is asked who they are."""
    owner: str | None = None
    """Whose run it is, as `Identity.owner` says it."""


class NodeReused(Event, frozen=True, kw_only=True):
    """A completed node was carried over from the run this one retries."""

    node: NodeKey
    output: Value = NULL


class WorkflowStarted(Event, frozen=True, kw_only=True):
    """The executor began with the run."""


class NodeQueued(Event, frozen=True, kw_only=True):
    """A node is ready but has to wait for a slot. `name` is that of the limit, or of the tool whose limit it is."""

    node: NodeKey
    limit: SlotLimit
    name: str | None = None


class AttemptStarted(Event, frozen=True, kw_only=True):
    """A node got its slot and its tool was called."""

    node: NodeKey
    attempt: int


class AttemptFailed(Event, frozen=True, kw_only=True):
    """The tool failed. With `retry_at` the node will be tried again then."""

    node: NodeKey
    attempt: int
    error: Failure
    retry_at: datetime | None = None


class AttemptTimedOut(Event, frozen=True, kw_only=True):
    """An attempt took too long; whatever it still does no longer counts."""

    node: NodeKey
    attempt: int
    timeout: Timeout
    error: Failure
    retry_at: datetime | None = None


class AttemptLost(Event, frozen=True, kw_only=True):
    """The process that ran the attempt died or was shut down."""

    node: NodeKey
    attempt: int
    reason: LostReason
    error: Failure
    retry_at: datetime | None = None


class AttemptCancelled(Event, frozen=True, kw_only=True):
    """The attempt was stopped because the run is stopping."""

    node: NodeKey
    attempt: int


class NodeCompleted(Event, frozen=True, kw_only=True):
    """An attempt returned an output, and the node is done."""

    node: NodeKey
    attempt: int
    output: Value = NULL


class NodeFailed(Event, frozen=True, kw_only=True):
    """The node is given up."""

    node: NodeKey
    error: Failure
    retry_state: RetryState


class NodeSkipped(Event, frozen=True, kw_only=True):
    """The node will not run. `cause` is the dependency that made it so, if one did."""

    node: NodeKey
    reason: SkipReason
    cause: NodeKey | None = None


class NodeCancelled(Event, frozen=True, kw_only=True):
    """The node had begun and was given up because the run is stopping."""

    node: NodeKey


class WorkflowStopping(Event, frozen=True, kw_only=True):
    """The run will end with `outcome`; nothing new starts, what is in flight is asked to stop."""

    outcome: Outcome
    error: Failure | None = None


class WorkflowCompleted(Event, frozen=True, kw_only=True):
    """Every node ended as it should."""

    output: Value = NULL


class WorkflowFailed(Event, frozen=True, kw_only=True):
    """A node, or the run's output, failed."""

    error: Failure


class WorkflowCancelled(Event, frozen=True, kw_only=True):
    """The run was cancelled; `error` says by what or why."""

    error: Failure | None = None


class WorkflowTimedOut(Event, frozen=True, kw_only=True):
    """The run took longer than its timeout."""

    error: Failure


RunEvent: TypeAlias = (
    WorkflowSubmitted
    | NodeReused
    | WorkflowStarted
    | NodeQueued
    | AttemptStarted
    | AttemptFailed
    | AttemptTimedOut
    | AttemptLost
    | AttemptCancelled
    | NodeCompleted
    | NodeOutputChunk
    | NodeLog
    | NodeProgress
    | StepQueued
    | StepStarted
    | StepFailed
    | StepCompleted
    | NodeFailed
    | NodeSkipped
    | NodeCancelled
    | WorkflowStopping
    | WorkflowCompleted
    | WorkflowFailed
    | WorkflowCancelled
    | WorkflowTimedOut
)
TERMINAL_EVENTS = (WorkflowCompleted, WorkflowFailed, WorkflowCancelled, WorkflowTimedOut)
