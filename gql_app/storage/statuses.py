"""What the events of a run make of its status: the rule that every store keeps."""

from collections.abc import Mapping
from typing import Final

from gql_app.core.events import (
    Event,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    WorkflowStopping,
    WorkflowTimedOut,
)
from gql_app.core.run import RunStatus

STATUS: Final[Mapping[type[Event], RunStatus]] = {
    WorkflowStarted: RunStatus.RUNNING,
    WorkflowStopping: RunStatus.STOPPING,
    WorkflowCompleted: RunStatus.COMPLETED,
    WorkflowFailed: RunStatus.FAILED,
    WorkflowCancelled: RunStatus.CANCELLED,
    WorkflowTimedOut: RunStatus.TIMED_OUT,
}
"""What an event makes of the status of its run; the others leave it as it is."""
