"""What happens inside an attempt: what it shows while it goes on, and the steps it takes."""

from datetime import datetime

import msgspec

from gql_app.core.event_parts import Event, Failure, LogLevel, RetryState, SlotLimit, StepRequest, Usage
from gql_app.core.ids import NodeKey
from gql_app.core.values import NO_FIELDS, NULL, Value


class NodeOutputChunk(Event, frozen=True, kw_only=True):
    """An attempt streamed text. What an attempt, or a try of a step, has shown is void once it has failed."""

    node: NodeKey
    attempt: int
    text: str
    step: str | None = None
    """The step that streamed it, if one did."""
    step_attempt: int = 0
    truncated: bool = False
    """Whether more was streamed after it than is kept: it is the attempt's last."""


class NodeLog(Event, frozen=True, kw_only=True):
    """An attempt logged a line."""

    node: NodeKey
    attempt: int
    level: LogLevel
    message: str
    fields: msgspec.Raw = NO_FIELDS
    """A JSON object."""
    step: str | None = None
    truncated: bool = False
    """Whether more was logged after it than is kept: it is the attempt's last."""


class NodeProgress(Event, frozen=True, kw_only=True):
    """An attempt told how far it has come."""

    node: NodeKey
    attempt: int
    fraction: float | None = None
    """From 0 to 1, if it has said."""
    message: str = ""


class StepQueued(Event, frozen=True, kw_only=True):
    """A step of an attempt has to wait for a slot. `request` stands in the first event of a step in an attempt."""

    node: NodeKey
    attempt: int
    step: str
    limit: SlotLimit
    name: str | None = None
    """Whose limit it is."""
    request: StepRequest | None = None


class StepStarted(Event, frozen=True, kw_only=True):
    """A step of an attempt is tried. `request` stands in the first event of a step in an attempt."""

    node: NodeKey
    attempt: int
    step: str
    step_attempt: int
    request: StepRequest | None = None


class StepFailed(Event, frozen=True, kw_only=True):
    """A step failed. With `retry_at` it is tried again then, else `retry_state` says why not."""

    node: NodeKey
    attempt: int
    step: str
    step_attempt: int
    error: Failure
    retry_at: datetime | None = None
    retry_state: RetryState | None = None
    usage: Usage | None = None


class StepCompleted(Event, frozen=True, kw_only=True):
    """A step is done, for all attempts of its node: it is never done again."""

    node: NodeKey
    attempt: int
    step: str
    step_attempt: int
    output: Value = NULL
    usage: Usage | None = None
