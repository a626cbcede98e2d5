"""One run going on: its signals are taken together, what follows is stored, and only then acted on."""

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from typing import Final, Protocol

from gql_app.core.errors import LeaseLostError, StaleWriterError, StoreUnavailableError, WorkflowNotFoundError
from gql_app.core.events import NodeCompleted, RunEvent, WorkflowCompleted
from gql_app.core.ids import NodeKey
from gql_app.core.machine import Turn
from gql_app.core.run import NodeStatus, WorkflowRun
from gql_app.core.signals import (
    Command,
    SetTimer,
    Signal,
    StartAttempt,
    StopAttempt,
    TimerFired,
    TimerKind,
)
from gql_app.engine.calls import Call, Caller
from gql_app.engine.evaluations import Evaluations
from gql_app.engine.slots import RunSlots, SlotPool
from gql_app.engine.timers import RunTimers, Timers
from gql_app.ports import Clock, Evaluator, RunRepository
from gql_app.telemetry.monitor import Monitor

logger = logging.getLogger(__name__)
_EVENTS_AT_ONCE: Final = 10_000
"""A turn with this many events is stored before more signals are taken."""
_STORE_DELAYS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts to store; the last one repeats."""


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
        self._wakeup: asyncio.Future[None] | None = None
        self._left = False
        self._over = False

    @property
    def in_flight(self) -> int:
        """How many attempts go on."""
        return len(self._calls)

    def tell(self, signal: Signal) -> None:
        """Tell the run something."""
        self._inbox.append(signal)
        self._wake()

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
            self._shared.caller.abandon(call)
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
            if turn.events:
                await self._store(turn.events)
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
            for event in events:
                if isinstance(event, NodeCompleted | WorkflowCompleted) and event.output.sha256 in self._values:
                    values[event.output.sha256] = self._values[event.output.sha256]
        await self._append(events, values)
        for sha256 in values:
            self._values.pop(sha256, None)
        if not self._inbox:  # Every value that was told has been stored, or its attempt was over.
            self._values.clear()

    async def _append(self, events: list[RunEvent], values: dict[str, bytes]) -> None:
        """Append, and while the store is in trouble again and again, as long as the executor is patient."""
        run, loop = self.run, asyncio.get_running_loop()
        expected, began = events[0].sequence - 1, loop.time()
        for tries in count():
            try:
                await self._shared.repository.append(run.namespace, run.run_id, expected, events, values=values)
            except (StaleWriterError, LeaseLostError, WorkflowNotFoundError):
                raise
            except Exception as error:
                if loop.time() - began >= self._shared.store_patience:
                    raise
                if not isinstance(error, StoreUnavailableError) and not tries:
                    # Trouble with the store itself is told by the store, once for all runs.
                    logger.exception("Run %s could not be stored; trying again.", run.run_id)
                await asyncio.sleep(_STORE_DELAYS[min(tries, len(_STORE_DELAYS) - 1)])
            else:
                return

    def _carry_out(self, command: Command, turn: Turn) -> None:
        if isinstance(command, StartAttempt):
            plan = self.run.node_plan(command.node)
            self._calls[command.node] = self._shared.caller.start(
                self.run, plan, command.attempt, turn.now, self._called
            )
        elif isinstance(command, SetTimer):
            self._shared.timers.set(self._timers, command, (command.at - turn.now).total_seconds())
        elif isinstance(command, StopAttempt):
            self._stop(command)

    # Attempts

    def _called(self, call: Call, signal: Signal, values: dict[str, bytes]) -> None:
        """Hear how an attempt ended."""
        del self._calls[call.node]
        if values:
            self._values.update(values)
        self.tell(signal)

    def _stop(self, command: StopAttempt) -> None:
        call = self._calls.get(command.node)
        if call is None or call.attempt != command.attempt:
            return
        if command.abandon:
            del self._calls[command.node]
            self._shared.caller.abandon(call)
        else:
            self._shared.caller.stop(call)

    # Timers

    def timer_due(self, timer: SetTimer) -> None:
        """Tell the run that a timer has fired, with the last sign of life if it waits for one."""
        beat_at = None
        if timer.kind is TimerKind.HEARTBEAT and timer.node is not None:
            call = self._calls.get(timer.node)
            beat_at = call.beat_at if call is not None and call.attempt == timer.attempt else None
        draw = self._shared.random()
        self.tell(TimerFired(kind=timer.kind, node=timer.node, attempt=timer.attempt, beat_at=beat_at, draw=draw))

    def timer_matters(self, timer: SetTimer) -> bool:
        """Tell whether a timer can still mean anything to the run."""
        if timer.node is None:
            return True
        node = self.run.node(timer.node)
        if timer.kind is TimerKind.ATTEMPT or timer.kind is TimerKind.HEARTBEAT:
            return node.status is NodeStatus.RUNNING and len(node.attempts) == timer.attempt
        return node.finished_at is None
