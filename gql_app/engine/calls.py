"""Calls of tools: each attempt in a task of its own, whose end nobody but the machine decides."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias

import anyio
import anyio.to_process
import msgspec

from gql_app.core.errors import ExpressionError, InvalidOutputError, SecretUnavailableError, ToolError
from gql_app.core.expressions import EvaluationFailed, Template, compile_template
from gql_app.core.ids import Namespace, NodeKey
from gql_app.core.plan import NodePlan
from gql_app.core.redaction import Redactor
from gql_app.core.run import WorkflowRun
from gql_app.core.scope import scope, values_of
from gql_app.core.signals import AttemptErred, AttemptStopped, AttemptSucceeded, Signal
from gql_app.core.values import NULL, Json, Value
from gql_app.engine.failures import as_failure
from gql_app.engine.loading import load_value
from gql_app.engine.outputs import as_value, encode_output
from gql_app.engine.threads import run_in_thread
from gql_app.ports import Clock, Evaluator, RunRepository, Secrets, Tool, ToolContext, Tools
from gql_app.settings import Settings
from gql_app.telemetry.monitor import Monitor

logger = logging.getLogger(__name__)


class Call:
    """One attempt of a node, while it goes on."""

    __slots__ = (
        "abandoned",
        "attempt",
        "beat_at",
        "in_thread",
        "isolation",
        "node",
        "redactor",
        "started",
        "started_at",
        "stopping",
        "task",
    )

    def __init__(self, node: NodeKey, attempt: int, started_at: datetime) -> None:
        self.node = node
        self.attempt = attempt
        self.started_at = started_at
        self.isolation = "async"
        self.started = False
        self.stopping = False
        self.abandoned = False
        self.in_thread = False
        self.beat_at: datetime | None = None
        self.task: asyncio.Task[None] | None = None
        self.redactor: Redactor | None = None
        """Takes out the secrets that the call was handed, if it was."""

    def stopped(self) -> bool:
        """Whether the attempt was asked to stop."""
        return self.stopping or self.abandoned

    def interrupt(self) -> None:
        """Cancel the task, unless it has not begun: it looks for itself then."""
        if self.started and self.task is not None:
            self.task.cancel()


Told: TypeAlias = Callable[[Call, Signal, dict[str, bytes]], None]
"""Hears of a call that has ended: what to tell the machine, and the values to store with it."""


class Caller:
    """Makes the calls of all runs and keeps count of those whose attempt has ended but that still go on."""

    def __init__(
        self,
        *,
        repository: RunRepository,
        tools: Tools,
        evaluator: Evaluator,
        clock: Clock,
        settings: Settings,
        secrets: Secrets | None,
        random: Callable[[], float],
        monitor: Monitor,
    ) -> None:
        self._repository = repository
        self._tools = tools
        self._evaluator = evaluator
        self._clock = clock
        self._settings = settings
        self._secrets = secrets
        self._random = random
        self._monitor = monitor
        self._threads_out = 0
        self._processes = anyio.CapacityLimiter(settings.maximum_processes)
        self.leftovers: set[Call] = set()

    @property
    def threads_out(self) -> int:
        """How many threads and processes work for an attempt that somebody waits for."""
        return self._threads_out + self._processes.borrowed_tokens

    def start(self, run: WorkflowRun, plan: NodePlan, attempt: int, now: datetime, tell: Told) -> Call:
        """Call a node's tool; `tell` is told how it ended, with the values to store, unless it is abandoned."""
        call = Call(plan.key, attempt, now)
        call.task = asyncio.get_running_loop().create_task(self._attempt(call, run, plan, tell))
        return call

    def stop(self, call: Call) -> None:
        """Ask an attempt to stop; its end is told as always. A thread is asked by the flag in its context only."""
        call.stopping = True
        if call.isolation != "thread":
            call.interrupt()

    def abandon(self, call: Call) -> None:
        """Ask an attempt to stop whose end nobody wants to hear of."""
        call.abandoned = True
        if call.isolation != "thread" or call.in_thread:
            self.leftovers.add(call)
        call.interrupt()

    async def close(self) -> None:
        """Give leftovers that can still be cancelled one more chance to end."""
        tasks = [call.task for call in self.leftovers if call.task is not None and not call.task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    async def _attempt(self, call: Call, run: WorkflowRun, plan: NodePlan, tell: Told) -> None:
        call.started = True
        values: dict[str, bytes] = {}
        signal: Signal
        try:
            if call.stopped():
                signal = AttemptStopped(node=call.node, attempt=call.attempt)
            else:
                self._monitor.attempting(run, plan, call.attempt)
                result = await self._work(call, run, plan)
                output = NULL if result is None else self._encode(call, run, result, values)
                signal = AttemptSucceeded(node=call.node, attempt=call.attempt, output=output)
        except BaseException as error:  # noqa: BLE001 - an edge: whatever a tool raises ends its attempt and nothing else
            signal = self._ended_by(call, error)
        call.task = None  # Else the two keep each other alive.
        if not call.abandoned:
            tell(call, signal, values)
        elif not call.in_thread:
            self.leftovers.discard(call)

    def _ended_by(self, call: Call, error: BaseException) -> Signal:
        if isinstance(error, asyncio.CancelledError) and call.stopped():
            return AttemptStopped(node=call.node, attempt=call.attempt)
        failure = as_failure(error) if call.redactor is None else as_failure(error, call.redactor.hide_in_message)
        return AttemptErred(node=call.node, attempt=call.attempt, error=failure, draw=self._random())

    def _encode(self, call: Call, run: WorkflowRun, result: Json, values: dict[str, bytes]) -> Value:
        """Make a value of what a tool returned; one that is to be stored is put in `values`."""
        data = encode_output(result, self._settings.maximum_output_bytes)
        if call.redactor:
            hidden = call.redactor.hide_in(msgspec.json.decode(data))
            data = encode_output(hidden, self._settings.maximum_output_bytes)
        output = as_value(data)
        if output.sha256 is not None:
            values[output.sha256] = data
            self._check_room(run, output.size)
        return output

    def _check_room(self, run: WorkflowRun, size: int) -> None:
        room = self._settings.maximum_run_bytes - run.value_bytes
        if size > room:
            raise InvalidOutputError(
                f"The tool's output takes {size} bytes, but the run has room for {room} of"
                f" {self._settings.maximum_run_bytes} left."
            )

    async def _work(self, call: Call, run: WorkflowRun, plan: NodePlan) -> Json:
        tool = self._tools.find(plan.tool)
        if tool is None:
            raise ToolError(f"There is no tool {plan.tool!r} here any more.", type="UnknownTool", retryable=False)
        call.isolation = tool.definition.isolation
        value = plan.input
        if value:
            template = compile_template(value, secrets=True)
            value = await resolve(template, run, self._repository, self._evaluator)
            if template.secrets:
                value = self._reveal(call, template, value, run.namespace)
        arguments = tool.parse(value)
        context = self._context(call, run, plan)
        if call.isolation == "async":
            return await tool.call(arguments, context)
        if len(self.leftovers) >= self._settings.maximum_leftovers:
            raise ToolError(
                f"{len(self.leftovers)} calls that timed out still occupy threads; no more are started.",
                type="TooManyLeftovers",
            )
        if call.isolation == "process":
            return await anyio.to_process.run_sync(
                tool.run, arguments, self._detached(context), cancellable=True, limiter=self._processes
            )
        return await self._in_thread(call, tool, arguments, context)

    def _reveal(self, call: Call, template: Template, prepared: Json, namespace: Namespace) -> Json:
        """Put the secrets in their places, after everything else; from now on nothing the call says shows them.

        Raises `SecretUnavailableError`.
        """
        secrets: dict[str, str] = {}
        for _, name in template.secrets:
            value = None if self._secrets is None else self._secrets.value(namespace, name)
            if value is None:
                raise SecretUnavailableError(name)
            secrets[name] = value
        call.redactor = Redactor(secrets)
        return template.reveal(prepared, secrets)

    async def _in_thread(self, call: Call, tool: Tool, arguments: Json, context: ToolContext) -> Json:
        loop = asyncio.get_running_loop()

        def work() -> Json:
            try:
                return tool.run(arguments, context)
            finally:
                call.in_thread = False
                if call.abandoned:
                    # The loop may be closed by now; nobody counts then.
                    with contextlib.suppress(RuntimeError):
                        loop.call_soon_threadsafe(self.leftovers.discard, call)

        call.in_thread = True
        self._threads_out += 1
        try:
            return await run_in_thread(work)
        finally:
            self._threads_out -= 1

    def _context(self, call: Call, run: WorkflowRun, plan: NodePlan) -> ToolContext:
        seconds = plan.timeout.attempt_seconds
        return ToolContext(
            run_id=run.run_id,
            namespace=run.namespace,
            node_id=plan.key.id,
            attempt=call.attempt,
            deadline=None if seconds is None else call.started_at + timedelta(seconds=seconds),
            heartbeat=partial(self._beat, call),
            cancelled=call.stopped,
        )

    def _beat(self, call: Call) -> None:
        call.beat_at = self._clock.now()

    def _detached(self, context: ToolContext) -> ToolContext:
        """Make a context that can be sent to another process."""
        return ToolContext(
            run_id=context.run_id,
            namespace=context.namespace,
            node_id=context.node_id,
            attempt=context.attempt,
            deadline=context.deadline,
        )


async def resolve(template: Template, run: WorkflowRun, repository: RunRepository, evaluator: Evaluator) -> Json:
    """Evaluate a template in a run, but for its secrets. Raises `ExpressionError`."""
    if not template.expressions:
        return template.prepare({})
    stored = {
        value.sha256: await load_value(repository, run.namespace, run.run_id, value.sha256)
        for value in values_of(run, template.paths)
        if value.sha256 is not None
    }
    try:
        data = scope(run, template.paths, stored)
        return await evaluator.evaluate(template, data, namespace=run.namespace, run_id=run.run_id)
    except EvaluationFailed as error:
        raise ExpressionError(str(error)) from None
