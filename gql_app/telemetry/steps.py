"""Counts what attempts do inside: tries of steps, what language models are used for, and text that is streamed."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from gql_app.core.events import NodeOutputChunk, RunEvent, StepCompleted, StepFailed, StepKind
from gql_app.core.run import WorkflowRun
from gql_app.telemetry.tallies import Counts

STEP_OUTCOMES: Final = ("COMPLETED", "RETRIED", "FAILED")
INSIDE: Final = frozenset({NodeOutputChunk, StepCompleted, StepFailed})
"""The events that are counted here."""


class StepMetrics:
    """What became of steps. Names of models are not told apart: documents may name any."""

    def __init__(self) -> None:
        self._tries = Counts("gql_app_steps", "Tries of steps of attempts that have ended.", "kind", "outcome")
        for kind in StepKind:
            for outcome in STEP_OUTCOMES:
                self._tries.add(kind.value, outcome, count=0)
        self._requests = Counts("gql_app_model_requests", "Requests to language models.")
        self._requests.add(count=0)
        self._tokens = Counts("gql_app_model_tokens", "Tokens to and from language models.", "direction")
        for direction in ("input", "output"):
            self._tokens.add(direction, count=0)
        self._cost = Counts("gql_app_model_cost_usd", "What language models cost, as far as prices are known.")
        self._cost.add(count=0)
        self._streamed = Counts("gql_app_streamed_bytes", "Text that attempts have streamed.")
        self._streamed.add(count=0)

    def happened(self, run: WorkflowRun, event: RunEvent) -> None:
        """Count an event, one of those of `INSIDE`."""
        match event:
            case NodeOutputChunk():
                self._streamed.add(count=len(event.text.encode()))
            case StepCompleted():
                self._ended(run, event, "COMPLETED")
            case StepFailed():
                self._ended(run, event, "FAILED" if event.retry_at is None else "RETRIED")
            case _:
                pass

    def collect(self) -> Iterator[Metric]:
        """Tell everything that was counted."""
        for source in (self._tries, self._requests, self._tokens, self._cost, self._streamed):
            yield from source.collect()

    def _ended(self, run: WorkflowRun, event: StepCompleted | StepFailed, outcome: str) -> None:
        step = run.step(event.node, event.step)
        if step is not None:
            self._tries.add(step.request.kind.value, outcome)
        usage = event.usage
        if usage is not None:
            self._requests.add(count=usage.requests)
            self._tokens.add("input", count=usage.input_tokens)
            self._tokens.add("output", count=usage.output_tokens)
            self._cost.add(count=usage.cost_usd or 0.0)
