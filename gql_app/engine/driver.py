"""One run going on: its signals are taken together, what follows is stored, and only then acted on."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from gql_app.core.errors import LeaseLostError, StaleWriterError, WorkflowNotFoundError
from gql_app.core.events import RunEvent
from gql_app.core.ids import NodeKey
from gql_app.core.machine import Turn
from gql_app.core.run import NodeStatus, WorkflowRun
from gql_app.core.scope import decode
from gql_app.core.signals import (
    AnswerStep,
    Command,
    SetTimer,
    Signal,
    StartAttempt,
    StartStep,
    StopAttempt,
    StopStep,
    TimerFired,
    TimerKind,
)
from gql_app.core.values import Json, Value
from gql_app.engine.call import Call
from gql_app.engine.calls import Caller
from gql_app.engine.evaluations import Evaluations
from gql_app.engine.loading import load_value
from gql_app.engine.outputs import values_in
from gql_app.engine.slots import RunSlots, SlotPool
from gql_app.engine.steps import RunSteps
from gql_app.engine.storing import append_patiently
from gql_app.engine.timers import RunTimers, Timers
from gql_app.ports import Clock, Evaluator, RunRepository, StepSpec, StepWork, Tool
from gql_app.telemetry.monitor import Monitor

logger = logging.getLogger(__name__)
_EVENTS_AT_ONCE: Final = 10_000
"""A turn with this many events is stored before more signals are taken."""


class Surroundings(Protocol):
    """What the drivers of an executor share."""

    repository: RunRepository
    evaluator: Evaluator
    clock: Clock
    caller: Caller
    pool: SlotPool
    timers: Timers
    monitor: Monitor
    random: Callable[[], float]
    maximum_run_bytes: int
    store_patience: float
    closing: bool


class RunDriver:
    """Drives one run from the moment it is taken over until it ends or is left."""

    __slots__ = (
        "_asked",
        "_calls",
        "_evaluations",
        "_inbox",
        "_left",
        "_over",
        "_shared",
        "_slots",
        "_steps",
        "_timers",
        "_values",
        "_wakeup",
        "run",
    )

    def __init__(self, run: WorkflowRun, shared: Surroundings) -> None:
        self.run = run
        self._shared = shared
        self._slots = RunSlots(shared.pool, self.tell)
        self._timers = RunTimers(self)
        self._inbox: list[Signal] = []
        self._asked: list[asyncio.Future[None]] = []
        self._values: dict[str, bytes] = {}
        self._calls: dict[NodeKey, Call] = {}
        self._evaluations = Evaluations(
            run,
            self._values,
            self.tell,
            repository=shared.repository,
            evaluator=shared.evaluator,
            maximum_bytes=shared.maximum_run_bytes,
        )
        self._steps: RunSteps | None = None
        self._wakeup: asyncio.Future[None] | None = None
        self._left = False
        self._over = False

    @property
    def in_flight(self) -> int:
        """How many attempts go on."""
        return len(self._calls)

    async def do_step(
        self, call: Call, spec: StepSpec, *, work: StepWork | None = None, tool: Tool | None = None
    ) -> Json:
        """Do a step that a call asks for, unless it has been done."""
        if self._steps is None:
            self._steps = RunSteps(self, self._shared.caller)
        return await self._steps.do(call, spec, work, tool)

    def tell(self, signal: Signal) -> None:
        """Tell the run something."""
        self._inbox.append(signal)
        self._wake()

    def keep(self, values: Mapping[str, bytes]) -> None:
        """Let values be stored with what is told next."""
        self._values.update(values)

    async def load(self, value: Value) -> Json:
        """Read a value of the run."""
        stored = {}
        if value.sha256 is not None:
            run = self.run
            stored[value.sha256] = await load_value(self._shared.repository, run.namespace, run.run_id, value.sha256)
        return decode(value, stored)

    async def ask(self, signal: Signal) -> None:
        """Tell the run something and wait until what follows is stored.

        Raises `WorkflowNotFoundError` for a run that is over.
        """
        if self._over:
            raise WorkflowNotFoundError(self.run.run_id)
        stored = asyncio.get_running_loop().create_future()
        self._asked.append(stored)
        self.tell(signal)
        await stored

    def leave(self) -> None:
        """Let go of the run once what it was told is stored; whoever takes it over goes on."""
        self._left = True
        self._wake()

    async def drive(self) -> None:
        """Go on until the run has ended or is left."""
        try:
            while self.run.finished_at is None:
                if self._inbox:
                    await self._turn()
                elif self._left:
                    break
                else:
                    self._wakeup = asyncio.get_running_loop().create_future()
                    await self._wakeup
        except (StaleWriterError, LeaseLostError) as error:
            logger.warning("Run %s was taken over by another writer; it is left to it. %s", self.run.run_id, error)
        finally:
            self._end()

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def _end(self) -> None:
        self._over = True
        for call in self._calls.values():
            self._abandon(call)
        self._calls.clear()
        self._evaluations.close()
        self._timers.close()
        self._slots.close()
        self._refuse(self._asked)

    # One turn: decide, store, act

    async def _turn(self) -> None:
        shared = self._shared
        # Who asks while this turn is being stored is answered by the next.
        asked, self._asked = self._asked, []
        try:
            turn = Turn(self.run, shared.clock.now(), self._slots, closing=shared.closing)
            while self._inbox and len(turn.events) < _EVENTS_AT_ONCE:
                signals, self._inbox = self._inbox, []
                for signal in signals:
                    turn.tell(signal)
                while turn.unanswered:
                    self._evaluations.answer(turn.unanswered.pop())
            if turn.events or self._values:
                await self._store(turn.events)
            if turn.events:
                shared.monitor.stored(self.run, turn.events)
            for command in turn.commands:
                self._carry_out(command, turn)
        except BaseException:
            self._refuse(asked)
            raise
        for stored in asked:
            if not stored.done():
                stored.set_result(None)

    def _refuse(self, asked: list[asyncio.Future[None]]) -> None:
        for stored in asked:
            if not stored.done():
                stored.set_exception(WorkflowNotFoundError(self.run.run_id))

    async def _store(self, events: list[RunEvent]) -> None:
        """Append what happened; while the store is in trouble, again and again: nothing is acted on before."""
        values: dict[str, bytes] = {}
        if self._values:
            for value in values_in(events):
                if value.sha256 in self._values:
                    values[value.sha256] = self._values[value.sha256]
        shared = self._shared
        if events:
            await append_patiently(shared.repository, self.run, events, values, patience=shared.store_patience)
        for sha256 in values:
            self._values.pop(sha256, None)
        if not self._inbox:  # Every value that was told has been stored, or its attempt was over.
            self._values.clear()

    def _carry_out(self, command: Command, turn: Turn) -> None:
        if isinstance(command, StartAttempt):
            plan = self.run.node_plan(command.node)
            self._calls[command.node] = self._shared.caller.start(self, plan, command.attempt, turn.now)
        elif isinstance(command, SetTimer):
            self._shared.timers.set(self._timers, command, (command.at - turn.now).total_seconds())
        elif isinstance(command, StopAttempt):
            self._stop(command)
        elif isinstance(command, StartStep | AnswerStep | StopStep) and self._steps is not None:
            self._steps.carry_out(command, turn.now)

    # Attempts

    def called(self, call: Call, signal: Signal, values: dict[str, bytes]) -> None:
        """Hear how an attempt ended."""
        del self._calls[call.node]
        if self._steps is not None:
            self._steps.end(call)
        if values:
            self._values.update(values)
        self.tell(signal)

    def _stop(self, command: StopAttempt) -> None:
        call = self._calls.get(command.node)
        if call is None or call.attempt != command.attempt:
            return
        if command.abandon:
            del self._calls[command.node]
            self._abandon(call)
        else:
            self._shared.caller.stop(call)

    def _abandon(self, call: Call) -> None:
        self._shared.caller.abandon(call)
        if self._steps is not None:
            self._steps.end(call)

    # Timers

    def timer_due(self, timer: SetTimer) -> None:
        """Tell the run that a timer has fired, with the last sign of life if it waits for one."""
        call = None if timer.node is None else self._calls.get(timer.node)
        if timer.node is not None and timer.step is not None:
            call = None if self._steps is None else self._steps.trying(timer.node, timer.step)
        if call is not None and call.attempt != timer.attempt:
            call = None
        self.tell(
            TimerFired(
                kind=timer.kind,
                node=timer.node,
                attempt=timer.attempt,
                step=timer.step,
                step_attempt=timer.step_attempt,
                beat_at=None if call is None else call.beat_at,
                usage=None if call is None else call.usage,
                draw=self._shared.random(),
            )
        )

    def timer_matters(self, timer: SetTimer) -> bool:
        """Tell whether a timer can still mean anything to the run."""
        if timer.node is None:
            return True
        node = self.run.node(timer.node)
        if timer.step is not None:
            step = self.run.step(timer.node, timer.step)
            return step is not None and not step.status.final and step.node_attempt == timer.attempt
        if timer.kind is TimerKind.ATTEMPT or timer.kind is TimerKind.HEARTBEAT:
            return node.status is NodeStatus.RUNNING and len(node.attempts) == timer.attempt
        return node.finished_at is None
