"""A run of a workflow as clients see it."""

from datetime import datetime
from typing import Annotated, Self

import msgspec
import strawberry
from strawberry.scalars import JSON

from gql_app.core import run as core
from gql_app.core.errors import InvalidArgumentError
from gql_app.core.ids import RunId
from gql_app.core.listing import RunSummary
from gql_app.schema.context import Info
from gql_app.schema.enums import Action, NodeStatus, RunStatus
from gql_app.schema.event import RunEvent
from gql_app.schema.facts import make_event
from gql_app.schema.failure import Failure
from gql_app.schema.node import NodeRun
from gql_app.schema.usage import Budget, Usage
from gql_app.schema.values import Pointer, read_value
from gql_app.schema.waiting import seconds_between

MAXIMUM_EVENTS = 1000
MILLION = 1_000_000


@strawberry.type
class Progress:
    """How far a run has come."""

    total: int = strawberry.field(description="How many nodes it has.")
    completed: int = strawberry.field(description="How many of them have ended, in whatever way.")
    fraction: float = strawberry.field(
        description="How much of them is done, from 0 to 1; nodes that are under way count as far as they tell."
    )


@strawberry.type
class AvailableAction:
    """Whether something can be done with a run now."""

    action: Action = strawberry.field(description="The action, by its mutation.")
    enabled: bool = strawberry.field(description="Whether it would work now.")
    disabled_reason: str | None = strawberry.field(description="Why it would not.")


@strawberry.type
class WorkflowRun:
    """A run of a workflow: the state after the event `sequence` of its log."""

    run: strawberry.Private[core.WorkflowRun | None] = None
    past: strawberry.Private[bool] = False
    id: strawberry.ID = strawberry.field(description="The run's id. Nobody can guess it.")
    namespace: str = strawberry.field(description="The room that the run is in.")
    name: str = strawberry.field(description="The workflow's name.")
    status: RunStatus = strawberry.field(description="Where the run stands.")
    sequence: int = strawberry.field(
        description="The last event that this state includes; `workflowUpdates(after:)` goes on from here."
    )
    labels: JSON = strawberry.field(description="The run's labels: an object of strings.")
    created_at: datetime = strawberry.field(description="When the run was submitted.")
    started_at: datetime | None = strawberry.field(description="When the executor began with it.")
    finished_at: datetime | None = strawberry.field(description="When it ended.")
    duration_seconds: float | None = strawberry.field(
        description="From `startedAt` to `finishedAt`; null until it has ended."
    )
    retry_of: strawberry.ID | None = strawberry.field(description="The run that this one retries.")

    @classmethod
    def from_summary(cls, summary: RunSummary) -> Self:
        """Show what a list knows of a run, for a selection of `SUMMARY_FIELDS` alone."""
        return cls(
            id=strawberry.ID(summary.run_id),
            namespace=summary.namespace,
            name=summary.name,
            status=summary.status,
            sequence=summary.sequence,
            labels=JSON(dict(summary.labels)),
            created_at=summary.created_at,
            started_at=summary.started_at,
            finished_at=summary.finished_at,
            duration_seconds=seconds_between(summary.started_at, summary.finished_at),
            retry_of=strawberry.ID(summary.retry_of) if summary.retry_of is not None else None,
        )

    @classmethod
    def from_run(cls, run: core.WorkflowRun, *, past: bool = False) -> Self:
        """Show a run, or what it was in the past."""
        return cls(
            run=run,
            past=past,
            id=strawberry.ID(run.run_id),
            namespace=run.namespace,
            name=run.plan.name,
            status=run.status,
            sequence=run.sequence,
            labels=JSON(run.labels),
            created_at=run.created_at,
            started_at=run.started_at,
            finished_at=run.finished_at,
            duration_seconds=seconds_between(run.started_at, run.finished_at),
            retry_of=strawberry.ID(run.retry_of) if run.retry_of is not None else None,
        )

    @property
    def _state(self) -> core.WorkflowRun:
        assert self.run is not None, "Only summary fields can be told of a run that was not read."
        return self.run

    @strawberry.field
    def input(self, info: Info, pointer: Pointer = None) -> JSON | None:
        """The run's input: the argument `input` of the submission, else the document's."""
        return read_value(info, self._state, self._state.input, pointer)

    @strawberry.field
    def output(self, info: Info, pointer: Pointer = None) -> JSON | None:
        """The run's output. Null unless it is COMPLETED."""
        return read_value(info, self._state, self._state.output, pointer)

    @strawberry.field
    def updated_at(self) -> datetime:
        """When the event `sequence` happened: the instant that this state began."""
        return self._state.at

    @strawberry.field
    def submitted_by(self) -> str | None:
        """The name of who submitted or retried it; null if nobody was asked who they are."""
        return self._state.submitted_by

    @strawberry.field
    def error(self) -> Failure | None:
        """Why the run did not complete, or is stopping."""
        return Failure.from_optional(self._state.error)

    @strawberry.field
    def progress(self) -> Progress:
        """How many nodes have ended, and how far the others have come."""
        total = len(self._state.nodes)
        completed = total - self._state.unfinished
        done = completed + self._state.progressed / MILLION
        return Progress(total=total, completed=completed, fraction=min(done / total, 1.0) if total else 1.0)

    @strawberry.field
    def usage(self) -> Usage | None:
        """What language models were used for, by all attempts of all nodes; null if they were not."""
        return Usage.from_optional(self._state.usage)

    @strawberry.field
    def budget(self) -> Budget | None:
        """What the run may use of language models; null if that is not limited."""
        return Budget.from_optional(self._state.plan.budget)

    @strawberry.field
    def nodes(
        self,
        status: Annotated[
            list[NodeStatus] | None, strawberry.argument(description="Only nodes in one of these statuses.")
        ] = None,
    ) -> list[NodeRun]:
        """The nodes, in the order of the document."""
        run = self._state
        return [NodeRun.from_node(run, node) for node in run.nodes if status is None or node.status in status]

    @strawberry.field
    def node(
        self, id: Annotated[strawberry.ID, strawberry.argument(description="The node's id in the document.")]
    ) -> NodeRun | None:
        """One node; null if there is none of this id."""
        index = self._state.topology.index.get(id)
        return None if index is None else NodeRun.from_node(self._state, self._state.nodes[index])

    @strawberry.field
    async def events(
        self,
        info: Info,
        first: Annotated[int, strawberry.argument(description="How many at most, from 1 to 1000.")] = 100,
        after: Annotated[int, strawberry.argument(description="Only events after this sequence.")] = 0,
    ) -> list[RunEvent]:
        """A part of the run's log, oldest first: all that happened since, or up to `at` if the run is shown as it was.

        Fewer than `first` are told only where the log ends. The next page begins after the last one's `sequence`.
        """
        if not 1 <= first <= MAXIMUM_EVENTS:
            raise InvalidArgumentError("first", first, f"it must be from 1 to {MAXIMUM_EVENTS}.")
        run = self._state
        limit = max(min(first, run.sequence - after), 0) if self.past else first
        facts = await info.context.service.events(run.namespace, run.run_id, after=after, limit=limit)
        return [make_event(run, fact) for fact in facts]

    @strawberry.field
    def spec(self) -> JSON:
        """The document as it was sent."""
        return JSON(msgspec.json.decode(self._state.document))

    @strawberry.field
    async def available_actions(self, info: Info) -> list[AvailableAction]:
        """What the run's state allows to be done with it now, and why not the rest; also where it is shown as it was.

        Whether who asks may do it is another matter.
        """
        run, service = self._state, info.context.service
        if self.past:
            run = await service.get(run.namespace, run.run_id)
        return [
            AvailableAction(action=each.action, enabled=each.enabled, disabled_reason=each.disabled_reason)
            for each in service.actions(run)
        ]


SUMMARY_FIELDS = frozenset(
    {
        "__typename",
        "id",
        "namespace",
        "name",
        "status",
        "sequence",
        "labels",
        "createdAt",
        "startedAt",
        "finishedAt",
        "durationSeconds",
        "retryOf",
    }
)
"""The fields that a list can tell without reading the run."""


async def read_run(info: Info, run_id: RunId, at: int | None = None) -> WorkflowRun:
    """Read a run as it is now, or was at the sequence `at`. Raises `WorkflowNotFoundError`."""
    context = info.context
    run = await context.service.get(context.namespace, run_id, at=at)
    return WorkflowRun.from_run(run, past=at is not None)
