"""What is asked for: the workflow document."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from gql_app.core.values import Frozen, Json

DAYS_30: Final = 30 * 86_400.0
DAY: Final = 86_400.0

Seconds = Annotated[float, Field(gt=0, le=DAYS_30)]
Interval = Annotated[float, Field(gt=0, le=DAY)]


class Jitter(StrEnum):
    """How the delay before a retry is spread."""

    FULL = "FULL"
    NONE = "NONE"


class RetryPolicy(Frozen):
    """When to try a failed node again. Attempts include the first one; intervals are in seconds."""

    maximum_attempts: int = Field(default=3, ge=1, le=100)
    initial_interval_seconds: Interval = 1.0
    backoff_coefficient: float = Field(default=2.0, ge=1, le=10)
    maximum_interval_seconds: Interval = 100.0
    jitter: Annotated[Jitter, Field(strict=False)] = Jitter.FULL
    non_retryable_errors: Annotated[tuple[str, ...], Field(strict=False)] = ()


class TimeoutPolicy(Frozen):
    """How long things may take, in seconds; null means no limit."""

    attempt_seconds: Seconds | None = 60.0
    heartbeat_seconds: Seconds | None = None
    queue_seconds: Seconds | None = None
    total_seconds: Seconds | None = None


class NodeSpec(Frozen):
    """One node: a call of a tool."""

    id: str
    tool: str
    input: Json = Field(default_factory=dict)
    depends_on: Annotated[tuple[str, ...], Field(strict=False)] = ()
    when: str | None = None
    retry: RetryPolicy = RetryPolicy()
    timeout: TimeoutPolicy = TimeoutPolicy()
    continue_on_failure: bool = False


class WorkflowSpec(Frozen):
    """A workflow: a directed acyclic graph of nodes. `model_fields_set` tells what was written from what is default."""

    name: str = Field(min_length=1, max_length=200)
    nodes: Annotated[tuple[NodeSpec, ...], Field(strict=False, min_length=1)]
    input: Json = None
    input_schema: dict[str, Json] | bool | None = None
    output: Json = None
    timeout_seconds: Seconds = 3600.0
    maximum_concurrency: int | None = Field(default=None, ge=1, le=100_000)
    labels: dict[str, str] = Field(default_factory=dict)
