"""Counts runs and attempts."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from prometheus_client.core import Metric

from gql_app.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptLost,
    AttemptTimedOut,
    NodeCompleted,
    Outcome,
    RunEvent,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowSubmitted,
    WorkflowTimedOut,
)
from gql_app.core.run import AttemptStatus, WorkflowRun
from gql_app.telemetry.monitor import Unmonitored
from gql_app.telemetry.steps import INSIDE, StepMetrics
from gql_app.telemetry.tallies import LONG_SECONDS, Counts, Histograms

OTHER: Final = "other"
"""Stands for the names that are not told apart."""

RUN_OUTCOMES: Final[dict[type, str]] = {
    WorkflowCompleted: Outcome.COMPLETED.value,
    WorkflowFailed: Outcome.FAILED.value,
    WorkflowCancelled: Outcome.CANCELLED.value,
    WorkflowTimedOut: Outcome.TIMED_OUT.value,
}
# Plain strings, here and above: hashing a member of an enum is a call of Python code.
ATTEMPT_OUTCOMES: Final[dict[type, str]] = {
    NodeCompleted: AttemptStatus.COMPLETED.value,
    AttemptFailed: AttemptStatus.FAILED.value,
    AttemptTimedOut: AttemptStatus.TIMED_OUT.value,
    AttemptCancelled: AttemptStatus.CANCELLED.value,
    AttemptLost: AttemptStatus.LOST.value,
}


class _ToolTally:
    """What was counted of one tool."""

    __slots__ = ("ended", "observe", "retries")

    def __init__(self, observe: Callable[[float], None]) -> None:
        self.observe = observe
        self.ended = dict.fromkeys(ATTEMPT_OUTCOMES.values(), 0)
        self.retries = 0


class RunMetrics(Unmonitored):
    """What became of runs and attempts. `is_tool` says which names of tools are told apart."""

    def __init__(self, is_tool: Callable[[str], bool] = bool) -> None:
        self.is_tool = is_tool
        self._tools: dict[str, _ToolTally] = {}
        self._steps = StepMetrics()
        self._submitted = Counts("gql_app_runs_submitted", "Runs that were accepted.")
        self._submitted.add(count=0)
        self._ended = Counts("gql_app_runs_ended", "Runs that have ended.", "outcome")
        self._durations = Histograms(
            "gql_app_run_duration_seconds", "From submission to the end of a run.", "outcome", bounds=LONG_SECONDS
        )
        for outcome in Outcome:
            self._ended.add(outcome.value, count=0)
        self._attempt_durations = Histograms(
            "gql_app_attempt_duration_seconds", "What attempts took.", "tool", bounds=LONG_SECONDS
        )

    def submitted(self, event: WorkflowSubmitted) -> None:
        """Count a run."""
        self._submitted.add()

    def stored(self, run: WorkflowRun, events: Sequence[RunEvent]) -> None:
        """Count the ends of attempts, and of the run."""
        for event in events:
            status = ATTEMPT_OUTCOMES.get(type(event))
            if status is not None:
                # The table says that these are the events of attempts.
                self._attempt_ended(run, event, status)  # type: ignore[arg-type]
            elif type(event) in INSIDE:
                self._steps.happened(run, event)
        outcome = RUN_OUTCOMES.get(type(events[-1]))
        if outcome is not None:
            self._ended.add(outcome)
            self._durations.of(outcome).observe((events[-1].at - run.created_at).total_seconds())

    def collect(self) -> Iterator[Metric]:
        """Tell everything that was counted."""
        attempts = Counts("gql_app_attempts", "Attempts that have ended.", "tool", "outcome")
        retries = Counts("gql_app_attempt_retries", "Attempts after which the node is tried again.", "tool")
        for name, tally in self._tools.items():
            retries.add(name, count=tally.retries)
            for status, count in tally.ended.items():
                attempts.add(name, status, count=count)
        for source in (self._submitted, self._ended, self._durations, attempts, self._attempt_durations, retries):
            yield from source.collect()
        yield from self._steps.collect()

    def _attempt_ended(
        self,
        run: WorkflowRun,
        event: NodeCompleted | AttemptFailed | AttemptTimedOut | AttemptCancelled | AttemptLost,
        status: str,
    ) -> None:
        i = run.topology.index[event.node.id]
        name = run.plan.nodes[i].tool
        tally = self._tools.get(name) or self._tally(name)
        tally.ended[status] += 1
        tally.observe((event.at - run.nodes[i].attempts[event.attempt - 1].started_at).total_seconds())
        if type(event) is not NodeCompleted and getattr(event, "retry_at", None) is not None:
            tally.retries += 1

    def _tally(self, name: str) -> _ToolTally:
        known = name if self.is_tool(name) else OTHER
        if known not in self._tools:
            self._tools[known] = _ToolTally(self._attempt_durations.of(known).observe)
        return self._tools[known]
