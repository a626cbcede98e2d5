"""The steps of the attempts of one run: asked for by tools, ruled by the machine, done here."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from gql_app.core.errors import StepFailedError, ToolError
from gql_app.core.events import StepRequest
from gql_app.core.ids import NodeKey
from gql_app.core.policies import merge_policies
from gql_app.core.run import WorkflowRun
from gql_app.core.signals import AnswerStep, Signal, StartStep, StepDropped, StepErred, StepRequested, StepSucceeded
from gql_app.core.spec import RetryPolicy, TimeoutPolicy
from gql_app.core.step_run import StepRun
from gql_app.core.values import Json, Value
from gql_app.engine.call import Call
from gql_app.engine.failures import as_failure
from gql_app.engine.invoking import Invoker
from gql_app.engine.streams import AttemptStream, CallReports
from gql_app.ports import Clock, StepSpec, StepWork, Tool, ToolContext, Tools


class StepHost(Protocol):
    """The run that the steps are of."""

    @property
    def run(self) -> WorkflowRun:
        """Give the run as it is."""
        ...

    def tell(self, signal: Signal) -> None:
        """Tell the run something."""
        ...

    def keep(self, values: Mapping[str, bytes]) -> None:
        """Let values be stored with what is told next."""
        ...

    async def load(self, value: Value) -> Json:
        """Read a value of the run."""
        ...


class StepTools(Protocol):
    """What steps need of what makes the calls."""

    tools: Tools
    invoker: Invoker
    clock: Clock
    random: Callable[[], float]

    def encode(self, call: Call, run: WorkflowRun, result: Json, values: dict[str, bytes]) -> Value:
        """Make a value of what went in or out of a call; one that is to be stored is put in `values`.

        Raises `InvalidOutputError`.
        """
        ...


class Wanted:
    """A step that an attempt waits for."""

    __slots__ = ("answer", "call", "context", "stream", "tool", "trying", "value", "work")

    def __init__(self, call: Call, stream: AttemptStream, context: ToolContext) -> None:
        self.call = call
        self.stream = stream
        self.context = context
        self.answer: asyncio.Future[AnswerStep] = asyncio.get_running_loop().create_future()
        self.work: StepWork | None = None
        self.tool: Tool | None = None
        self.value: Json = None
        self.trying: Call | None = None
        """The try in flight."""


class RunSteps:
    """All steps of one run that attempts wait for."""

    __slots__ = ("_host", "_shared", "_wanted")

    def __init__(self, host: StepHost, shared: StepTools) -> None:
        self._host = host
        self._shared = shared
        self._wanted: dict[tuple[NodeKey, str], Wanted] = {}

    async def do(self, wanted: Wanted, spec: StepSpec) -> Json:
        """Ask for a step and wait until it is done or given up."""
        call, key = wanted.call, (wanted.call.node, spec.id)
        if key in self._wanted:
            raise ValueError(f"Step {spec.id!r} is under way already: every step of a node has an id of its own.")
        values: dict[str, bytes] = {}
        value = self._shared.encode(call, self._host.run, spec.input, values)
        request = StepRequest(
            kind=spec.kind,
            name=spec.name,
            input=value,
            retry=merge_policies(spec.retry, RetryPolicy()),
            timeout=merge_policies(spec.timeout, TimeoutPolicy()),
            limits=spec.limits,
        )
        self._wanted[key] = wanted
        self._host.keep(values)
        self._host.tell(StepRequested(node=call.node, attempt=call.attempt, step=spec.id, request=request))
        try:
            answer = await wanted.answer
        finally:
            if self._wanted.get(key) is wanted:
                del self._wanted[key]
            self._let_go(wanted, spec.id)
        if answer.error is not None:
            error = answer.error
            raise StepFailedError(spec.id, error.message, type=error.type, retryable=error.retryable)
        return await self._host.load(answer.output)

    def answer(self, command: AnswerStep) -> None:
        """Tell the attempt what became of a step."""
        wanted = self._wanted.get((command.node, command.step))
        if wanted is not None and wanted.call.attempt == command.attempt and not wanted.answer.done():
            wanted.answer.set_result(command)

    def start(self, command: StartStep, now: datetime) -> None:
        """Try a step, if somebody still wants it."""
        wanted = self._wanted.get((command.node, command.step))
        if wanted is None or wanted.call.attempt != command.attempt or wanted.answer.done():
            self._drop(command.node, command.attempt, command.step)
            return
        call = Call(
            command.node,
            command.attempt,
            now,
            step=command.step,
            step_attempt=command.step_attempt,
            parent=wanted.call,
        )
        wanted.trying = call
        call.task = asyncio.get_running_loop().create_task(self._try(call, wanted))

    def stop(self, node: NodeKey, step: str, step_attempt: int) -> None:
        """Let go of a try of a step."""
        wanted = self._wanted.get((node, step))
        if wanted is not None and wanted.trying is not None and wanted.trying.step_attempt == step_attempt:
            self._abandon(wanted)

    def end(self, call: Call) -> None:
        """Let go of everything that a call wanted, and what was wanted for that: it has ended."""
        for key, wanted in list(self._wanted.items()):
            if _is_within(wanted.call, call) and self._wanted.pop(key, None) is not None:
                self._abandon(wanted)
                wanted.answer.cancel()

    def beat_at(self, node: NodeKey, step: str) -> datetime | None:
        """Tell when the try of a step in flight last gave a sign of life."""
        wanted = self._wanted.get((node, step))
        return None if wanted is None or wanted.trying is None else wanted.trying.beat_at

    def _let_go(self, wanted: Wanted, step: str) -> None:
        """Stop the try of a step that is not wanted any more, and say so unless its attempt has ended, too."""
        self._abandon(wanted)
        answered = wanted.answer.done() and not wanted.answer.cancelled()
        if not answered and not wanted.call.stopped():
            self._drop(wanted.call.node, wanted.call.attempt, step)

    def _abandon(self, wanted: Wanted) -> None:
        trying, wanted.trying = wanted.trying, None
        if trying is not None:
            self._shared.invoker.abandon(trying)
            self.end(trying)

    def _drop(self, node: NodeKey, attempt: int, step: str) -> None:
        self._host.tell(StepDropped(node=node, attempt=attempt, step=step))

    async def _try(self, call: Call, wanted: Wanted) -> None:
        call.started = True
        values: dict[str, bytes] = {}
        signal: Signal
        try:
            result = await self._work(call, wanted)
            output = self._shared.encode(call, self._host.run, result, values)
            signal = StepSucceeded(**_name(call), output=output, usage=call.usage)
        except BaseException as error:  # noqa: BLE001 - an edge: whatever a step raises ends its try and nothing else
            hide = str if call.redactor is None else call.redactor.hide_in_message
            failure = as_failure(error, hide)
            signal = StepErred(**_name(call), error=failure, usage=call.usage, draw=self._shared.random())
        self._shared.invoker.ended(call)
        if wanted.trying is call and not call.abandoned:
            wanted.trying = None
            wanted.stream.flush()
            self._host.keep(values)
            self._host.tell(signal)

    async def _work(self, call: Call, wanted: Wanted) -> Json:
        context = self._context(call, wanted)
        if wanted.tool is not None:
            return await self._shared.invoker.invoke(call, wanted.tool, wanted.value, context)
        assert wanted.work is not None
        return await wanted.work(context)

    def _context(self, call: Call, wanted: Wanted) -> ToolContext:
        step = self._step(call)
        seconds = step.request.timeout.attempt_seconds
        ends = None if seconds is None else call.started_at + timedelta(seconds=seconds)
        outer = wanted.context.deadline
        shown = CallReports(call, wanted.stream, self._shared.clock)
        return msgspec.structs.replace(
            wanted.context,
            attempt=call.step_attempt,
            deadline=min((at for at in (ends, outer) if at is not None), default=None),
            heartbeat=shown.beat,
            cancelled=call.stopped,
            step_id=call.step,
            reports=shown,
            steps=CallSteps(call, wanted.stream, self, self._shared.tools, wanted.context),
        )

    def _step(self, call: Call) -> StepRun:
        assert call.step is not None
        step = self._host.run.step(call.node, call.step)
        assert step is not None
        return step


class CallSteps:
    """The steps that one call asks for."""

    __slots__ = ("_call", "_context", "_steps", "_stream", "_tools")

    def __init__(self, call: Call, stream: AttemptStream, steps: RunSteps, tools: Tools, context: ToolContext) -> None:
        self._call = call
        self._stream = stream
        self._steps = steps
        self._tools = tools
        self._context = context

    async def do(self, step: StepSpec, work: StepWork) -> Json:
        """Do a step unless it has been done."""
        wanted = self._want()
        wanted.work = work
        return await self._steps.do(wanted, step)

    async def call(self, step: StepSpec) -> Json:
        """Call a tool as a step. Raises `ToolError` if there is none of its name."""
        tool = self._tools.find(step.name)
        if tool is None:
            raise ToolError(f"There is no tool {step.name!r} here.", type="UnknownTool", retryable=False)
        wanted, known = self._want(), tool.definition
        wanted.tool, wanted.value = tool, step.input
        return await self._steps.do(
            wanted,
            msgspec.structs.replace(
                step,
                retry=merge_policies(step.retry, known.retry),
                timeout=merge_policies(step.timeout, known.timeout),
            ),
        )

    def _want(self) -> Wanted:
        return Wanted(self._call, self._stream, self._context)


def _is_within(call: Call | None, outer: Call) -> bool:
    while call is not None:
        if call is outer:
            return True
        call = call.parent
    return False


def _name(call: Call) -> dict[str, Json]:
    return {"node": call.node, "attempt": call.attempt, "step": call.step, "step_attempt": call.step_attempt}
