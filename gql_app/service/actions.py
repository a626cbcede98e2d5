"""What can be done with a run, and why not."""

from gql_app.core.run import NodeStatus, RunStatus, WorkflowRun
from gql_app.service.answers import Action, AvailableAction


def available_actions(run: WorkflowRun) -> tuple[AvailableAction, ...]:
    """Tell of every action whether the run's state allows it; who may do it is another matter."""
    return (
        _action(Action.CANCEL, _why_not_cancel(run)),
        _action(Action.RETRY, _why_not_retry(run)),
        _action(Action.DELETE, _why_not_delete(run)),
    )


def nothing_to_retry(run: WorkflowRun) -> str | None:
    """Say why a finished run cannot be retried from what failed, if it cannot."""
    if run.status is not RunStatus.COMPLETED or any(node.status is NodeStatus.FAILED for node in run.nodes):
        return None
    return "The run completed and no node failed; from START everything runs again."


def _action(action: Action, reason: str | None) -> AvailableAction:
    return AvailableAction(action=action, enabled=reason is None, disabled_reason=reason)


def _why_not_cancel(run: WorkflowRun) -> str | None:
    if run.status.final:
        return f"The run has already finished: {run.status}."
    return "The run is already stopping." if run.status is RunStatus.STOPPING else None


def _why_not_retry(run: WorkflowRun) -> str | None:
    return _why_not_delete(run) or nothing_to_retry(run)


def _why_not_delete(run: WorkflowRun) -> str | None:
    return None if run.status.final else f"The run has not finished: {run.status}."
