"""A step of an attempt: what an agent does, one request to a model or one call of a tool at a time."""

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import dropwhile
from typing import Final, Self

import strawberry
from strawberry.scalars import JSON

from gql_app.core import run as core
from gql_app.core.errors import InvalidArgumentError
from gql_app.core.step_run import StepRun
from gql_app.schema.context import Info
from gql_app.schema.enums import RetryState, SlotLimit, StepKind, StepStatus
from gql_app.schema.failure import Failure
from gql_app.schema.usage import Usage
from gql_app.schema.values import Pointer, PreviewLength, preview_value, read_value
from gql_app.schema.waiting import WaitingOn, WaitingOnRetry, WaitingOnSlot, seconds_between

DEFAULT_STEPS: Final = 20
MAXIMUM_STEPS: Final = 1000
_SHOWN: Final = 100


@strawberry.type
class Step:
    """A durable piece of work inside an attempt: a request to a model, or a call of a tool.

    A step that is COMPLETED is never done again: the node's next attempt is handed its output.
    """

    run: strawberry.Private[core.WorkflowRun]
    step: strawberry.Private[StepRun]

    @classmethod
    def from_step(cls, run: core.WorkflowRun, step: StepRun) -> Self:
        """Show a step."""
        return cls(run=run, step=step)

    @strawberry.field
    def id(self) -> strawberry.ID:
        """The step's id, unique within the node."""
        return strawberry.ID(self.step.id)

    @strawberry.field
    def parent_id(self) -> strawberry.ID | None:
        """The step that it is a part of, if it is one: what an agent does whom another one has called."""
        parent, _, _ = self.step.id.rpartition("/")
        return strawberry.ID(parent) if parent else None

    @strawberry.field
    def kind(self) -> StepKind:
        """What the step does."""
        return self.step.request.kind

    @strawberry.field
    def name(self) -> str:
        """The tool that is called, or the model that is asked."""
        return self.step.request.name

    @strawberry.field
    def status(self) -> StepStatus:
        """Where the step stands."""
        return self.step.status

    @strawberry.field
    def node_attempt(self) -> int:
        """The attempt of the node that last did something about it."""
        return self.step.node_attempt

    @strawberry.field
    def attempt(self) -> int:
        """The number of its latest try in that attempt of the node; 0 before the first."""
        return self.step.attempt

    @strawberry.field
    def maximum_attempts(self) -> int:
        """How many tries there may be in an attempt of the node, the first one included."""
        return self.step.request.retry.maximum_attempts

    @strawberry.field
    def started_at(self) -> datetime | None:
        """When its first try in that attempt of the node began."""
        return self.step.started_at

    @strawberry.field
    def finished_at(self) -> datetime | None:
        """When it ended."""
        return self.step.finished_at

    @strawberry.field
    def duration_seconds(self) -> float | None:
        """From its first try to its end, with the delays between tries; null until it has ended."""
        return seconds_between(self.step.started_at, self.step.finished_at)

    @strawberry.field
    def error(self) -> Failure | None:
        """Why its latest try failed; null if it did not."""
        return Failure.from_optional(self.step.error)

    @strawberry.field
    def retry_state(self) -> RetryState | None:
        """Why a failed step was not tried again."""
        return self.step.retry_state

    @strawberry.field
    def next_attempt_at(self) -> datetime | None:
        """When a step that is RETRYING is tried again."""
        return self.step.next_attempt_at

    @strawberry.field
    def waiting_on(self) -> WaitingOn | None:
        """What keeps the step from running. Null if nothing does, or it has ended."""
        step = self.step
        if step.status is StepStatus.RETRYING and step.next_attempt_at is not None:
            return WaitingOnRetry(until=step.next_attempt_at)
        if step.status is StepStatus.QUEUED and step.queued_for is not None and step.queued_at is not None:
            tool = step.request.name if step.queued_for is SlotLimit.TOOL else None
            return WaitingOnSlot(limit=step.queued_for, since=step.queued_at, tool=tool, name=step.queued_name)
        return None

    @strawberry.field
    def usage(self) -> Usage | None:
        """What language models were used for, by all its tries; null if they were not."""
        return Usage.from_optional(self.step.usage)

    @strawberry.field
    def input(self, info: Info, pointer: Pointer = None) -> JSON | None:
        """What the step is handed: the arguments of a tool, or what is new to a model."""
        return read_value(info, self.run, self.step.request.input, pointer)

    @strawberry.field
    async def input_preview(self, info: Info, length: PreviewLength = 200) -> str | None:
        """The beginning of `input`, written as JSON, to be shown in a line; null for a step that is handed nothing."""
        return await preview_value(info, self.run, self.step.request.input, length)

    @strawberry.field
    def output(self, info: Info, pointer: Pointer = None) -> JSON | None:
        """What came of it: the tool's output, or the model's response. Null unless it is COMPLETED."""
        return read_value(info, self.run, self.step.output, pointer)

    @strawberry.field
    async def output_preview(self, info: Info, length: PreviewLength = 200) -> str | None:
        """The beginning of `output`, written as JSON, to be shown in a line. Null unless it is COMPLETED."""
        return await preview_value(info, self.run, self.step.output, length)


def select_steps(
    steps: Sequence[StepRun],
    *,
    status: Collection[StepStatus] | None,
    first: int | None,
    after: str | None,
    last: int | None,
) -> Sequence[StepRun]:
    """Tell the steps that are asked for. Raises `InvalidArgumentError`."""
    if first is not None and last is not None:
        raise InvalidArgumentError("last", last, "it does not go together with `first`.")
    for name, count in (("first", first), ("last", last)):
        if count is not None and not 1 <= count <= MAXIMUM_STEPS:
            raise InvalidArgumentError(name, count, f"it must be from 1 to {MAXIMUM_STEPS}.")
    if after is not None:
        steps = list(dropwhile(lambda step: step.id != after, steps))[1:] or _none_after(steps, after)
    if status is not None:
        steps = [step for step in steps if step.status in status]
    return steps[-last:] if last is not None else steps[: first or DEFAULT_STEPS]


def _none_after(steps: Sequence[StepRun], after: str) -> Sequence[StepRun]:
    if not any(step.id == after for step in steps):
        raise InvalidArgumentError("after", after[:_SHOWN], "the node has no step of this id.")
    return ()
