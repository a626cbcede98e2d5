"""The tools that change something: check and start a document, cancel a run, run it again."""

from typing import Annotated, Final, Literal
from uuid import uuid4

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gql_app.cli.assistant.documents import read_document, read_input
from gql_app.cli.assistant.failures import uncertain
from gql_app.cli.assistant.reporting import Report
from gql_app.cli.assistant.shapes import Answer, Asked
from gql_app.cli.assistant.views import RunView, view_run
from gql_app.client import WorkflowClient, WorkflowRun
from gql_app.core.values import Json

SHOWN_LAYERS: Final = 30
SHOWN_NAMES: Final = 8

_SUBMIT_AGAIN: Final = (
    "The run may have been started nonetheless. Call again in a few seconds with the same document and input, and with"
    " idempotencyKey {key!r}: that finds the run if it is there, and starts it if not. If that does not help, tell the"
    " user that the service does not answer."
)
_RETRY_AGAIN: Final = (
    "The new run may have been started nonetheless. Call list_workflows in a few seconds, and this again only if there"
    " is no run with this `retryOf`. If that does not help, tell the user that the service does not answer."
)

Document = Annotated[
    dict[str, Json] | str,
    Meta(description="The workflow document: a JSON object, or the text of one in YAML or JSON."),
]
Input = Annotated[Json, Meta(description="The run's input, any JSON. It replaces the document's `input` as a whole.")]
RunId = Annotated[str, Meta(description="The run's id, as submit_workflow or list_workflows told it.", max_length=200)]


class Validate(Asked, frozen=True, kw_only=True):
    """A document to check."""

    document: Document
    input: Input = UNSET


class Validated(Answer, frozen=True, kw_only=True):
    """How a document that can work would run."""

    valid: bool
    name: str
    nodes: int
    layers: Annotated[
        tuple[str, ...], Meta(description="The nodes in the order in which they can run; those of a line side by side.")
    ]


class Submit(Asked, frozen=True, kw_only=True):
    """A document to run."""

    document: Document
    input: Input = UNSET
    idempotency_key: (
        Annotated[
            str,
            Meta(
                description="A name of your choice for this submission. Sent again with the same document and input, it"
                " finds the run that is there instead of starting another. Use one if you may have to try again.",
                min_length=1,
                max_length=255,
            ),
        ]
        | UnsetType
    ) = UNSET


class Started(Answer, frozen=True, kw_only=True):
    """A run, and what to do next."""

    workflow: RunView
    next: str


class Cancel(Asked, frozen=True, kw_only=True):
    """A run to stop."""

    id: RunId
    reason: Annotated[str, Meta(description="Why; it is told in the run's error.", max_length=2_000)] | UnsetType = (
        UNSET
    )


class Cancelled(Answer, frozen=True, kw_only=True):
    """A run that is stopping, or has stopped."""

    workflow: RunView


class Retry(Asked, frozen=True, kw_only=True):
    """A run to run again."""

    id: RunId
    from_: Annotated[
        Literal["FAILED", "START"],
        Meta(description="FAILED keeps the outputs of the nodes that completed; START runs all of them again."),
    ] = msgspec.field(default="FAILED", name="from")


async def validate(client: WorkflowClient, asked: Validate, _: Report) -> Validated:
    """Check a document without running it."""
    plan = await client.validate(await read_document(asked.document), input=read_input(asked.input))
    layers = [_layer(layer) for layer in plan.layers]
    if len(layers) > SHOWN_LAYERS:
        layers[SHOWN_LAYERS:] = [f"… and {len(layers) - SHOWN_LAYERS} more"]
    return Validated(valid=True, name=plan.name, nodes=len(plan.nodes), layers=tuple(layers))


async def submit(client: WorkflowClient, asked: Submit, _: Report) -> Started:
    """Start a run of a document."""
    document, given = await read_document(asked.document), read_input(asked.input)
    key = asked.idempotency_key or f"assistant-{uuid4().hex}"
    with uncertain(_SUBMIT_AGAIN.format(key=key)):
        return _started(await client.submit(document, input=given, idempotency_key=key))


async def cancel(client: WorkflowClient, asked: Cancel, _: Report) -> Cancelled:
    """Stop a run."""
    run = await client.cancel(asked.id, asked.reason or None)
    return Cancelled(workflow=view_run(run))


async def retry(client: WorkflowClient, asked: Retry, _: Report) -> Started:
    """Run a finished run's document again, as a new run."""
    with uncertain(_RETRY_AGAIN):
        return _started(await client.retry(asked.id, asked.from_))


def _started(run: WorkflowRun) -> Started:
    what = "It has ended: call get_workflow" if run.finished else "Call watch_workflow"
    return Started(workflow=view_run(run), next=f"{what} with this id.")


def _layer(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more
