"""Runs and nodes as an assistant sees them: what matters, in little room."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gql_app.cli.activity import describe_progress, describe_usage
from gql_app.cli.assistant.excerpts import Excerpt
from gql_app.cli.assistant.shapes import Answer
from gql_app.cli.output import clean
from gql_app.cli.words import describe_state
from gql_app.client import Failure, NodeRun, WorkflowRun

SHOWN_NODES: Final = 30
NAME_CHARACTERS: Final = 200
MESSAGE_CHARACTERS: Final = 300
"""How much is told of why something failed, where it is one of many."""

_FIRST: Final = ("FAILED", "RUNNING", "RETRYING", "QUEUED", "CANCELLED", "PENDING", "SKIPPED", "COMPLETED")
"""Which nodes are shown if there is no room for all."""


class ErrorView(Answer, frozen=True, kw_only=True):
    """Why something failed."""

    type: Annotated[str, Meta(description="The kind of error; `retry.nonRetryableErrors` of a node names these.")]
    message: str = ""
    node_id: Annotated[str, Meta(description="The node that caused it.")] | UnsetType = UNSET


class ProgressView(Answer, frozen=True, kw_only=True):
    """How far a run is."""

    completed: Annotated[int, Meta(description="Nodes that have ended, however.")] = 0
    total: int
    fraction: float = 0.0


class RunView(Answer, frozen=True, kw_only=True):
    """A run."""

    id: str
    name: str = ""
    status: Annotated[
        str, Meta(description="PENDING, RUNNING, STOPPING, or for good: COMPLETED, FAILED, CANCELLED, TIMED_OUT.")
    ]
    sequence: Annotated[
        int, Meta(description="The last event that this includes; watch_workflow goes on `after` it.")
    ] = 0
    progress: ProgressView | UnsetType = UNSET
    error: Annotated[ErrorView, Meta(description="Why it ended without completing.")] | UnsetType = UNSET
    created_at: datetime | UnsetType = UNSET
    duration_seconds: float | UnsetType = UNSET
    usage: Annotated[str, Meta(description="What it used of language models.")] = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    retry_of: Annotated[str, Meta(description="The run that this one runs again.")] | UnsetType = UNSET


class NodeView(Answer, frozen=True, kw_only=True):
    """A node of a run."""

    id: str
    tool: str = ""
    status: Annotated[
        str,
        Meta(description="PENDING, QUEUED, RUNNING, RETRYING, or for good: COMPLETED, FAILED, SKIPPED, CANCELLED."),
    ]
    attempt: Annotated[int, Meta(description="The latest attempt; absent before the first.")] = 0
    maximum_attempts: int = 1
    waiting_on: Annotated[str, Meta(description="What keeps it from running.")] = ""
    skip_reason: str = ""
    retry_state: Annotated[str, Meta(description="Why it was not tried again.")] = ""
    error: ErrorView | UnsetType = UNSET
    duration_seconds: float | UnsetType = UNSET
    progress: Annotated[str, Meta(description="How far its attempt says that it is.")] = ""
    usage: Annotated[str, Meta(description="What it used of language models.")] = ""
    streamed: Annotated[str, Meta(description="The end of the text that it has streamed meanwhile.")] = ""
    output: Excerpt | UnsetType = UNSET


def view_run(run: WorkflowRun) -> RunView:
    """Show a run."""
    progress = run.progress
    return RunView(
        id=run.id,
        name=clean(run.name, NAME_CHARACTERS),
        status=run.status,
        sequence=run.sequence,
        progress=UNSET
        if progress is None
        else ProgressView(completed=progress.completed, total=progress.total, fraction=round(progress.fraction, 3)),
        error=view_error(run.error),
        created_at=run.created_at or UNSET,
        duration_seconds=seconds(run.duration_seconds),
        usage=describe_usage(run.usage) if run.usage else "",
        labels=run.labels,
        retry_of=run.retry_of or UNSET,
    )


def view_node(node: NodeRun, output: Excerpt | UnsetType = UNSET, streamed: str = "") -> NodeView:
    """Show a node."""
    waits = describe_state(node, datetime.now(UTC)) if node.waiting_on is not None else ""
    return NodeView(
        id=node.id,
        tool=node.tool,
        status=node.status,
        attempt=node.attempt,
        maximum_attempts=node.maximum_attempts,
        waiting_on=waits,
        skip_reason=node.skip_reason or "",
        retry_state=node.retry_state or "",
        error=view_error(node.error),
        duration_seconds=seconds(node.duration_seconds),
        progress=describe_progress(node.progress) if node.progress and node.status == "RUNNING" else "",
        usage=describe_usage(node.usage) if node.usage else "",
        streamed=streamed,
        output=output,
    )


def view_error(failure: Failure | None, room: int = MESSAGE_CHARACTERS) -> ErrorView | UnsetType:
    """Show why something failed."""
    if failure is None:
        return UNSET
    message = clean(failure.message, room)
    return ErrorView(type=clean(failure.type, NAME_CHARACTERS), message=message, node_id=failure.node_id or UNSET)


def view_nodes(
    nodes: Sequence[NodeRun], outputs: Mapping[str, Excerpt] | None = None, streamed: Mapping[str, str] | None = None
) -> tuple[tuple[NodeView, ...], dict[str, int]]:
    """Show as many nodes as there is room for, in their order; count the others by status."""
    shown = {node.id for node in _most_telling(nodes, SHOWN_NODES)}
    given, texts = outputs or {}, streamed or {}
    views = tuple(
        view_node(node, given.get(node.id, UNSET), texts.get(node.id, "")) for node in nodes if node.id in shown
    )
    return views, dict(Counter(node.status for node in nodes if node.id not in shown))


def seconds(duration: float | None) -> float | UnsetType:
    """Tell a duration to the millisecond."""
    return UNSET if duration is None else round(duration, 3)


def _most_telling(nodes: Iterable[NodeRun], room: int) -> list[NodeRun]:
    rank = {status: place for place, status in enumerate(_FIRST)}
    return sorted(nodes, key=lambda node: rank.get(node.status, 0))[:room]
