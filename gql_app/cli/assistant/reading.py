"""The tools that read: a run, one of its nodes, the list of runs."""

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gql_app.cli.activity import describe_step, describe_usage
from gql_app.cli.assistant.excerpts import Excerpt, page, preview
from gql_app.cli.assistant.failures import AskedWronglyError
from gql_app.cli.assistant.reporting import Report
from gql_app.cli.assistant.shapes import Answer, Asked
from gql_app.cli.assistant.starting import RunId
from gql_app.cli.assistant.views import (
    ErrorView,
    NodeView,
    RunView,
    seconds,
    view_error,
    view_node,
    view_nodes,
    view_run,
)
from gql_app.cli.output import clean
from gql_app.cli.words import describe_failure
from gql_app.client import Attempt, NodeDetails, RefusedError, Step, WorkflowClient, WorkflowRun

MAXIMUM_PREVIEWS: Final = 12
"""Of so many nodes that completed, their outputs are shown too."""
SHOWN_ATTEMPTS: Final = 10
SHOWN_NAMES: Final = 50
INPUT_BYTES: Final = 2_000
STEP_CHARACTERS: Final = 300
ERROR_CHARACTERS: Final = 1_000
_FEW, _MANY = 10, 50

Pointer = Annotated[
    str,
    Meta(description="Show only this part of the output: a JSON Pointer such as `/items/0/title`.", max_length=2_000),
]
Offset = Annotated[
    int, Meta(description="Of a string or list, skip so many characters or items; see `nextOffset`.", ge=0)
]
Status = Literal["PENDING", "RUNNING", "STOPPING", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"]


class GetWorkflow(Asked, frozen=True, kw_only=True):
    """A run to read."""

    id: RunId
    pointer: Pointer = ""
    offset: Offset = 0


class Workflow(Answer, frozen=True, kw_only=True):
    """A run as it is now."""

    workflow: RunView
    output: Annotated[Excerpt, Meta(description="What the run put out. Absent until it has completed.")] | UnsetType = (
        UNSET
    )
    nodes: Annotated[tuple[NodeView, ...], Meta(description="The nodes, in the order of the document.")] = ()
    nodes_left_out: Annotated[dict[str, int], Meta(description="How many further nodes there are, by status.")] = (
        msgspec.field(default_factory=dict)
    )
    note: str = ""


class GetNode(Asked, frozen=True, kw_only=True):
    """A node of a run to read."""

    id: RunId
    node: Annotated[str, Meta(description="The node's id in the document.", max_length=200)]
    pointer: Pointer = ""
    offset: Offset = 0


class AttemptView(Answer, frozen=True, kw_only=True):
    """One call of a node's tool."""

    number: int
    status: str
    started_at: datetime | UnsetType = UNSET
    duration_seconds: float | UnsetType = UNSET
    error: ErrorView | UnsetType = UNSET


class Node(Answer, frozen=True, kw_only=True):
    """A node with its values and attempts."""

    node: NodeView
    input: (
        Annotated[Excerpt, Meta(description="What the tool was called with. Absent until that is known.")] | UnsetType
    ) = UNSET
    output_so_far: (
        Annotated[Excerpt, Meta(description="The text that an attempt under way has streamed.")] | UnsetType
    ) = UNSET
    attempts: Annotated[tuple[AttemptView, ...], Meta(description="The latest calls of its tool, oldest first.")] = ()
    steps: Annotated[
        tuple[str, ...], Meta(description="The latest requests to models and calls of tools inside its attempts.")
    ] = ()
    note: str = ""


class ListWorkflows(Asked, frozen=True, kw_only=True):
    """Which runs to list."""

    statuses: Annotated[tuple[Status, ...], Meta(description="Only runs in one of these.")] = ()
    name: Annotated[str, Meta(description="Only runs of workflows of exactly this name.", max_length=200)] = ""
    labels: Annotated[dict[str, str], Meta(description="Only runs with these labels.")] = msgspec.field(
        default_factory=dict
    )
    first: Annotated[int, Meta(description="How many at most.", ge=1, le=_MANY)] = _FEW
    after: Annotated[str, Meta(description="The `nextAfter` of the page before.", max_length=2_000)] = ""


class Workflows(Answer, frozen=True, kw_only=True):
    """A page of runs, newest first."""

    workflows: tuple[RunView, ...]
    next_after: Annotated[str, Meta(description="There are more: call again with this `after`.")] = ""


async def get_workflow(client: WorkflowClient, asked: GetWorkflow, _: Report) -> Workflow:
    """Read a run."""
    run = await client.get(asked.id)
    if (asked.pointer or asked.offset) and run.status != "COMPLETED":
        raise AskedWronglyError(f"The run is {run.status}: only one that has completed has an output.", "NO_OUTPUT")
    outputs = await _previews(client, run)
    nodes, left_out = view_nodes(run.nodes, outputs)
    output = page(run.output, asked.pointer, asked.offset) if run.status == "COMPLETED" else UNSET
    hints = [
        _hint(output, "get_workflow") if output else "",
        "For what a node put out, call get_node." if outputs is None or left_out else "",
        "Outputs of nodes are cut; get_node shows more."
        if any(not view.is_whole for view in (outputs or {}).values())
        else "",
    ]
    return Workflow(
        workflow=view_run(run),
        output=output,
        nodes=nodes,
        nodes_left_out=left_out,
        note=" ".join(filter(None, hints)),
    )


async def get_node(client: WorkflowClient, asked: GetNode, _: Report) -> Node:
    """Read a node with its values."""
    try:
        node = await client.node(asked.id, asked.node)
    except RefusedError as error:
        if error.code == "NODE_NOT_FOUND":
            names = [node.id for node in (await client.get(asked.id)).nodes]
            more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
            raise AskedWronglyError(f"{error} There are {', '.join(names[:SHOWN_NAMES])}{more}.", error.code) from None
        raise
    so_far = await client.output_so_far(asked.id, asked.node) if node.status == "RUNNING" else None
    output, text = _output(node, so_far.text if so_far is not None else "", asked)
    shown = output or text
    return Node(
        node=view_node(node, output),
        input=UNSET if node.input is None else preview(node.input, INPUT_BYTES),
        output_so_far=text,
        attempts=tuple(map(_view_attempt, node.attempts[-SHOWN_ATTEMPTS:])),
        steps=tuple(map(_describe_step, node.steps)),
        note=_hint(shown, "get_node") if shown else "",
    )


def _output(node: NodeDetails, so_far: str, asked: GetNode) -> tuple[Excerpt | UnsetType, Excerpt | UnsetType]:
    """Show what the node returned, or what it has streamed so far."""
    if node.status == "COMPLETED":
        return page(node.output, asked.pointer, asked.offset), UNSET
    if so_far and not asked.pointer:
        return UNSET, page(so_far, "", asked.offset)
    if asked.pointer or asked.offset:
        raise AskedWronglyError(f"Node {node.id} is {node.status}: it has no output.", "NO_OUTPUT")
    return UNSET, UNSET


async def list_workflows(client: WorkflowClient, asked: ListWorkflows, _: Report) -> Workflows:
    """List runs."""
    listed = await client.list(
        first=asked.first,
        after=asked.after or None,
        statuses=asked.statuses,
        name=asked.name or None,
        labels=asked.labels,
    )
    after = (listed.end_cursor or "") if listed.has_next_page else ""
    return Workflows(workflows=tuple(map(view_run, listed.runs)), next_after=after)


async def _previews(client: WorkflowClient, run: WorkflowRun) -> dict[str, Excerpt] | None:
    """Show what the nodes put out, if they are few."""
    completed = sum(node.status == "COMPLETED" for node in run.nodes)
    if completed > MAXIMUM_PREVIEWS:
        return None
    outputs = await client.outputs(run.id) if completed else {}
    return {name: preview(output) for name, output in outputs.items()}


def _view_attempt(attempt: Attempt) -> AttemptView:
    return AttemptView(
        number=attempt.number,
        status=attempt.status,
        started_at=attempt.started_at or UNSET,
        duration_seconds=seconds(attempt.duration_seconds),
        error=view_error(attempt.error, ERROR_CHARACTERS),
    )


def _describe_step(step: Step) -> str:
    """Say what a step did or does, in one line."""
    parts = [f"{step.id} {step.status}: {describe_step(step)}"]
    parts += [f"attempt {step.attempt} of {step.maximum_attempts}"] if step.attempt > 1 else []
    parts += [describe_usage(step.usage)] if step.usage else []
    parts += [describe_failure(step.error)] if step.error else []
    return clean("; ".join(parts), STEP_CHARACTERS)


def _hint(output: Excerpt, tool: str) -> str:
    """Say how to see the rest."""
    if output.is_whole:
        return ""
    if output.next_offset is not UNSET:
        return f"There is more: call {tool} with offset {output.next_offset}."
    return f"The output is too big to be shown whole: call {tool} with a `pointer` to the part you need, see `cut`."
