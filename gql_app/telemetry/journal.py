"""Logs how runs begin and end, and lets what tools log say for which attempt."""

import logging
from collections.abc import Sequence
from typing import Final

from gql_app.core.events import TERMINAL_EVENTS, RunEvent, WorkflowSubmitted
from gql_app.core.plan import NodePlan
from gql_app.core.run import WorkflowRun
from gql_app.telemetry.context import set_log_fields
from gql_app.telemetry.monitor import Unmonitored

logger: Final = logging.getLogger("gql_app.runs")


class Journal(Unmonitored):
    """One line when a run is submitted and one when it has ended. What goes in and out of a run is never logged."""

    def submitted(self, event: WorkflowSubmitted) -> None:
        """Log it."""
        if logger.isEnabledFor(logging.INFO):
            fields = {"run_id": event.run_id, "namespace": event.namespace, "workflow": event.plan.name}
            logger.info("Run %s was submitted.", event.run_id, extra=fields)

    def taken_over(self, run: WorkflowRun) -> None:
        """Let the lines about the run carry its id instead of what its submitter was about."""
        set_log_fields({"run_id": run.run_id, "namespace": run.namespace})
        if run.started_at is not None:
            logger.info("Run %s is taken over.", run.run_id)

    def stored(self, run: WorkflowRun, events: Sequence[RunEvent]) -> None:
        """Log the end."""
        last = events[-1]
        if type(last) in TERMINAL_EVENTS and logger.isEnabledFor(logging.INFO):
            seconds = round((last.at - run.created_at).total_seconds(), 3)
            fields = {"workflow": run.plan.name, "outcome": run.status.value, "seconds": seconds}
            logger.info("Run %s has ended: %s, %g s.", run.run_id, run.status, seconds, extra=fields)

    def attempting(self, run: WorkflowRun, node: NodePlan, attempt: int) -> None:
        """Let the tool's lines carry what they are about."""
        name = node.key.id if node.key.index is None else str(node.key)
        set_log_fields({"run_id": run.run_id, "namespace": run.namespace, "node_id": name, "attempt": attempt})
