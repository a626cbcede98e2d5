"""What happened in a run: facts, in the past tense, with a dense sequence. The log of them is the run."""

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from gql_app.core.ids import Namespace, NodeKey, RunId
from gql_app.core.plan import Plan
from gql_app.core.values import NULL, Value


class RetryState(StrEnum):
    """Why a failed node was not tried again."""

    MAXIMUM_ATTEMPTS_REACHED = "MAXIMUM_ATTEMPTS_REACHED"
    NON_RETRYABLE_ERROR = "NON_RETRYABLE_ERROR"
    TIMEOUT = "TIMEOUT"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"


class SkipReason(StrEnum):
    """Why a node was skipped."""

    CONDITION_FALSE = "CONDITION_FALSE"
    DEPENDENCY_UNAVAILABLE = "DEPENDENCY_UNAVAILABLE"
    WORKFLOW_STOPPING = "WORKFLOW_STOPPING"


class SlotLimit(StrEnum):
    """The limit a queued node waits for. `RUNS` is in no event: a run that has not begun waits for it."""

    RUNS = "RUNS"
    WORKFLOW = "WORKFLOW"
    TOOL = "TOOL"
    PROCESSES = "PROCESSES"
    EXECUTOR = "EXECUTOR"


class Timeout(StrEnum):
    """Which timeout ended an attempt."""

    ATTEMPT = "ATTEMPT"
    HEARTBEAT = "HEARTBEAT"
    TOTAL = "TOTAL"


class LostReason(StrEnum):
    """Why an attempt's process is no longer there."""

    CRASH = "CRASH"
    SHUTDOWN = "SHUTDOWN"


class Outcome(StrEnum):
    """How a run ends."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"


class Failure(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Why something failed. `retryable` and `retry_after` (seconds) are what the error said of itself."""

    type: str
    message: str = ""
    retryable: bool = True
    retry_after: float | None = None
    node: NodeKey | None = None
    """In a run's error: the node that caused it."""


class Event(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag=lambda name: f"{name}/1",
    tag_field="type",
):
    """The base of all events. The tag carries the version of the type's layout."""

    sequence: int
    at: datetime


class WorkflowSubmitted(Event, frozen=True, kw_only=True):
    """A document was accepted. Always the first event."""

    run_id: RunId
    namespace: Namespace
    plan: Plan
    document: msgspec.Raw
    """The document as it was sent."""
    input: Value = NULL
    labels: dict[str, str] = {}
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
    """A node is ready but has to wait for a slot."""

    node: NodeKey
    limit: SlotLimit


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
