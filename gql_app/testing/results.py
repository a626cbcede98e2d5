"""What became of a run, for a test to look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from gql_app.core.events import Failure, NodeLog, NodeOutputChunk, NodeProgress, RunEvent, Usage
from gql_app.core.run import AttemptStatus, NodeRun, NodeStatus, RunStatus, WorkflowRun
from gql_app.core.step_run import StepRun, StepStatus
from gql_app.core.values import Json
from gql_app.service import WorkflowService
from gql_app.testing.failures import NoOutputError


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line that a tool logged; the level is in small letters, as tools say it."""

    level: str
    message: str
    fields: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReport:
    """How far a tool said it had come."""

    fraction: float | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """An attempt of a node; `started` is in seconds since the run was submitted."""

    number: int
    status: AttemptStatus
    started: float
    seconds: float
    error: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """A step that a tool took: what it was asked, how often it was tried, and what came of it."""

    id: str
    kind: str
    name: str
    input: Json
    status: StepStatus
    attempts: int
    output: Json = None
    error: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeResult:
    """What became of a node. What it showed is told as it was stored: merged, and of the last attempt alone."""

    id: str
    status: NodeStatus
    attempts: Sequence[AttemptResult]
    error: Failure | None = None
    streamed: str = ""
    logs: Sequence[LogLine] = ()
    progress: Sequence[ProgressReport] = ()
    steps: Sequence[StepResult] = ()
    usage: Usage | None = None
    value: Json = None
    """The output, or None if there is none."""

    @property
    def output(self) -> Json:
        """The output. Raises `NoOutputError` for a node that did not complete."""
        if self.status is not NodeStatus.COMPLETED:
            raise NoOutputError(f"Node {self.id!r} has no output: it is {self.status}{_because(self.error)}")
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What became of a run, once it has ended; `seconds` is how long it took, in the time it ran on."""

    run_id: str
    status: RunStatus
    seconds: float
    nodes: Mapping[str, NodeResult]
    events: Sequence[RunEvent] = field(repr=False)
    error: Failure | None = None
    usage: Usage | None = None
    value: Json = None
    """The output, or None if there is none."""

    @property
    def output(self) -> Json:
        """The output. Raises `NoOutputError` for a run that did not complete."""
        if self.status is not RunStatus.COMPLETED:
            raise NoOutputError(f"The run has no output: it is {self.status}{_because(self.error)}")
        return self.value

    @property
    def kinds(self) -> Sequence[str]:
        """The names of the events' types, in order."""
        return tuple(type(event).__name__ for event in self.events)


async def describe_run(service: WorkflowService, run: WorkflowRun, events: Sequence[RunEvent]) -> RunResult:
    """Tell what became of a run."""
    return RunResult(
        run_id=run.run_id,
        status=run.status,
        seconds=_seconds(run.created_at, run.finished_at),
        nodes={node.key.id: await _describe_node(service, run, node, events) for node in run.nodes},
        events=tuple(events),
        error=run.error,
        usage=run.usage,
        value=await service.value(run, run.output),
    )


async def _describe_node(
    service: WorkflowService, run: WorkflowRun, node: NodeRun, events: Sequence[RunEvent]
) -> NodeResult:
    shown = _Shown(node, events)
    return NodeResult(
        id=node.key.id,
        status=node.status,
        attempts=tuple(
            AttemptResult(
                number=attempt.number,
                status=attempt.status,
                started=_seconds(run.created_at, attempt.started_at),
                seconds=_seconds(attempt.started_at, attempt.finished_at),
                error=attempt.error,
            )
            for attempt in node.attempts
        ),
        error=node.error,
        streamed=shown.text,
        logs=tuple(shown.logs),
        progress=tuple(shown.progress),
        steps=tuple([await _describe_step(service, run, step) for step in node.steps]),
        usage=node.usage,
        value=await service.value(run, node.output),
    )


async def _describe_step(service: WorkflowService, run: WorkflowRun, step: StepRun) -> StepResult:
    return StepResult(
        id=step.id,
        kind=step.request.kind,
        name=step.request.name,
        input=await service.value(run, step.request.input),
        status=step.status,
        attempts=step.attempt,
        output=await service.value(run, step.output),
        error=step.error,
    )


class _Shown:
    """What the last attempt of a node showed."""

    def __init__(self, node: NodeRun, events: Sequence[RunEvent]) -> None:
        self.text = ""
        self.logs: list[LogLine] = []
        self.progress: list[ProgressReport] = []
        for event in events:
            if getattr(event, "node", None) == node.key and getattr(event, "attempt", 0) == len(node.attempts):
                self._take(event)

    def _take(self, event: RunEvent) -> None:
        match event:
            case NodeOutputChunk(step=None):
                self.text += event.text
            case NodeLog():
                fields = msgspec.json.decode(event.fields)
                self.logs.append(LogLine(level=event.level.lower(), message=event.message, fields=fields))
            case NodeProgress():
                self.progress.append(ProgressReport(fraction=event.fraction, message=event.message))
            case _:
                pass


def _seconds(start: datetime, end: datetime | None) -> float:
    return 0.0 if end is None else (end - start).total_seconds()


def _because(error: Failure | None) -> str:
    if error is None:
        return "."
    at = "" if error.node is None else f" (node {error.node})"
    return f", {error.type}{at}: {error.message or 'no message'}"
