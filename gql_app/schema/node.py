"""A node of a run, its attempts, and what they show."""

from datetime import datetime
from typing import Annotated, Self

import strawberry
from strawberry.scalars import JSON

from gql_app.core import run as core
from gql_app.core.errors import InvalidArgumentError
from gql_app.core.plan import NodePlan
from gql_app.schema.context import Info
from gql_app.schema.enums import AttemptStatus, NodeStatus, RetryState, SkipReason, StepStatus
from gql_app.schema.failure import Failure
from gql_app.schema.pointer import parse_pointer
from gql_app.schema.step import Step, select_steps
from gql_app.schema.step_event import NodeLog
from gql_app.schema.step_facts import make_log
from gql_app.schema.usage import Usage
from gql_app.schema.values import Pointer, read_value, select_from
from gql_app.schema.waiting import WaitingOn, WaitingOnNodes, WaitingOnRetry, WaitingOnSlot, seconds_between


@strawberry.type
class Attempt:
    """One call of a node's tool."""

    number: int = strawberry.field(description="Counts from 1.")
    status: AttemptStatus = strawberry.field(description="Where the attempt stands.")
    started_at: datetime = strawberry.field(description="When the tool was called.")
    finished_at: datetime | None = strawberry.field(description="When the attempt ended.")
    duration_seconds: float | None = strawberry.field(description="How long it took; null while it is running.")
    error: Failure | None = strawberry.field(description="Why it did not complete.")
    usage: Usage | None = strawberry.field(description="What language models were used for; null if they were not.")

    @classmethod
    def from_attempt(cls, attempt: core.Attempt) -> Self:
        return cls(
            number=attempt.number,
            status=attempt.status,
            started_at=attempt.started_at,
            finished_at=attempt.finished_at,
            duration_seconds=seconds_between(attempt.started_at, attempt.finished_at),
            error=Failure.from_optional(attempt.error),
            usage=Usage.from_optional(attempt.usage),
        )


@strawberry.type
class AttemptProgress:
    """How far an attempt says that it has come."""

    fraction: float | None = strawberry.field(description="From 0 to 1; null if it has not said.")
    message: str = strawberry.field(description="What it is at; empty if it has not said.")


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
    def progress(self) -> AttemptProgress | None:
        """How far the attempt in flight says that it has come; null if it has not said, and if there is none."""
        told = self.node.progress
        return None if told is None else AttemptProgress(fraction=told.fraction, message=told.message)

    @strawberry.field
    async def output_so_far(
        self,
        info: Info,
        last: Annotated[
            int | None, strawberry.argument(description="Only the last so many characters, at least 1.")
        ] = None,
    ) -> str | None:
        """The text that the latest attempt has streamed so far, for those who come late: chunks that follow go on here.

        Null if it has streamed nothing, or has failed. What failed tries of its steps streamed is left out.
        """
        if last is not None and last < 1:
            raise InvalidArgumentError("last", last, "it must be at least 1.")
        streamed = await info.context.service.streamed(self.run, self.node)
        text = streamed.text if streamed is not None else None
        return text if text is None or last is None else text[-last:]

    @strawberry.field
    async def output_truncated(self, info: Info) -> bool:
        """Whether the latest attempt has streamed more than is kept and told."""
        streamed = await info.context.service.streamed(self.run, self.node)
        return streamed is not None and streamed.truncated

    @strawberry.field
    async def logs(
        self,
        info: Info,
        last: Annotated[int, strawberry.argument(description="The last so many lines, from 1 to 200.")] = 20,
    ) -> list[NodeLog]:
        """What its attempts have logged, oldest first: the last lines, for those who come late."""
        return [make_log(line) for line in await info.context.service.logged(self.run, self.node, last)]

    @strawberry.field
    def step_count(self) -> int:
        """How many steps its attempts have taken so far."""
        return len(self.node.steps)

    @strawberry.field
    def steps(
        self,
        status: Annotated[
            list[StepStatus] | None, strawberry.argument(description="Only steps in one of these statuses.")
        ] = None,
        first: Annotated[
            int | None, strawberry.argument(description="The first so many steps, from 1 to 1000. Default 20.")
        ] = None,
        after: Annotated[strawberry.ID | None, strawberry.argument(description="Only steps behind this one.")] = None,
        last: Annotated[
            int | None, strawberry.argument(description="The last so many steps, from 1 to 1000; not with `first`.")
        ] = None,
    ) -> list[Step]:
        """What its attempts do step by step: an agent's requests to models and calls of tools, as first asked for."""
        steps = select_steps(self.node.steps, status=status, first=first, after=after, last=last)
        return [Step.from_step(self.run, step) for step in steps]

    @strawberry.field
    def usage(self) -> Usage | None:
        """What language models were used for by all its attempts; null if they were not."""
        return Usage.from_optional(self.node.usage)

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
