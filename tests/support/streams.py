"""Logs of runs whose attempts stream, log and take steps, written by hand, and what a reader must make of them."""

from collections.abc import Sequence

import msgspec

from gql_app.core.event_parts import LogLevel, StepKind, StepRequest, Usage
from gql_app.core.events import (
    AttemptFailed,
    AttemptStarted,
    Failure,
    NodeCompleted,
    NodeLog,
    NodeOutputChunk,
    NodeProgress,
    RetryState,
    RunEvent,
    StepCompleted,
    StepFailed,
    StepQueued,
    StepStarted,
    WorkflowCompleted,
    WorkflowStarted,
)
from gql_app.core.events import SlotLimit as Limit
from gql_app.core.ids import DEFAULT_NAMESPACE, NodeKey, RunId
from gql_app.core.values import NULL, Json, Value
from gql_app.storage.memory import MemoryRunRepository
from tests.support.logs import MIDNIGHT, later, submission

BROKEN = Failure("Boom", "it broke")


def value(data: Json) -> Value:
    """Make an inline value, unless it is one that is stored apart."""
    if isinstance(data, Value):
        return data
    raw = msgspec.json.encode(data)
    return Value(json=msgspec.Raw(raw), size=len(raw))


class StreamLog:
    """A log under construction. Its nodes are n0, n1 and so on; every event is a second after the one before."""

    def __init__(self, number: int = 1, *, nodes: int = 1) -> None:
        self.events: list[RunEvent] = [submission(number, nodes=nodes)]
        self.attempts = [0] * nodes
        self._add(WorkflowStarted)

    @property
    def run_id(self) -> RunId:
        """Whose log it is."""
        first = self.events[0]
        assert hasattr(first, "run_id")
        return RunId(first.run_id)

    @property
    def sequence(self) -> int:
        """The last sequence."""
        return len(self.events)

    def start(self, node: int = 0) -> None:
        """Let the next attempt begin."""
        self.attempts[node] += 1
        self._attempt(AttemptStarted, node)

    def chunk(
        self, text: str, node: int = 0, *, step: str | None = None, step_attempt: int = 0, truncated: bool = False
    ) -> None:
        """Let the attempt stream text."""
        self._attempt(NodeOutputChunk, node, text=text, step=step, step_attempt=step_attempt, truncated=truncated)

    def log(self, message: str, node: int = 0, **fields: Json) -> None:
        """Let the attempt log a line."""
        raw = msgspec.Raw(msgspec.json.encode(fields))
        self._attempt(NodeLog, node, level=LogLevel.INFO, message=message, fields=raw)

    def progress(self, fraction: float | None, node: int = 0, *, message: str = "") -> None:
        """Let the attempt tell how far it is."""
        self._attempt(NodeProgress, node, fraction=fraction, message=message)

    def fail(self, node: int = 0) -> None:
        """Let the attempt fail, to be tried again."""
        self._attempt(AttemptFailed, node, error=BROKEN, retry_at=later(60))

    def complete(self, node: int = 0, output: Json = None) -> None:
        """Let the attempt complete."""
        self._attempt(NodeCompleted, node, output=value(output))

    def end(self) -> None:
        """Let the run complete."""
        self._add(WorkflowCompleted)

    def step(
        self, step: str, node: int = 0, *, kind: StepKind = StepKind.MODEL, name: str = "test", input: Json = None
    ) -> None:
        """Let the first try of a step begin."""
        request = StepRequest(kind=kind, name=name, input=NULL if input is None else value(input))
        self._attempt(StepStarted, node, step=step, step_attempt=1, request=request)

    def queue_step(
        self, step: str, node: int = 0, *, limit: Limit = Limit.TOOL, name: str | None = None, input: Json = None
    ) -> None:
        """Let a step that begins wait for a slot."""
        request = StepRequest(kind=StepKind.TOOL, name="search", input=NULL if input is None else value(input))
        self._attempt(StepQueued, node, step=step, limit=limit, name=name, request=request)

    def try_step(self, step: str, number: int, node: int = 0) -> None:
        """Let another try of a step begin."""
        self._attempt(StepStarted, node, step=step, step_attempt=number)

    def fail_step(self, step: str, number: int = 1, node: int = 0, *, final: bool = False) -> None:
        """Let the try of a step fail."""
        state = RetryState.NON_RETRYABLE_ERROR if final else None
        at = None if final else later(60)
        self._attempt(StepFailed, node, step=step, step_attempt=number, error=BROKEN, retry_at=at, retry_state=state)

    def complete_step(
        self, step: str, number: int = 1, node: int = 0, *, output: Json = None, usage: Usage | None = None
    ) -> None:
        """Let a step complete."""
        self._attempt(StepCompleted, node, step=step, step_attempt=number, output=value(output), usage=usage)

    async def write(self, repository: MemoryRunRepository, *, after: int = 0) -> None:
        """Store it, or what of it comes after the sequence `after`."""
        await write(repository, self.run_id, self.events[after:])

    def _attempt(self, kind: type, node: int, **fields: Json) -> None:
        self._add(kind, node=NodeKey(f"n{node}"), attempt=self.attempts[node], **fields)

    def _add(self, kind: type, **fields: Json) -> None:
        sequence = len(self.events) + 1
        self.events.append(kind(sequence=sequence, at=later(sequence, than=MIDNIGHT), **fields))


async def write(repository: MemoryRunRepository, run_id: RunId, events: Sequence[RunEvent]) -> None:
    """Store events at the end of a log."""
    if events[0].sequence == 1:
        await repository.create(events, values={})
    else:
        await repository.append(DEFAULT_NAMESPACE, run_id, events[0].sequence - 1, events, values={})


def told_text(events: Sequence[RunEvent], node: str) -> str | None:
    """Put together what a reader of events shows of a node, by the rules that the API tells."""
    pieces: list[tuple[str | None, str]] = []
    for event in events:
        if getattr(event, "node", None) != NodeKey(node):
            continue
        match event:
            case AttemptStarted() | AttemptFailed():
                pieces = []
            case NodeOutputChunk():
                pieces.append((event.step, event.text))
            case StepFailed(step=failed):
                pieces = [
                    (step, text)
                    for step, text in pieces
                    if step is None or (step != failed and not step.startswith(f"{failed}/"))
                ]
            case _:
                pass
    return "".join(text for _, text in pieces) or None
