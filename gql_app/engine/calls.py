"""Calls of tools: each attempt in a task of its own, whose end nobody but the machine decides."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock

import msgspec

from gql_app.core.errors import ExpressionError, InvalidOutputError, SecretUnavailableError, ToolError
from gql_app.core.expressions import EvaluationFailed, Template, compile_template
from gql_app.core.ids import Namespace
from gql_app.core.plan import NodePlan
from gql_app.core.redaction import Redactor
from gql_app.core.reports import Report
from gql_app.core.run import WorkflowRun
from gql_app.core.scope import scope, values_of
from gql_app.core.signals import AttemptErred, AttemptReported, AttemptStopped, AttemptSucceeded, Signal
from gql_app.core.values import NULL, Json, Value
from gql_app.engine.activity import CallActivity
from gql_app.engine.call import Call, CallHost
from gql_app.engine.failures import as_failure
from gql_app.engine.invoking import Invoker
from gql_app.engine.loading import load_value
from gql_app.engine.outputs import as_value, encode_output
from gql_app.engine.streams import AttemptStream
from gql_app.ports import Clock, Evaluator, RunRepository, Secrets, ToolContext, Tools
from gql_app.settings import Settings
from gql_app.telemetry.monitor import Monitor


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
        self._evaluator = evaluator
        self._settings = settings
        self._secrets = secrets
        self._monitor = monitor
        self.tools: Tools = tools
        self.clock: Clock = clock
        self.random: Callable[[], float] = random
        self.invoker = Invoker(settings)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = Lock()

    def start(self, host: CallHost, plan: NodePlan, attempt: int, now: datetime) -> Call:
        """Call a node's tool; the host hears how it ended, with the values to store, unless it is abandoned."""
        call = Call(host, plan.key, attempt, now)
        seconds = plan.timeout.attempt_seconds
        call.deadline = None if seconds is None else now + timedelta(seconds=seconds)
        self._loop = asyncio.get_running_loop()
        call.task = self._loop.create_task(self._attempt(call, host, plan))
        return call

    def stop(self, call: Call) -> None:
        """Ask an attempt to stop; its end is told as always."""
        self.invoker.stop(call)

    def abandon(self, call: Call) -> None:
        """Ask an attempt to stop whose end nobody wants to hear of."""
        self.invoker.abandon(call)

    async def _attempt(self, call: Call, host: CallHost, plan: NodePlan) -> None:
        call.started = True
        values: dict[str, bytes] = {}
        signal: Signal
        try:
            if call.stopped():
                signal = AttemptStopped(node=call.node, attempt=call.attempt)
            else:
                self._monitor.attempting(host.run, plan, call.attempt)
                result = await self._work(call, host.run, plan)
                output = NULL if result is None else self.encode(call, host.run, result, values)
                signal = AttemptSucceeded(node=call.node, attempt=call.attempt, output=output)
        except BaseException as error:  # noqa: BLE001 - an edge: whatever a tool raises ends its attempt and nothing else
            signal = self._ended_by(call, error)
        self.invoker.ended(call)
        stream = call.stream
        if stream is not None and not call.abandoned:
            stream.flush()
        if not call.abandoned:
            host.called(call, signal, values)
        if stream is not None:
            stream.close()

    def open_stream(self, call: Call) -> AttemptStream:
        """Give the stream of an attempt, which is opened by the first who asks, in whatever thread."""
        with self._opening:
            if call.stream is None:
                call.stream = self._make_stream(call)
            return call.stream

    def _make_stream(self, call: Call) -> AttemptStream:
        settings, host, loop = self._settings, call.host, self._loop
        assert loop is not None

        def tell(reports: tuple[Report, ...]) -> None:
            if not call.abandoned:
                host.tell(AttemptReported(node=call.node, attempt=call.attempt, reports=reports))

        return AttemptStream(
            tell,
            maximum_bytes=settings.maximum_stream_bytes,
            maximum_lines=settings.maximum_log_lines,
            room=lambda: settings.maximum_run_bytes - host.run.value_bytes,
            redactor=lambda: call.redactor,
            loop=loop,
        )

    def context(self, call: Call) -> ToolContext:
        """Make the context of a call."""
        run, activity = call.host.run, CallActivity(call, self)
        return ToolContext(
            run_id=run.run_id,
            namespace=run.namespace,
            node_id=call.node.id,
            attempt=call.step_attempt or call.attempt,
            deadline=call.deadline,
            heartbeat=activity.beat,
            cancelled=call.stopped,
            step_id=call.step,
            maximum_output_bytes=self._settings.maximum_output_bytes,
            reports=activity,
            steps=activity,
        )

    def _ended_by(self, call: Call, error: BaseException) -> Signal:
        if isinstance(error, asyncio.CancelledError) and call.stopped():
            return AttemptStopped(node=call.node, attempt=call.attempt)
        failure = as_failure(error) if call.redactor is None else as_failure(error, call.redactor.hide_in_message)
        return AttemptErred(node=call.node, attempt=call.attempt, error=failure, draw=self.random())

    def encode(
        self, call: Call, run: WorkflowRun, result: Json, values: dict[str, bytes], *, what: str = "The tool's output"
    ) -> Value:
        """Make a value of what went in or out of a call; one that is to be stored is put in `values`.

        Raises `InvalidOutputError`.
        """
        data = encode_output(result, self._settings.maximum_output_bytes, what=what)
        if call.redactor:
            hidden = call.redactor.hide_in(msgspec.json.decode(data))
            data = encode_output(hidden, self._settings.maximum_output_bytes, what=what)
        output = as_value(data)
        if output.sha256 is not None:
            values[output.sha256] = data
            self._check_room(run, output.size, what)
        return output

    def _check_room(self, run: WorkflowRun, size: int, what: str) -> None:
        room = self._settings.maximum_run_bytes - run.value_bytes
        if size > room:
            raise InvalidOutputError(
                f"{what} takes {size} bytes, but the run has room for {room} of"
                f" {self._settings.maximum_run_bytes} left."
            )

    async def _work(self, call: Call, run: WorkflowRun, plan: NodePlan) -> Json:
        tool = self.tools.find(plan.tool)
        if tool is None:
            raise ToolError(f"There is no tool {plan.tool!r} here any more.", type="UnknownTool", retryable=False)
        call.isolation = tool.definition.isolation
        value = plan.input
        if value:
            template = compile_template(value, secrets=True)
            value = await resolve(template, run, self._repository, self._evaluator)
            if template.secrets:
                value = self._reveal(call, template, value, run.namespace)
        return await self.invoker.invoke(call, tool, value, self.context(call))

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
