"""Runs whose nodes take steps and show what they do, told in a few words."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from gql_app.core.events import Failure, RunEvent, SlotLimit, StepKind, StepRequest, Usage
from gql_app.core.ids import Holder, NodeKey, StepKey
from gql_app.core.reports import Report
from gql_app.core.signals import (
    AnswerStep,
    AttemptReported,
    Command,
    SetTimer,
    SlotWanted,
    StartStep,
    StepErred,
    StepRequested,
    StepSucceeded,
    StopStep,
    TimerFired,
    TimerKind,
)
from gql_app.core.spec import Jitter, RetryPolicy, TimeoutPolicy
from gql_app.core.step_run import StepRun
from gql_app.core.values import NULL, Json, Value
from tests.support.builders import Story

C = TypeVar("C", bound=Command)
A = NodeKey("a")
PLAIN = RetryPolicy(maximum_attempts=3, initial_interval_seconds=1.0, jitter=Jitter.NONE)


def request(
    kind: StepKind = StepKind.OTHER,
    name: str = "work",
    *,
    retry: RetryPolicy = PLAIN,
    timeout: TimeoutPolicy | None = None,
    **fields: Json,
) -> StepRequest:
    """Ask for a step."""
    return StepRequest(kind=kind, name=name, retry=retry, timeout=timeout or TimeoutPolicy(), **fields)


MODEL = request(StepKind.MODEL, "test")


def limited(**seconds: float | None) -> StepRequest:
    """Ask for a step with these timeouts."""
    return request(timeout=TimeoutPolicy(**seconds))


class StepSlots:
    """Slots that only steps need: so many, and a line that grants nothing by itself."""

    def __init__(self, capacity: int = 0) -> None:
        self.capacity = capacity
        self.holders: list[Holder] = []
        self.line: list[Holder] = []
        self.wanted = SlotWanted(SlotLimit.TOOL, "narrow")

    def acquire(self, holder: Holder, tool: str, limits: tuple[str, ...] = ()) -> SlotWanted | None:
        if not isinstance(holder, StepKey):
            return None
        if len(self.holders) >= self.capacity:
            self.line.append(holder)
            return self.wanted
        self.holders.append(holder)
        return None

    def release(self, holder: Holder) -> None:
        for kept in (self.holders, self.line):
            kept[:] = [
                other for other in kept if other != holder and not (isinstance(other, StepKey) and other.node == holder)
            ]


class StepStory(Story):
    """A run whose node `a` takes steps."""

    def ask(self, step: str, what: StepRequest | None = None, *, after: float = 0.0, **at: Json) -> list[RunEvent]:
        """Let the attempt in flight ask for a step."""
        signal = StepRequested(node=A, attempt=self._attempt(at), step=step, request=what or request())
        return self.tell(signal, after=after)

    def done(
        self, step: str, output: Value = NULL, *, usage: Usage | None = None, after: float = 0.0, **at: Json
    ) -> list[RunEvent]:
        """Let a try of a step give its output."""
        signal = StepSucceeded(
            node=A, attempt=self._attempt(at), step=step, step_attempt=self._try(step, at), output=output, usage=usage
        )
        return self.tell(signal, after=after)

    def err(
        self,
        step: str,
        error: Failure | None = None,
        *,
        usage: Usage | None = None,
        draw: float = 0.5,
        after: float = 0.0,
        **at: Json,
    ) -> list[RunEvent]:
        """Let a try of a step fail."""
        signal = StepErred(
            node=A,
            attempt=self._attempt(at),
            step=step,
            step_attempt=self._try(step, at),
            error=error or Failure("Boom", "it broke"),
            usage=usage,
            draw=draw,
        )
        return self.tell(signal, after=after)

    def ring(self, kind: TimerKind, step: str, *, after: float = 0.0, **at: Json) -> list[RunEvent]:
        """Let a timer of a step go off."""
        attempt, step_attempt = self._attempt(at), self._try(step, at)
        return self.tell(
            TimerFired(kind=kind, node=A, attempt=attempt, step=step, step_attempt=step_attempt, **at), after=after
        )

    def show(self, *reports: Report, name: str = "a", **at: Json) -> list[RunEvent]:
        """Let the attempt in flight show something."""
        attempt = at.pop("attempt", len(self[name].attempts))
        return self.tell(AttemptReported(node=NodeKey(name), attempt=attempt, reports=reports))

    def step(self, step: str) -> StepRun:
        """Find a step of `a`."""
        found = self.run.step(A, step)
        assert found is not None
        return found

    def answers(self) -> list[AnswerStep]:
        """Tell which steps were answered last."""
        return commands_of(AnswerStep, self.commands)

    def timers(self) -> list[SetTimer]:
        """Tell which timers of steps were set last."""
        return [timer for timer in commands_of(SetTimer, self.commands) if timer.step is not None]

    def started(self) -> list[StartStep]:
        """Tell which tries of steps were begun last."""
        return commands_of(StartStep, self.commands)

    def let_go(self) -> list[str]:
        """Tell which steps were let go of last."""
        return [command.step for command in commands_of(StopStep, self.commands)]

    def _attempt(self, at: Json) -> int:
        attempt: int = at.pop("attempt", len(self["a"].attempts))
        return attempt

    def _try(self, step: str, at: Json) -> int:
        found = self.run.step(A, step)
        step_attempt: int = at.pop("step_attempt", 0 if found is None else found.attempt)
        return step_attempt


def commands_of(kind: type[C], commands: Sequence[Command]) -> list[C]:
    """Choose the commands of a type."""
    return [command for command in commands if isinstance(command, kind)]


def value_of(value: Json) -> Value:
    """Make an inline value."""
    data = msgspec.json.encode(value)
    return Value(json=msgspec.Raw(data), size=len(data))
