"""What the service tells a client. Words of closed sets are plain strings: a newer service may know more of them."""

from datetime import datetime
from typing import Final

import msgspec

from gql_app.core.values import Json

FINAL_STATUSES: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"})
"""The statuses of a run that has ended."""


class Model(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The base of what is told; fields that an operation did not ask for have their default."""


class Problem(Model, frozen=True, kw_only=True):
    """One thing wrong with a document; `pointer` is a JSON Pointer (RFC 6901) into it."""

    code: str
    message: str
    pointer: str
    node_id: str | None = None
    hint: str | None = None


class Failure(Model, frozen=True, kw_only=True):
    """Why a run, a node or an attempt failed."""

    type: str
    message: str = ""
    node_id: str | None = None


class WaitingOn(Model, frozen=True, kw_only=True):
    """What keeps a node from running: nodes to end, an instant, or a slot of a limit."""

    kind: str = msgspec.field(name="__typename")
    node_ids: tuple[str, ...] = ()
    until: datetime | None = None
    limit: str | None = None
    since: datetime | None = None
    tool: str | None = None
    name: str | None = None


class Usage(Model, frozen=True, kw_only=True):
    """What language models were used for; `cost_usd` is None where no price is known."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None


class Budget(Model, frozen=True, kw_only=True):
    """What a run may use of language models; None is no limit."""

    tokens: int | None = None
    cost_usd: float | None = None


class NodeProgress(Model, frozen=True, kw_only=True):
    """How far an attempt says that it has come."""

    fraction: float | None = None
    message: str = ""


class Step(Model, frozen=True, kw_only=True):
    """A step of a node's attempts: a request to a model, or a call of a tool."""

    id: str
    status: str
    parent_id: str | None = None
    kind: str = ""
    name: str = ""
    node_attempt: int = 0
    attempt: int = 0
    maximum_attempts: int = 1
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_seconds: float | None = None
    error: Failure | None = None
    retry_state: str | None = None
    next_attempt_at: datetime | None = None
    input_preview: str | None = None
    """The beginning of what it was handed, as JSON; so is the next of what came of it."""
    output_preview: str | None = None
    usage: Usage | None = None


class NodeRun(Model, frozen=True, kw_only=True):
    """A node of a run."""

    id: str
    status: str
    tool: str = ""
    attempt: int = 0
    maximum_attempts: int = 1
    next_attempt_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_seconds: float | None = None
    skip_reason: str | None = None
    retry_state: str | None = None
    error: Failure | None = None
    waiting_on: WaitingOn | None = None
    progress: NodeProgress | None = None
    usage: Usage | None = None
    step_count: int = 0
    steps: tuple[Step, ...] = ()
    output_so_far: str | None = None
    output_truncated: bool = False


class Attempt(Model, frozen=True, kw_only=True):
    """One call of a node's tool; `number` counts from 1."""

    number: int
    status: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_seconds: float | None = None
    error: Failure | None = None


class NodeDetails(NodeRun, frozen=True, kw_only=True):
    """A node with its values: what its tool was called with, as far as that is known, and what it returned."""

    input: Json = None
    output: Json = None
    attempts: tuple[Attempt, ...] = ()


class Progress(Model, frozen=True, kw_only=True):
    """How many nodes a run has, how many of them have ended, and how much of them all is done."""

    total: int
    completed: int
    fraction: float


class WorkflowRun(Model, frozen=True, kw_only=True):
    """A run, as far as it was asked for."""

    id: str
    status: str
    name: str = ""
    sequence: int = 0
    labels: dict[str, str] = {}
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime | None = None
    duration_seconds: float | None = None
    retry_of: str | None = None
    submitted_by: str | None = None
    progress: Progress | None = None
    output: Json = None
    error: Failure | None = None
    usage: Usage | None = None
    budget: Budget | None = None
    nodes: tuple[NodeRun, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether the run has ended; nothing about it changes then."""
        return self.status in FINAL_STATUSES


class RunEvent(Model, frozen=True, kw_only=True):
    """Something that happened in a run. `kind` is the name of the event's type."""

    kind: str = msgspec.field(name="__typename")
    sequence: int
    at: datetime
    node_id: str | None = None
    attempt: int | None = None
    error: Failure | None = None
    retry_at: datetime | None = None
    retry_state: str | None = None
    reason: str | None = None
    limit: str | None = None
    limit_name: str | None = None
    """Of the limit, or of the tool whose limit it is."""
    outcome: str | None = None
    cause: str | None = None
    stop_error: Failure | None = None
    lost_reason: str | None = None
    text: str = ""
    """What a NodeOutputChunk streamed."""
    within_step: str | None = None
    truncated: bool = False
    level: str | None = None
    message: str = ""
    fields: dict[str, Json] = {}
    fraction: float | None = None
    step_id: str | None = None
    step_kind: str | None = msgspec.field(name="kind", default=None)
    step_name: str = msgspec.field(name="name", default="")
    step_attempt: int = 0
    step_retry_state: str | None = None
    input_preview: str | None = None
    output_preview: str | None = None
    usage: Usage | None = None

    def __post_init__(self) -> None:
        """Take what has another name where GraphQL does not let it have its own."""
        if self.retry_state is None and self.step_retry_state is not None:
            msgspec.structs.force_setattr(self, "retry_state", self.step_retry_state)
        if self.error is None and self.stop_error is not None:
            msgspec.structs.force_setattr(self, "error", self.stop_error)
        if self.reason is None and self.lost_reason is not None:
            msgspec.structs.force_setattr(self, "reason", self.lost_reason)


class WorkflowUpdate(Model, frozen=True, kw_only=True):
    """What happened since the update before; `workflow` is the state at `sequence` or later."""

    sequence: int
    events: tuple[RunEvent, ...] = ()
    changed_nodes: tuple[NodeRun, ...] = ()
    workflow: WorkflowRun


class StreamedOutput(Model, frozen=True, kw_only=True):
    """What a node's latest attempt has streamed up to the run's `sequence`; what follows is told after it."""

    sequence: int
    attempt: int
    text: str
    truncated: bool = False
    """Whether more was streamed than is kept."""


class RunPage(Model, frozen=True, kw_only=True):
    """A page of a list of runs; the next one begins after `end_cursor`."""

    runs: tuple[WorkflowRun, ...] = msgspec.field(name="nodes", default=())
    has_next_page: bool = False
    end_cursor: str | None = None


class NodePlan(Model, frozen=True, kw_only=True):
    """A node of a workflow that was checked."""

    id: str
    tool: str
    depends_on: tuple[str, ...] = ()


class WorkflowPlan(Model, frozen=True, kw_only=True):
    """A workflow that was checked: which nodes can run side by side."""

    name: str
    nodes: tuple[NodePlan, ...] = ()
    layers: tuple[tuple[str, ...], ...] = ()


class Tool(Model, frozen=True, kw_only=True):
    """A tool that nodes can call; its schemas are JSON Schema (2020-12)."""

    name: str
    description: str = ""
    input_schema: Json = True
    output_schema: Json = True
    isolation: str = "ASYNC"
    streams: bool = False
    """Whether its output is a text that it shows as it grows."""
    maximum_concurrency: int | None = None
    rate_limit: Json = None
    retry: Json = None
    timeout: Json = None
