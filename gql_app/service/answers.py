"""What the service is asked with and answers, beside runs and events."""

from enum import StrEnum

import msgspec

from gql_app.core.events import RunEvent
from gql_app.core.run import NodeRun, WorkflowRun


class Update(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What a watcher is told: events in order, the nodes they are about, and the run. Equal is only the same one.

    `sequence` is that of the last event; the next update goes on after it. `run` and `changed` show the state there, or
    a later one when there is more to catch up with than an update holds. They are shared: nobody changes them.
    """

    sequence: int
    events: tuple[RunEvent, ...]
    changed: tuple[NodeRun, ...]
    run: WorkflowRun

    @property
    def ends(self) -> bool:
        """Whether nothing can follow."""
        return self.run.status.final and self.run.sequence == self.sequence


class RetryFrom(StrEnum):
    """Where a retry begins: with what did not complete, or with everything."""

    FAILED = "FAILED"
    START = "START"


class Action(StrEnum):
    """What can be done with a run."""

    CANCEL = "CANCEL"
    RETRY = "RETRY"
    DELETE = "DELETE"


class AvailableAction(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an action would work now, and if not, why."""

    action: Action
    enabled: bool
    disabled_reason: str | None = None


class HealthStatus(StrEnum):
    """How the service is."""

    OK = "OK"
    DEGRADED = "DEGRADED"


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How one part of the service is; `message` says what is wrong."""

    name: str
    status: HealthStatus
    message: str | None = None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the service is, part by part; it is degraded if one part is."""

    status: HealthStatus
    checks: tuple[HealthCheck, ...]
    version: str
    uptime_seconds: float
    leftovers: int
    """Calls of tools that still go on although their attempt has ended."""
