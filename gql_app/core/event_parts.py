"""What events are made of: their base, and the words they are told in."""

from datetime import datetime
from enum import StrEnum

import msgspec

from gql_app.core.ids import NodeKey
from gql_app.core.spec import RetryPolicy, TimeoutPolicy
from gql_app.core.values import NULL, Value


class RetryState(StrEnum):
    """Why a failed node was not tried again."""

    MAXIMUM_ATTEMPTS_REACHED = "MAXIMUM_ATTEMPTS_REACHED"
    NON_RETRYABLE_ERROR = "NON_RETRYABLE_ERROR"
    TIMEOUT = "TIMEOUT"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"


class SkipReason(StrEnum):
    """Why a node was skipped."""

    CONDITION_FALSE = "CONDITION_FALSE"
    DEPENDENCY_UNAVAILABLE = "DEPENDENCY_UNAVAILABLE"
    WORKFLOW_STOPPING = "WORKFLOW_STOPPING"


class SlotLimit(StrEnum):
    """The limit a queued node waits for. `RUNS` is in no event: a run that has not begun waits for it."""

    RUNS = "RUNS"
    WORKFLOW = "WORKFLOW"
    TOOL = "TOOL"
    PROCESSES = "PROCESSES"
    NAMED = "NAMED"
    RATE = "RATE"
    EXECUTOR = "EXECUTOR"


class Timeout(StrEnum):
    """Which timeout ended an attempt."""

    ATTEMPT = "ATTEMPT"
    HEARTBEAT = "HEARTBEAT"
    TOTAL = "TOTAL"


class LostReason(StrEnum):
    """Why an attempt's process is no longer there."""

    CRASH = "CRASH"
    SHUTDOWN = "SHUTDOWN"


class Outcome(StrEnum):
    """How a run ends."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"


class LogLevel(StrEnum):
    """How much a line of a tool's log matters."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class StepKind(StrEnum):
    """What a step does."""

    MODEL = "MODEL"
    """Asks a language model."""
    TOOL = "TOOL"
    """Calls a tool."""
    OTHER = "OTHER"
    """Whatever its tool wants done only once."""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Why something failed. `retryable` and `retry_after` (seconds) are what the error said of itself."""

    type: str
    message: str = ""
    retryable: bool = True
    retry_after: float | None = None
    node: NodeKey | None = None
    """In a run's error: the node that caused it."""


class Usage(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What language models were used for. `cost_usd` is null where no price is known."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None

    @property
    def tokens(self) -> int:
        """Tell the tokens of both directions."""
        return self.input_tokens + self.output_tokens


def add_usage(first: Usage | None, second: Usage | None) -> Usage | None:
    """Add up what was used; what has no price costs nothing as long as something else has one."""
    if first is None or second is None:
        return first or second
    costs = [each.cost_usd for each in (first, second) if each.cost_usd is not None]
    return Usage(
        first.requests + second.requests,
        first.input_tokens + second.input_tokens,
        first.output_tokens + second.output_tokens,
        sum(costs) if costs else None,
    )


class StepRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a step is asked to do, and by which rules."""

    kind: StepKind
    name: str
    """The tool or the model, or what else is done."""
    input: Value = NULL
    retry: RetryPolicy = RetryPolicy()
    timeout: TimeoutPolicy = TimeoutPolicy()
    limits: tuple[str, ...] = ()
    """Named limits that it takes beside its tool's."""


class Event(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    gc=False,
    tag=lambda name: f"{name}/1",
    tag_field="type",
):
    """The base of all events. The tag carries the version of the type's layout."""

    sequence: int
    at: datetime
