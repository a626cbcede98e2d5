"""The workflow document as an input: the same fields, the same names."""

from collections.abc import Mapping
from typing import Final

import strawberry
from strawberry.scalars import JSON
from strawberry.types.arguments import InputContext
from strawberry.types.base import get_object_definition

from gql_app.core.values import Json
from gql_app.schema.enums import Jitter


@strawberry.input
class RetryPolicyInput:
    """When to try a failed node again. What is left out is the tool's default, else the one named here."""

    maximum_attempts: int | None = strawberry.field(
        default=strawberry.UNSET, description="How many attempts, the first included, from 1 to 100. Default 3."
    )
    initial_interval_seconds: float | None = strawberry.field(
        default=strawberry.UNSET, description="The delay before the second attempt, up to a day. Default 1."
    )
    backoff_coefficient: float | None = strawberry.field(
        default=strawberry.UNSET, description="What each further delay is multiplied by, from 1 to 10. Default 2."
    )
    maximum_interval_seconds: float | None = strawberry.field(
        default=strawberry.UNSET, description="The longest delay, up to a day. Default 100."
    )
    jitter: Jitter | None = strawberry.field(
        default=strawberry.UNSET, description="How to spread delays. Default FULL."
    )
    non_retryable_errors: list[str] | None = strawberry.field(
        default=strawberry.UNSET, description="Types of errors (`error.type`) after which nothing is retried."
    )


@strawberry.input
class TimeoutPolicyInput:
    """How long a node may take, up to 30 days each. Null turns a timeout off; left out, it is the tool's default."""

    attempt_seconds: float | None = strawberry.field(
        default=strawberry.UNSET, description="One attempt, from start to end. Retried. Default 60."
    )
    heartbeat_seconds: float | None = strawberry.field(
        default=strawberry.UNSET, description="Silence inside an attempt. Retried. Default none."
    )
    queue_seconds: float | None = strawberry.field(
        default=strawberry.UNSET, description="Waiting for a slot, each time. Not retried. Default none."
    )
    total_seconds: float | None = strawberry.field(
        default=strawberry.UNSET,
        description="All attempts and the delays between them. Not retried. Default none.",
    )


@strawberry.input
class BudgetInput:
    """What the language models of a run may use altogether, in all attempts."""

    tokens: int | None = strawberry.field(
        default=strawberry.UNSET, description="Tokens of both directions together, up to 2,000,000,000."
    )
    cost_usd: float | None = strawberry.field(
        default=strawberry.UNSET, description="US dollars, as far as the prices of the models are known."
    )


@strawberry.input
class NodeSpecInput:
    """One node: a call of a tool."""

    id: str = strawberry.field(
        description="Unique within the workflow: a letter or `_`, then up to 63 letters, digits or `_`."
    )
    tool: str = strawberry.field(description="The name of a tool; `tools` lists them.")
    input: JSON | None = strawberry.field(
        default=strawberry.UNSET,
        description="What the tool is called with. Strings may hold expressions: `${ nodes.search.output.title }`.",
    )
    depends_on: list[str] | None = strawberry.field(
        default=strawberry.UNSET,
        description="Nodes that must end first, beside those that expressions name.",
    )
    when: str | None = strawberry.field(
        default=strawberry.UNSET, description="An expression; if it is false, the node is skipped."
    )
    retry: RetryPolicyInput | None = strawberry.field(
        default=strawberry.UNSET, description="When to try the node again."
    )
    timeout: TimeoutPolicyInput | None = strawberry.field(
        default=strawberry.UNSET, description="How long the node may take."
    )
    continue_on_failure: bool | None = strawberry.field(
        default=strawberry.UNSET, description="Whether the run goes on if this node fails. Default false."
    )
    limits: list[str] | None = strawberry.field(
        default=strawberry.UNSET,
        description="Limits of the service that its attempts fall under, by name, beside those of its tool: at most 8.",
    )


@strawberry.input
class WorkflowSpecInput:
    """A workflow: a directed acyclic graph of nodes. The same document as in a file or a REST body."""

    sent: strawberry.Private[Json] = None
    name: str = strawberry.field(description="What the workflow is called, up to 200 characters.")
    nodes: list[NodeSpecInput] = strawberry.field(description="The nodes, in any order.")
    input: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="What expressions see as `input`, unless the submission brings its own."
    )
    input_schema: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="A JSON Schema (2020-12) that the run's input must fit."
    )
    output: JSON | None = strawberry.field(
        default=strawberry.UNSET,
        description=(
            "An expression, or a map of them. Without it, the outputs of the nodes that nobody depends on, by id."
        ),
    )
    timeout_seconds: float | None = strawberry.field(
        default=strawberry.UNSET, description="How long the whole run may take, up to 30 days. Default 3600."
    )
    maximum_concurrency: int | None = strawberry.field(
        default=strawberry.UNSET, description="How many attempts of this run may be in flight at once."
    )
    budget: BudgetInput | None = strawberry.field(
        default=strawberry.UNSET,
        description="What the models of the run may use; a run that has used more of it fails.",
    )
    labels: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="Up to 20 labels to find the run by: an object of strings."
    )


_VALUES: Final = frozenset({"input", "inputSchema", "output", "labels"})
"""Fields that hold any JSON, which stands as it was sent."""

_EXACT: Final = float(1 << 53)
"""Up to here every whole number has a float of its own."""


def to_document(spec: WorkflowSpecInput) -> Json:
    """Make the document again that was sent: its fields and no others, null where null was sent."""
    return _plain(spec.sent)


def _plain(value: Json) -> Json:
    match value:
        case dict():
            return {name: part if name in _VALUES else _plain(part) for name, part in value.items()}
        case list():
            return [_plain(part) for part in value]
        case Jitter():
            return value.value
        case float() if value.is_integer() and abs(value) <= _EXACT:
            # JSON has one kind of number: `10` became 10.0 only because of the field's type.
            return int(value)
        case _:
            return value


def _keep(_: type, value: Mapping[str, Json], __: InputContext) -> WorkflowSpecInput:
    """Keep a document as it was sent: an object for every part of a big one takes long, and nobody needs them."""
    return WorkflowSpecInput(name=value["name"], nodes=[], sent=value)


get_object_definition(WorkflowSpecInput, strict=True).from_input = _keep
