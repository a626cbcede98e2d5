"""A step of an attempt, as the fold of its events."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from gql_app.core.event_parts import Failure, RetryState, SlotLimit, StepRequest, Usage
from gql_app.core.values import NULL, Value


class StepStatus(StrEnum):
    """Where a step stands. The last four are final for the attempt of the node."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    RETRYING = "RETRYING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    """The attempt of its node, or the try of the step around it, ended before it."""
    LOST = "LOST"
    """The process that ran it died or was shut down."""

    @property
    def final(self) -> bool:
        """Whether a step in this status has ended."""
        return self in FINAL_STEP


FINAL_STEP: Final = frozenset({StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.CANCELLED, StepStatus.LOST})


class StepRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A step. Never changed, only replaced. `id` is unique in its node, and begins with that of the step around it."""

    id: str
    node_attempt: int
    """The attempt of the node that last did something about it."""
    request: StepRequest
    status: StepStatus
    attempt: int = 0
    """How often it was tried in that attempt of the node."""
    tried_before: int = 0
    """How many of those tries it was given up after, when the attempt asked for it again."""
    started_at: datetime | None = None
    """When it was first tried in that attempt of the node."""
    attempt_started_at: datetime | None = None
    """When it was last tried."""
    queued_at: datetime | None = None
    queued_for: SlotLimit | None = None
    queued_name: str | None = None
    next_attempt_at: datetime | None = None
    finished_at: datetime | None = None
    output: Value = NULL
    error: Failure | None = None
    """Why it was last not completed."""
    retry_state: RetryState | None = None
    usage: Usage | None = None
    """Of all its tries."""
