"""One run going on: its signals are taken together, what follows is stored, and only then acted on."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

import orjson

from gql_app.core.errors import ExpressionError, StaleWriterError, ToolError, WorkflowNotFoundError
from gql_app.core.events import NodeCompleted, RunEvent, WorkflowCompleted
from gql_app.core.expressions import EvaluationFailed, compile_expression, compile_template
from gql_app.core.ids import NodeKey
from gql_app.core.machine import Turn
from gql_app.core.run import NodeRun, NodeStatus, WorkflowRun
from gql_app.core.scope import scope, values_of
from gql_app.core.signals import (
    Command,
    Evaluate,
    Evaluated,
    EvaluationTarget,
    SetTimer,
    Signal,
    StartAttempt,
    StopAttempt,
    TimerFired,
    TimerKind,
)
from gql_app.core.values import Json, Value
from gql_app.engine.calls import Call, Caller, as_failure
from gql_app.engine.outputs import as_value, encode_output
from gql_app.engine.slots import RunSlots, SlotPool
from gql_app.engine.timers import RunTimers, Timers
from gql_app.ports import Clock, RunRepository

logger = logging.getLogger(__name__)
_EVENTS_AT_ONCE: Final = 10_000
"""A turn with this many events is stored before more signals are taken."""
_STORE_DELAYS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts to store; the last one repeats."""


class Surroundings(Protocol):
    """What the drivers of an executor share."""

    repository: RunRepository
    clock: Clock
    caller: Caller
    pool: SlotPool
    timers: Timers
    random: Callable[[], float]
    maximum_run_bytes: int
    closing: bool


class RunDriver:
    """Drives one run from the moment it is taken over until it ends or is left."""

    def __init__(self, run: WorkflowRun, shared: Surroundings) -> None:
        self.run = run
        self._shared = shared
        self._slots = RunSlots(shared.pool, self.tell)
        self._timers = RunTimers(shared.timers, self)
        self._inbox: list[Signal] = []
        self._asked: list[asyncio.Future[None]] = []
        self._values: dict[str, bytes] = {}
        self._calls: dict[NodeKey, Call] = {}
        self._evaluations: set[asyncio.Task[None]] = set()
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
                if not self._inbox:
                    if self._left:
                        break
                    self._wakeup = asyncio.get_running_loop().create_future()
                    await self._wakeup
                await self._turn()
        except StaleWriterError as error:
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
        for task in self._evaluations:
            task.cancel()
        self._timers.close()
        self._slots.close()
        self._refuse(self._asked)

    # One turn: decide, store, act

    async def _turn(self) -> None:
        shared = self._shared
        asked, self._asked = self._asked, []
        try:
            turn = Turn(self.run, shared.clock.now(), self._slots, closing=shared.closing)
            while self._inbox and len(turn.events) < _EVENTS_AT_ONCE:
                signals, self._inbox = self._inbox, []
                for signal in signals:
                    turn.tell(signal)
                while turn.unanswered:
                    self._evaluate(turn.unanswered.pop())
            if turn.events:
                await self._store(turn.events)
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
        run = self.run
        values: dict[str, bytes] = {}
        if self._values:
            for event in events:
                if isinstance(event, NodeCompleted | WorkflowCompleted) and event.output.sha256 in self._values:
                    values[event.output.sha256] = self._values[event.output.sha256]
        expected = events[0].sequence - 1
        tries = 0
        while True:
            try:
                await self._shared.repository.append(run.namespace, run.run_id, expected, events, values=values)
            except (StaleWriterError, WorkflowNotFoundError):
                raise
            except Exception:
                logger.exception("Run %s could not be stored; trying again.", run.run_id)
                await asyncio.sleep(_STORE_DELAYS[min(tries, len(_STORE_DELAYS) - 1)])
                tries += 1
            else:
                self._values.clear()
                return

    def _carry_out(self, command: Command, turn: Turn) -> None:
        if isinstance(command, StartAttempt):
            plan = self.run.node_plan(command.node)
            self._calls[command.node] = self._shared.caller.start(self.run, plan, command.attempt, self._called)
        elif isinstance(command, SetTimer):
            self._timers.set(command, (command.at - turn.now).total_seconds())
        elif isinstance(command, StopAttempt):
            self._stop(command)

    # Attempts

    def _called(self, call: Call, signal: Signal, values: dict[str, bytes]) -> None:
        """Hear how an attempt ended."""
        del self._calls[call.node]
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

    # Expressions

    def _evaluate(self, command: Evaluate) -> None:
        """Answer in this turn if every value is at hand, else as soon as they are."""
        try:
            paths = self._paths(command)
        except Exception as error:  # noqa: BLE001 - an edge: the expression was checked by another version of us
            self._answer(command, error)
            return
        missing = {
            value.sha256
            for value in self._needed(command, paths)
            if value.sha256 is not None and value.sha256 not in self._values
        }
        if missing:
            task = asyncio.create_task(self._fetch_and_evaluate(command, paths, missing))
            self._evaluations.add(task)
            task.add_done_callback(self._evaluations.discard)
        else:
            self._evaluate_with(command, paths, self._values)

    def _paths(self, command: Evaluate) -> tuple[tuple[str, ...], ...]:
        if command.target is EvaluationTarget.OUTPUT:
            return () if self.run.plan.output is None else compile_template(self.run.plan.output).paths
        return compile_expression(self._when(command)).paths

    def _when(self, command: Evaluate) -> str:
        assert command.node is not None
        when = self.run.node_plan(command.node).when
        assert when is not None
        return when

    def _needed(self, command: Evaluate, paths: tuple[tuple[str, ...], ...]) -> list[Value]:
        if command.target is EvaluationTarget.OUTPUT and self.run.plan.output is None:
            return [node.output for node in self._sinks()]
        return list(values_of(self.run, paths))

    def _sinks(self) -> list[NodeRun]:
        return [self.run.nodes[i] for i, dependents in enumerate(self.run.topology.dependents) if not dependents]

    async def _fetch_and_evaluate(
        self, command: Evaluate, paths: tuple[tuple[str, ...], ...], missing: set[str]
    ) -> None:
        run = self.run
        stored = dict(self._values)
        try:
            for sha256 in sorted(missing):
                stored[sha256] = await self._shared.repository.value(run.namespace, run.run_id, sha256)
        except Exception as error:
            logger.exception("A value of run %s could not be read.", run.run_id)
            self._answer(command, error)
            return
        self._evaluate_with(command, paths, stored)

    def _evaluate_with(self, command: Evaluate, paths: tuple[tuple[str, ...], ...], stored: dict[str, bytes]) -> None:
        try:
            if command.target is EvaluationTarget.WHEN:
                expression = compile_expression(self._when(command))
                self._answer_when(command, expression.evaluate(scope(self.run, paths, stored)))
            else:
                self._answer_output(command, self._output(paths, stored))
        except EvaluationFailed as error:
            self._answer(command, ExpressionError(str(error)))
        except ToolError as error:
            self._answer(command, error)

    def _output(self, paths: tuple[tuple[str, ...], ...], stored: dict[str, bytes]) -> bytes:
        """Encode the run's output: what its template says, or the outputs of the nodes nobody depends on, by id."""
        limit = self._shared.maximum_run_bytes
        if self.run.plan.output is not None:
            template = compile_template(self.run.plan.output)
            return encode_output(template.evaluate(scope(self.run, paths, stored)), limit)
        parts = []
        for node in self._sinks():
            value = node.output
            parts.append(
                b"%b:%b"
                % (orjson.dumps(str(node.key)), bytes(value.json) if value.sha256 is None else stored[value.sha256])
            )
        return b"{%b}" % b",".join(parts)

    def _answer_when(self, command: Evaluate, result: Json) -> None:
        if isinstance(result, bool):
            self.tell(Evaluated(target=command.target, node=command.node, truth=result))
        else:
            shown = orjson.dumps(result).decode()[:100]
            self._answer(command, ExpressionError(f"`when` ({self._when(command)}) is not a boolean but {shown}."))

    def _answer_output(self, command: Evaluate, data: bytes) -> None:
        output = as_value(data)
        if output.sha256 is not None:
            self._values[output.sha256] = data
        self.tell(Evaluated(target=command.target, output=output))

    def _answer(self, command: Evaluate, error: Exception) -> None:
        self.tell(Evaluated(target=command.target, node=command.node, error=as_failure(error)))
