"""What happened in a run: one type per event."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from gql_app.core import run as core
from gql_app.core.values import Value
from gql_app.schema.context import Info
from gql_app.schema.enums import LostReason, Outcome, RetryState, SkipReason, SlotLimit, Timeout
from gql_app.schema.failure import Failure
from gql_app.schema.values import Pointer, read_value


@strawberry.interface
class RunEvent:
    """A fact about a run. Sequences of a run are 1, 2, 3 and so on, without a gap."""

    sequence: int = strawberry.field(description="The event's place in the run's log.")
    at: datetime = strawberry.field(description="When it happened; never before the event that precedes it.")


@strawberry.interface
class NodeEvent(RunEvent):
    """A fact about a node of a run."""

    node_id: strawberry.ID = strawberry.field(description="The node's id in the document.")


@strawberry.interface
class AttemptEvent(NodeEvent):
    """A fact about one call of a node's tool."""

    attempt: int = strawberry.field(description="The attempt's number, from 1.")


@strawberry.type
class WorkflowSubmitted(RunEvent):
    """A document was accepted. Always the first event."""

    run: strawberry.Private[core.WorkflowRun]
    value: strawberry.Private[Value]
    name: str = strawberry.field(description="The workflow's name.")
    labels: JSON = strawberry.field(description="The run's labels: an object of strings.")
    retry_of: strawberry.ID | None = strawberry.field(description="The run that this one retries.")

    @strawberry.field
    def input(self, info: Info, pointer: Pointer = None) -> JSON | None:
        """The input of the run."""
        return read_value(info, self.run, self.value, pointer)


@strawberry.type
class WorkflowStarted(RunEvent):
    """The executor began with the run."""


@strawberry.type
class WorkflowStopping(RunEvent):
    """The run will end with `outcome`; nothing new starts, and what is in flight is asked to stop."""

    outcome: Outcome = strawberry.field(description="How the run will end.")
    error: Failure | None = strawberry.field(description="Why.")


@strawberry.type
class WorkflowCompleted(RunEvent):
    """Every node ended as it should. The last event."""

    run: strawberry.Private[core.WorkflowRun]
    value: strawberry.Private[Value]

    @strawberry.field
    def output(self, info: Info, pointer: Pointer = None) -> JSON | None:
        """The output of the run."""
        return read_value(info, self.run, self.value, pointer)


@strawberry.type
class WorkflowFailed(RunEvent):
    """A node, or the run's output, failed. The last event."""

    error: Failure = strawberry.field(description="What failed.")


@strawberry.type
class WorkflowCancelled(RunEvent):
    """The run was cancelled. The last event."""

    error: Failure | None = strawberry.field(description="By what or why.")


@strawberry.type
class WorkflowTimedOut(RunEvent):
    """The run took longer than its timeout. The last event."""

    error: Failure = strawberry.field(description="Which timeout it was.")


@strawberry.type
class NodeReused(NodeEvent):
    """A completed node was carried over from the run that this one retries."""

    run: strawberry.Private[core.WorkflowRun]
    value: strawberry.Private[Value]

    @strawberry.field
    def output(self, info: Info, pointer: Pointer = None) -> JSON | None:
        """What the node's tool had returned."""
        return read_value(info, self.run, self.value, pointer)


@strawberry.type
class NodeQueued(NodeEvent):
    """A node is ready but has to wait for a slot."""

    limit: SlotLimit = strawberry.field(description="The limit that has been reached.")
    limit_name: str | None = strawberry.field(
        description="The name of the limit, or of the tool whose limit it is; null for those that have no name."
    )


@strawberry.type
class NodeCompleted(AttemptEvent):
    """An attempt returned an output, and the node is done."""

    run: strawberry.Private[core.WorkflowRun]
    value: strawberry.Private[Value]

    @strawberry.field
    def output(self, info: Info, pointer: Pointer = None) -> JSON | None:
        """What the tool returned."""
        return read_value(info, self.run, self.value, pointer)


@strawberry.type
class NodeFailed(NodeEvent):
    """The node is given up."""

    error: Failure = strawberry.field(description="What failed last.")
    retry_state: RetryState = strawberry.field(description="Why it is not tried again.")


@strawberry.type
class NodeSkipped(NodeEvent):
    """The node will not run."""

    reason: SkipReason = strawberry.field(description="Why not.")
    cause: strawberry.ID | None = strawberry.field(description="The dependency because of which it is skipped.")


@strawberry.type
class NodeCancelled(NodeEvent):
    """The node had begun and was given up because the run is stopping."""


@strawberry.type
class AttemptStarted(AttemptEvent):
    """A node got its slot, and its tool was called."""


@strawberry.type
class AttemptFailed(AttemptEvent):
    """The tool failed."""

    error: Failure = strawberry.field(description="What failed.")
    retry_at: datetime | None = strawberry.field(description="When the node is tried again, if it is.")


@strawberry.type
class AttemptTimedOut(AttemptEvent):
    """An attempt took too long; whatever it still does no longer counts."""

    timeout: Timeout = strawberry.field(description="Which timeout it was.")
    error: Failure = strawberry.field(description="The timeout as an error.")
    retry_at: datetime | None = strawberry.field(description="When the node is tried again, if it is.")


@strawberry.type
class AttemptLost(AttemptEvent):
    """The process that ran the attempt died or was shut down."""

    reason: LostReason = strawberry.field(description="What became of the process.")
    error: Failure = strawberry.field(description="The loss as an error.")
    retry_at: datetime | None = strawberry.field(description="When the node is tried again, if it is.")


@strawberry.type
class AttemptCancelled(AttemptEvent):
    """The attempt was stopped because the run is stopping."""
