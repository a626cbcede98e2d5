"""What happened inside an attempt: what it showed, and its steps."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from gql_app.core import run as core
from gql_app.core.values import Value
from gql_app.schema.context import Info
from gql_app.schema.enums import LogLevel, RetryState, SlotLimit, StepKind
from gql_app.schema.event import AttemptEvent
from gql_app.schema.failure import Failure
from gql_app.schema.usage import Usage
from gql_app.schema.values import Pointer, PreviewLength, preview_value, read_value


@strawberry.type
class NodeOutputChunk(AttemptEvent):
    """An attempt streamed text. Once the attempt, or the try of a step, has failed, what it streamed is void."""

    text: str = strawberry.field(description="What was streamed since the chunk before.")
    within_step: strawberry.ID | None = strawberry.field(description="The step that streamed it, if one did.")
    step_attempt: int = strawberry.field(description="The number of the step's try; 0 if no step streamed it.")
    truncated: bool = strawberry.field(description="Whether more was streamed after it than is kept.")


@strawberry.type
class NodeLog(AttemptEvent):
    """An attempt logged a line."""

    level: LogLevel = strawberry.field(description="How much it matters.")
    message: str = strawberry.field(description="What it says.")
    fields: JSON = strawberry.field(description="What it says in fields: an object.")
    within_step: strawberry.ID | None = strawberry.field(description="The step that logged it, if one did.")
    truncated: bool = strawberry.field(description="Whether more was logged after it than is kept.")


@strawberry.type
class NodeProgress(AttemptEvent):
    """An attempt told how far it has come."""

    fraction: float | None = strawberry.field(description="From 0 to 1; null if it has not said.")
    message: str = strawberry.field(description="What it is at; empty if it has not said.")


@strawberry.interface
class StepEvent(AttemptEvent):
    """A fact about a step of an attempt: a request of an agent to its model, or a call of a tool."""

    step_id: strawberry.ID = strawberry.field(description="The step's id, unique within the node.")
    kind: StepKind = strawberry.field(description="What the step does.")
    name: str = strawberry.field(description="The tool that is called, or the model that is asked.")


@strawberry.type
class StepQueued(StepEvent):
    """A step has to wait for a slot."""

    limit: SlotLimit = strawberry.field(description="The limit that has been reached.")
    limit_name: str | None = strawberry.field(description="Whose limit it is: a tool's name, or a named limit.")


@strawberry.type
class StepStarted(StepEvent):
    """A step is tried."""

    run: strawberry.Private[core.WorkflowRun]
    value: strawberry.Private[Value]
    step_attempt: int = strawberry.field(description="The number of the try, from 1.")

    @strawberry.field
    def input(self, info: Info, pointer: Pointer = None) -> JSON | None:
        """What the step is handed: the arguments of a tool, or what is new to a model."""
        return read_value(info, self.run, self.value, pointer)

    @strawberry.field
    async def input_preview(self, info: Info, length: PreviewLength = 200) -> str | None:
        """The beginning of `input`, written as JSON, to be shown in a line; null for a step that is handed nothing."""
        return await preview_value(info, self.run, self.value, length)


@strawberry.type
class StepFailed(StepEvent):
    """A try of a step failed. What it streamed is void."""

    step_attempt: int = strawberry.field(description="The number of the try, from 1.")
    error: Failure = strawberry.field(description="What failed.")
    retry_at: datetime | None = strawberry.field(description="When the step is tried again, if it is.")
    step_retry_state: RetryState | None = strawberry.field(description="Why it is not tried again, if it is not.")
    usage: Usage | None = strawberry.field(description="What models were used for.")


@strawberry.type
class StepCompleted(StepEvent):
    """A step is done, and never done again."""

    run: strawberry.Private[core.WorkflowRun]
    value: strawberry.Private[Value]
    step_attempt: int = strawberry.field(description="The number of the try, from 1.")
    usage: Usage | None = strawberry.field(description="What models were used for.")

    @strawberry.field
    def output(self, info: Info, pointer: Pointer = None) -> JSON | None:
        """What came of it: the tool's output, or the model's response."""
        return read_value(info, self.run, self.value, pointer)

    @strawberry.field
    async def output_preview(self, info: Info, length: PreviewLength = 200) -> str | None:
        """The beginning of `output`, written as JSON, to be shown in a line; null for an output that is null."""
        return await preview_value(info, self.run, self.value, length)
