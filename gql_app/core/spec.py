"""What is asked for: the workflow document."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from gql_app.core.values import Frozen, Json

DAYS_30: Final = 30 * 86_400.0
DAY: Final = 86_400.0
MAXIMUM_LABELS: Final = 20
MAXIMUM_NODE_LIMITS: Final = 8
MAXIMUM_LABEL_LENGTH: Final = 63

Seconds = Annotated[float, Field(gt=0, le=DAYS_30)]
Interval = Annotated[float, Field(gt=0, le=DAY)]
LabelKey = Annotated[str, Field(min_length=1, max_length=MAXIMUM_LABEL_LENGTH)]
LabelValue = Annotated[str, Field(max_length=MAXIMUM_LABEL_LENGTH)]


class Jitter(StrEnum):
    """How the delay before a retry is spread."""

    FULL = "FULL"
    """Evenly between zero and the delay."""
    NONE = "NONE"
    """Not at all: exactly the delay."""


class RetryPolicy(Frozen):
    """When to try a failed node again. Attempts include the first one; intervals are in seconds."""

    maximum_attempts: int = Field(
        default=3, ge=1, le=100, description="How often the node is tried, the first attempt included; 1 = no retry."
    )
    initial_interval_seconds: Interval = Field(default=1.0, description="The delay before the first retry.")
    backoff_coefficient: float = Field(
        default=2.0, ge=1, le=10, description="What the delay is multiplied by for every further retry."
    )
    maximum_interval_seconds: Interval = Field(default=100.0, description="The longest delay there can be.")
    jitter: Annotated[Jitter, Field(strict=False)] = Field(
        default=Jitter.FULL, description="FULL = a random delay between zero and the computed one; NONE = exactly it."
    )
    non_retryable_errors: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="Error types (exactly as in `error.type`) that are never retried."
    )


class TimeoutPolicy(Frozen):
    """How long things may take, in seconds; null means no limit."""

    attempt_seconds: Seconds | None = Field(
        default=60.0, description="From the start to the end of one attempt. The attempt can be retried."
    )
    heartbeat_seconds: Seconds | None = Field(
        default=None, description="Silence inside an attempt. The attempt can be retried."
    )
    queue_seconds: Seconds | None = Field(
        default=None, description="Waiting for a slot, each time the node queues. The node fails."
    )
    total_seconds: Seconds | None = Field(
        default=None, description="All attempts of the node with the delays between them. The node fails."
    )


class RateLimit(Frozen):
    """How often something may begin: a bucket of `burst` tokens into which `count` flow every `per_seconds`."""

    count: int = Field(ge=1, le=1_000_000, description="How many calls may begin in `perSeconds`, in the long run.")
    per_seconds: Interval = Field(default=1.0, description="The time in which `count` calls may begin.")
    burst: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="How many calls may begin at once after a pause; null = as many as `count`.",
    )

    @property
    def capacity(self) -> int:
        """How many tokens the bucket holds when it is full."""
        return self.count if self.burst is None else self.burst


class Budget(Frozen):
    """What the language models of a run may use altogether, in all attempts; null means no limit."""

    tokens: int | None = Field(default=None, ge=1, le=2_000_000_000, description="Tokens of both directions together.")
    cost_usd: float | None = Field(
        default=None, gt=0, le=1_000_000_000, description="US dollars, as far as the prices of the models are known."
    )

    def __str__(self) -> str:
        """Tell it in words."""
        parts = [] if self.tokens is None else [f"{self.tokens} tokens"]
        return " and ".join(parts if self.cost_usd is None else [*parts, f"{self.cost_usd:g} USD"]) or "no limit"


class NodeSpec(Frozen):
    """One node: a call of a tool."""

    id: str = Field(
        description="The name of the node in this workflow: letters, digits and `_`, at most 64 characters,"
        " not beginning with a digit, and none of `in`, `true`, `false`, `null`."
    )
    tool: str = Field(description="The name of the tool to call.")
    input: Json = Field(
        default_factory=dict,
        description="What the tool is called with. Strings may hold `${ … }`; a node that one names is depended on.",
    )
    depends_on: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="Ids of nodes that must have ended before this one starts: order without data."
    )
    when: str | None = Field(
        default=None, description="One `${ … }` that gives true or false; the node is skipped if it gives false."
    )
    retry: RetryPolicy = Field(default=RetryPolicy(), description="When to try again; else the tool's own policy.")
    timeout: TimeoutPolicy = Field(default=TimeoutPolicy(), description="How long it may take; else the tool's own.")
    continue_on_failure: bool = Field(
        default=False, description="Whether the run goes on when this node has failed; its output is null then."
    )
    limits: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(),
        description="Limits of the service that its attempts fall under, by name, beside those of its tool: at most 8.",
        json_schema_extra={"maxItems": MAXIMUM_NODE_LIMITS, "uniqueItems": True},
    )


class WorkflowSpec(Frozen):
    """A workflow: nodes, each a call of a tool, and what they need of each other. There must be no cycle."""

    name: str = Field(min_length=1, max_length=200, description="What the workflow is called, for people and lists.")
    nodes: Annotated[tuple[NodeSpec, ...], Field(strict=False, min_length=1)] = Field(
        description="The nodes, in any order: what they depend on decides when they run."
    )
    input: Json = Field(default=None, description="The run's input, `input` in expressions; a submit can replace it.")
    input_schema: dict[str, Json] | bool | None = Field(
        default=None, description="A JSON Schema (2020-12) that the run's input must fit."
    )
    output: Json = Field(
        default=None,
        description="The run's output: an expression, or JSON with `${ … }` in its strings."
        " Left out or null: the outputs of the nodes that no other depends on, by id.",
    )
    timeout_seconds: Seconds = Field(default=3600.0, description="How long the whole run may take, in seconds.")
    maximum_concurrency: int | None = Field(
        default=None, ge=1, le=100_000, description="How many nodes of the run may be tried at once; null = no limit."
    )
    budget: Budget | None = Field(
        default=None, description="What the models of the run may use; a run that has used more of it fails."
    )
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        max_length=MAXIMUM_LABELS,
        description="Words of your own to find the run by: at most 20, of at most 63 characters each.",
    )
