"""A node of a run, its attempts, and what it waits for."""

from datetime import datetime
from typing import Annotated, Self, TypeAlias

import strawberry
from strawberry.scalars import JSON

from gql_app.core import events as facts
from gql_app.core import run as core
from gql_app.core.plan import NodePlan
from gql_app.schema.context import Info
from gql_app.schema.enums import AttemptStatus, NodeStatus, RetryState, SkipReason, SlotLimit
from gql_app.schema.pointer import parse_pointer
from gql_app.schema.values import Pointer, read_value, select_from


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """Tell how long something took, once it has ended."""
    return (end - start).total_seconds() if start is not None and end is not None else None


@strawberry.type
class Failure:
    """Why a run, a node or an attempt failed."""

    type: str = strawberry.field(
        description=(
            "The class of the error, as the tool told it, or one of AttemptTimeout, HeartbeatTimeout, QueueTimeout,"
            " TotalTimeout, WorkerLost, ExpressionError, InvalidInput, InvalidOutput,"
            " SecretUnavailable."
        )
    )
    message: str = strawberry.field(description="What went wrong.")
    retryable: bool = strawberry.field(description="Whether the error itself allowed a retry.")
    retry_after_seconds: float | None = strawberry.field(description="The delay that the error itself asked for.")
    node_id: strawberry.ID | None = strawberry.field(description="In a run's error: the node that caused it.")

    @classmethod
    def from_failure(cls, failure: facts.Failure) -> Self:
        return cls(
            type=failure.type,
            message=failure.message,
            retryable=failure.retryable,
            retry_after_seconds=failure.retry_after,
            node_id=strawberry.ID(str(failure.node)) if failure.node is not None else None,
        )

    @classmethod
    def from_optional(cls, failure: facts.Failure | None) -> Self | None:
        return None if failure is None else cls.from_failure(failure)


@strawberry.type
class Attempt:
    """One call of a node's tool."""

    number: int = strawberry.field(description="Counts from 1.")
    status: AttemptStatus = strawberry.field(description="Where the attempt stands.")
    started_at: datetime = strawberry.field(description="When the tool was called.")
    finished_at: datetime | None = strawberry.field(description="When the attempt ended.")
    duration_seconds: float | None = strawberry.field(description="How long it took; null while it is running.")
    error: Failure | None = strawberry.field(description="Why it did not complete.")

    @classmethod
    def from_attempt(cls, attempt: core.Attempt) -> Self:
        return cls(
            number=attempt.number,
            status=attempt.status,
            started_at=attempt.started_at,
            finished_at=attempt.finished_at,
            duration_seconds=seconds_between(attempt.started_at, attempt.finished_at),
            error=Failure.from_optional(attempt.error),
        )


@strawberry.type
class WaitingOnNodes:
    """Waiting for other nodes to end."""

    node_ids: list[strawberry.ID] = strawberry.field(description="The dependencies that have not ended.")


@strawberry.type
class WaitingOnRetry:
    """Waiting until the next attempt is due."""

    until: datetime = strawberry.field(description="When it is due.")


@strawberry.type
class WaitingOnSlot:
    """Ready, and waiting for a slot."""

    limit: SlotLimit = strawberry.field(description="The limit that has been reached.")
    since: datetime = strawberry.field(description="Since when it waits.")
    tool: str | None = strawberry.field(description="The tool whose limit it is, if it is a tool's.")
    name: str | None = strawberry.field(
        description="The name of the limit, or of the tool whose limit it is; null for those that have no name."
    )


WaitingOn: TypeAlias = Annotated[
    WaitingOnNodes | WaitingOnRetry | WaitingOnSlot,
    strawberry.union("WaitingOn", description="What keeps a node from running."),
]


@strawberry.type
class NodeRun:
    """A node of a run. Its `id` is unique only within the run."""

    run: strawberry.Private[core.WorkflowRun]
    node: strawberry.Private[core.NodeRun]

    @classmethod
    def from_node(cls, run: core.WorkflowRun, node: core.NodeRun) -> Self:
        """Show a node. What is told of it is found out when it is asked for: most ask for little."""
        return cls(run=run, node=node)

    @strawberry.field
    def id(self) -> strawberry.ID:
        """The node's id in the document."""
        return strawberry.ID(str(self.node.key))

    @strawberry.field
    def status(self) -> NodeStatus:
        """Where the node stands."""
        return self.node.status

    @strawberry.field
    def tool(self) -> str:
        """The name of the tool it calls."""
        return self._plan.tool

    @strawberry.field
    def depends_on(self) -> list[strawberry.ID]:
        """The nodes it waits for: those its expressions name, and those in the document's `dependsOn`."""
        return [strawberry.ID(name) for name in self._plan.depends_on]

    @strawberry.field
    def error(self) -> Failure | None:
        """Why the node failed."""
        return Failure.from_optional(self.node.error)

    @strawberry.field
    def retry_state(self) -> RetryState | None:
        """Why a failed node was not tried again."""
        return self.node.retry_state

    @strawberry.field
    def attempt(self) -> int:
        """The number of the latest attempt; 0 before the first."""
        return self.node.attempts[-1].number if self.node.attempts else 0

    @strawberry.field
    def maximum_attempts(self) -> int:
        """How many attempts there may be, the first one included."""
        return self._plan.retry.maximum_attempts

    @strawberry.field
    def next_attempt_at(self) -> datetime | None:
        """When a node that is RETRYING is tried again."""
        return self.node.next_attempt_at

    @strawberry.field
    def skip_reason(self) -> SkipReason | None:
        """Why the node was skipped."""
        return self.node.skip_reason

    @strawberry.field
    def skip_cause(self) -> strawberry.ID | None:
        """The dependency because of which it was skipped."""
        return strawberry.ID(str(self.node.skip_cause)) if self.node.skip_cause is not None else None

    @strawberry.field
    def started_at(self) -> datetime | None:
        """When its first attempt began."""
        return self.node.started_at

    @strawberry.field
    def finished_at(self) -> datetime | None:
        """When the node ended."""
        return self.node.finished_at

    @strawberry.field
    def duration_seconds(self) -> float | None:
        """From its first attempt to its end, with the delays between attempts; null until it has ended."""
        return seconds_between(self.node.started_at, self.node.finished_at)

    @property
    def _plan(self) -> NodePlan:
        return self.run.plan.nodes[self.node.index]

    @strawberry.field
    async def input(self, info: Info, pointer: Pointer = None) -> JSON | None:
        """What the tool is called with: the input with its expressions resolved. Null until that is known.

        Secrets are not shown: their placeholders stand there.
        """
        path = parse_pointer(pointer or "")
        return JSON(await select_from(info.context.service.node_input(self.run, self.node), path))

    @strawberry.field
    def output(self, info: Info, pointer: Pointer = None) -> JSON | None:
        """What the tool returned. Null unless the node is COMPLETED."""
        return read_value(info, self.run, self.node.output, pointer)

    @strawberry.field
    def attempts(self) -> list[Attempt]:
        """Every call of the tool, oldest first. None for a node that was carried over from the run this one retries."""
        return [Attempt.from_attempt(attempt) for attempt in self.node.attempts]

    @strawberry.field
    def waiting_on(self) -> WaitingOn | None:
        """What keeps the node from running. Null if nothing does, or it has ended."""
        match core.waiting_on(self.run, self.node):
            case core.UpstreamNodes(nodes):
                return WaitingOnNodes(node_ids=[strawberry.ID(str(key)) for key in nodes])
            case core.RetryBackoff(until):
                return WaitingOnRetry(until=until)
            case core.SlotWait() as wait:
                return WaitingOnSlot(limit=wait.limit, since=wait.since, tool=wait.tool, name=wait.name)
            case None:
                return None
