"""What the machine is told (signals), what must then be going on (commands), and the slots it asks for."""

from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeAlias

import msgspec

from gql_app.core.events import Failure, LostReason, SlotLimit, StepRequest, Usage
from gql_app.core.ids import Holder, NodeKey
from gql_app.core.reports import Report
from gql_app.core.values import NULL, Value


class TimerKind(StrEnum):
    """What a timer is for."""

    ATTEMPT = "ATTEMPT"
    HEARTBEAT = "HEARTBEAT"
    QUEUE = "QUEUE"
    TOTAL = "TOTAL"
    RETRY = "RETRY"
    WORKFLOW = "WORKFLOW"
    STOP_GRACE = "STOP_GRACE"


class EvaluationTarget(StrEnum):
    """What is to be evaluated."""

    WHEN = "WHEN"
    OUTPUT = "OUTPUT"


class _Signal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    pass


class Begin(_Signal, frozen=True, kw_only=True):
    """Somebody has taken the run over: start it, or go on with it. What was in flight is lost."""

    draw: float = 0.5


class AttemptSucceeded(_Signal, frozen=True, kw_only=True):
    """A tool returned `output`."""

    node: NodeKey
    attempt: int
    output: Value = NULL


class AttemptErred(_Signal, frozen=True, kw_only=True):
    """A tool failed. `draw`, uniform in [0, 1), is for the jitter."""

    node: NodeKey
    attempt: int
    error: Failure
    draw: float = 0.5


class AttemptStopped(_Signal, frozen=True, kw_only=True):
    """An attempt that we asked to stop has stopped."""

    node: NodeKey
    attempt: int


class AttemptReported(_Signal, frozen=True, kw_only=True):
    """An attempt shows what it does, in order."""

    node: NodeKey
    attempt: int
    reports: tuple[Report, ...]


class StepRequested(_Signal, frozen=True, kw_only=True):
    """An attempt wants a step done, unless it has been done before."""

    node: NodeKey
    attempt: int
    step: str
    request: StepRequest


class StepSucceeded(_Signal, frozen=True, kw_only=True):
    """A try of a step gave `output`."""

    node: NodeKey
    attempt: int
    step: str
    step_attempt: int
    output: Value = NULL
    usage: Usage | None = None


class StepErred(_Signal, frozen=True, kw_only=True):
    """A try of a step failed. `draw`, uniform in [0, 1), is for the jitter."""

    node: NodeKey
    attempt: int
    step: str
    step_attempt: int
    error: Failure
    usage: Usage | None = None
    draw: float = 0.5


class StepDropped(_Signal, frozen=True, kw_only=True):
    """The attempt no longer wants a step that it asked for; `usage` is that of the try in flight."""

    node: NodeKey
    attempt: int
    step: str
    usage: Usage | None = None


class SlotGranted(_Signal, frozen=True, kw_only=True):
    """A node, or a step of one, that waited for a slot has got it."""

    node: NodeKey
    step: str | None = None


class SlotMoved(_Signal, frozen=True, kw_only=True):
    """A node, or a step of one, that waits for slots has got one of them and stands in the next line."""

    node: NodeKey
    limit: SlotLimit
    name: str | None = None
    step: str | None = None


class TimerFired(_Signal, frozen=True, kw_only=True):
    """A timer went off. `beat_at`, for a heartbeat timer, is when the attempt last gave a sign of life.

    With `step` it is a timer of that step: `step_attempt` is its try, in the `attempt` of its node, and `usage` what
    the try in flight has used so far.
    """

    kind: TimerKind
    node: NodeKey | None = None
    attempt: int = 0
    step: str | None = None
    step_attempt: int = 0
    beat_at: datetime | None = None
    usage: Usage | None = None
    draw: float = 0.5


class Evaluated(_Signal, frozen=True, kw_only=True):
    """An expression was evaluated: `truth` answers a `when` (null: it was not a boolean), `output` the run's output."""

    target: EvaluationTarget
    node: NodeKey | None = None
    truth: bool | None = None
    output: Value = NULL
    error: Failure | None = None


class CancelRequested(_Signal, frozen=True, kw_only=True):
    """Somebody wants the run to stop."""

    reason: str | None = None


class ShuttingDown(_Signal, frozen=True, kw_only=True):
    """The process is going down: attempts still in flight are lost, the run stays unfinished."""

    reason: LostReason = LostReason.SHUTDOWN
    draw: float = 0.5


Signal: TypeAlias = (
    Begin
    | AttemptSucceeded
    | AttemptErred
    | AttemptStopped
    | AttemptReported
    | StepRequested
    | StepSucceeded
    | StepErred
    | StepDropped
    | SlotGranted
    | SlotMoved
    | TimerFired
    | Evaluated
    | CancelRequested
    | ShuttingDown
)


class _Command(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    pass


class StartAttempt(_Command, frozen=True, kw_only=True):
    """Call the node's tool."""

    node: NodeKey
    attempt: int


class StopAttempt(_Command, frozen=True, kw_only=True):
    """Ask the attempt to stop. `abandon`: its fate is already written, nobody waits for it."""

    node: NodeKey
    attempt: int
    abandon: bool


class StartStep(_Command, frozen=True, kw_only=True):
    """Do what a step is about."""

    node: NodeKey
    attempt: int
    step: str
    step_attempt: int


class StopStep(_Command, frozen=True, kw_only=True):
    """Let go of a try of a step, whose fate is written."""

    node: NodeKey
    attempt: int
    step: str
    step_attempt: int


class AnswerStep(_Command, frozen=True, kw_only=True):
    """Tell the attempt what became of the step it asked for: its output, or the error for which it was given up."""

    node: NodeKey
    attempt: int
    step: str
    output: Value = NULL
    error: Failure | None = None
    dropped: bool = False
    """Whether it is that the attempt no longer wanted it, which has been heard: it may ask for the step again."""


class Evaluate(_Command, frozen=True, kw_only=True):
    """Evaluate a node's `when`, or the run's output."""

    target: EvaluationTarget
    node: NodeKey | None = None


class SetTimer(_Command, frozen=True, kw_only=True):
    """Say `TimerFired` at `at`, or at once if that has passed. A stale timer does no harm."""

    kind: TimerKind
    at: datetime
    node: NodeKey | None = None
    attempt: int = 0
    step: str | None = None
    step_attempt: int = 0


Command: TypeAlias = StartAttempt | StopAttempt | StartStep | StopStep | AnswerStep | Evaluate | SetTimer


class SlotWanted(msgspec.Struct, frozen=True, gc=False):
    """The limit that is in the way, and its name or that of the tool whose limit it is, if it has one."""

    limit: SlotLimit
    name: str | None = None


class Slots(Protocol):
    """The executor's slots, as the machine sees them. No method blocks."""

    def acquire(self, holder: Holder, tool: str, limits: tuple[str, ...] = ()) -> SlotWanted | None:
        """Take a slot and say nothing, or stand in line (once) and say for which limit; `SlotGranted` follows.

        A step takes neither the executor's slot nor one of a limit that what it is part of holds already.
        """
        ...

    def release(self, holder: Holder) -> None:
        """Give back what the holder, and every step of it if it is a node, has or waits for. Nothing is no error."""
        ...


class Unlimited:
    """Slots without a limit."""

    def acquire(self, holder: Holder, tool: str, limits: tuple[str, ...] = ()) -> SlotWanted | None:
        """Grant every slot at once."""
        return None

    def release(self, holder: Holder) -> None:
        """Do nothing."""
