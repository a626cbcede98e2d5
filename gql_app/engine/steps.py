"""The steps of the attempts of one run: asked for by tools, ruled by the machine, done here."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol

from gql_app.core.errors import StepFailedError, ToolError
from gql_app.core.events import Failure, RetryState, StepKind, StepRequest
from gql_app.core.ids import NodeKey
from gql_app.core.policies import merge_policies
from gql_app.core.run import WorkflowRun
from gql_app.core.signals import (
    AnswerStep,
    Signal,
    StartStep,
    StepDropped,
    StepErred,
    StepRequested,
    StepSucceeded,
    StopStep,
)
from gql_app.core.spec import RetryPolicy, TimeoutPolicy
from gql_app.core.step_run import StepRun, StepStatus
from gql_app.core.values import Json, Value
from gql_app.engine.call import Call, CallHost
from gql_app.engine.failures import as_failure
from gql_app.engine.invoking import Invoker
from gql_app.ports import StepSpec, StepWork, Tool, ToolContext

MAXIMUM_STEPS: Final = 2_000
"""How many steps a node may take."""


_FOR_GOOD: Final = (RetryState.MAXIMUM_ATTEMPTS_REACHED, RetryState.NON_RETRYABLE_ERROR)


class StepSurroundings(Protocol):
    """What the steps of an executor share."""

    invoker: Invoker
    random: Callable[[], float]

    def context(self, call: Call) -> ToolContext:
        """Make the context of a call."""
        ...

    def encode(self, call: Call, run: WorkflowRun, result: Json, values: dict[str, bytes], *, what: str) -> Value:
        """Make a value of what went in or out of a call; one that is to be stored is put in `values`.

        Raises `InvalidOutputError`.
        """
        ...


class Wanted:
    """A step that a call waits for."""

    __slots__ = ("answer", "call", "tool", "trying", "value", "work")

    def __init__(self, call: Call, work: StepWork | None, tool: Tool | None, value: Json) -> None:
        self.call = call
        self.work = work
        self.tool = tool
        self.value = value
        self.answer: asyncio.Future[AnswerStep] = asyncio.get_running_loop().create_future()
        self.trying: Call | None = None
        """The try in flight."""


class Dropped:
    """A step that an attempt no longer wants, until the machine has heard of it."""

    __slots__ = ("attempt", "heard")

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt
        self.heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class RunSteps:
    """All steps of one run that attempts wait for."""

    __slots__ = ("_dropped", "_host", "_shared", "_wanted")

    def __init__(self, host: CallHost, shared: StepSurroundings) -> None:
        self._host = host
        self._shared = shared
        self._wanted: dict[tuple[NodeKey, str], Wanted] = {}
        self._dropped: dict[tuple[NodeKey, str], Dropped] = {}

    async def do(self, call: Call, spec: StepSpec, work: StepWork | None, tool: Tool | None) -> Json:
        """Ask for a step, `work` or the call of a tool, and wait until it is done. Raises `StepFailedError`."""
        key = (call.node, spec.id)
        while (dropped := self._dropped.get(key)) is not None and dropped.attempt == call.attempt:
            await asyncio.wait([dropped.heard])
        self._check(call, spec)
        if spec.remember_failure and (error := self._failure(call, spec.id)) is not None:
            raise StepFailedError(spec.id, error.message, type=error.type, retryable=error.retryable)
        if call.root.stream is not None:
            call.root.stream.show()
        values: dict[str, bytes] = {}
        value = self._shared.encode(call, self._host.run, spec.input, values, what=f"The input of step {spec.id!r}")
        request = StepRequest(
            kind=spec.kind,
            name=spec.name,
            input=value,
            retry=merge_policies(spec.retry, RetryPolicy()),
            timeout=merge_policies(spec.timeout, TimeoutPolicy()),
            limits=spec.limits,
        )
        call.asked = True
        wanted = self._wanted[key] = Wanted(call, work, tool, spec.input)
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

    def _check(self, call: Call, spec: StepSpec) -> None:
        """Raise for a step that cannot be asked for."""
        if call.over():
            message = "What asks for it has ended."
            raise StepFailedError(spec.id, message, type="StepTooLate", retryable=False)
        if (call.node, spec.id) in self._wanted:
            raise ValueError(f"Step {spec.id!r} is under way already: every step of a node has an id of its own.")
        done = self._host.run.step(call.node, spec.id)
        if done is not None and done.status is StepStatus.COMPLETED:
            _check_same(done, spec)
        steps = self._host.run.node(call.node).steps
        if len(steps) + len(self._wanted) < MAXIMUM_STEPS:
            return
        known = {step.id for step in steps} | {step for node, step in self._wanted if node == call.node}
        if len(known) >= MAXIMUM_STEPS and spec.id not in known:
            message = f"Step {spec.id!r} would be one more than the {MAXIMUM_STEPS} that a node may take."
            raise ToolError(message, type="TooManySteps", retryable=False)

    def _failure(self, call: Call, step_id: str) -> Failure | None:
        """Tell why a step failed for good in an earlier attempt; that time ran out may be otherwise in the next."""
        step = self._host.run.step(call.node, step_id)
        if step is None or step.status is not StepStatus.FAILED or step.retry_state not in _FOR_GOOD:
            return None
        return step.error

    def carry_out(self, command: StartStep | AnswerStep | StopStep, now: datetime) -> None:
        """Do what the machine wants of a step."""
        match command:
            case StartStep():
                self._start(command, now)
            case AnswerStep():
                self._answer(command)
            case StopStep():
                self._stop(command)

    def _answer(self, command: AnswerStep) -> None:
        """Tell the attempt what became of a step."""
        key = (command.node, command.step)
        dropped = self._dropped.get(key)
        if dropped is not None and dropped.attempt == command.attempt:
            # What it became before that was heard is of no use to who asks for it again.
            if command.dropped:
                self._hear(key)
            return
        wanted = self._wanted.get(key)
        if wanted is not None and wanted.call.attempt == command.attempt and not wanted.answer.done():
            wanted.answer.set_result(command)

    def _start(self, command: StartStep, now: datetime) -> None:
        """Try a step, if somebody still wants it."""
        wanted = self._wanted.get((command.node, command.step))
        if wanted is None or wanted.call.attempt != command.attempt or wanted.answer.done():
            self._host.tell(StepDropped(node=command.node, attempt=command.attempt, step=command.step))
            return
        call = Call(
            self._host,
            command.node,
            command.attempt,
            now,
            step=command.step,
            step_attempt=command.step_attempt,
            parent=wanted.call,
        )
        wanted.trying = call
        call.task = asyncio.get_running_loop().create_task(self._try(call, wanted))

    def _stop(self, command: StopStep) -> None:
        """Let go of a try of a step."""
        wanted = self._wanted.get((command.node, command.step))
        if wanted is not None and wanted.trying is not None and wanted.trying.step_attempt == command.step_attempt:
            self._abandon(wanted)

    def end(self, call: Call) -> None:
        """Let go of everything that a call wanted, and what was wanted for that: it has ended."""
        for key, wanted in list(self._wanted.items()) if call.asked else ():
            if wanted.call.is_within(call) and self._wanted.pop(key, None) is not None:
                self._abandon(wanted)
                wanted.answer.cancel()
        if call.step is None:
            for key in [key for key in self._dropped if key[0] == call.node]:
                self._hear(key)

    def trying(self, node: NodeKey, step: str) -> Call | None:
        """Give the try of a step in flight."""
        wanted = self._wanted.get((node, step))
        return None if wanted is None else wanted.trying

    def _let_go(self, wanted: Wanted, step: str) -> None:
        """Stop the try of a step that is not wanted any more, and say so unless its attempt has ended, too."""
        usage = None if wanted.trying is None else wanted.trying.usage
        self._abandon(wanted)
        answered = wanted.answer.done() and not wanted.answer.cancelled()
        node, attempt = wanted.call.node, wanted.call.attempt
        if not answered and not wanted.call.stopped() and not wanted.call.over():
            self._dropped[node, step] = Dropped(attempt)
            self._host.tell(StepDropped(node=node, attempt=attempt, step=step, usage=usage))

    def _abandon(self, wanted: Wanted) -> None:
        trying, wanted.trying = wanted.trying, None
        if trying is not None:
            if (stream := trying.root.stream) is not None:
                stream.forget((trying.step, trying.step_attempt))
            self._shared.invoker.abandon(trying)
            self.end(trying)

    def _hear(self, key: tuple[NodeKey, str]) -> None:
        self._dropped.pop(key).heard.set_result(None)

    async def _try(self, call: Call, wanted: Wanted) -> None:
        call.started = True
        values: dict[str, bytes] = {}
        signal: Signal
        try:
            if call.stopped():
                raise asyncio.CancelledError
            result = await self._work(call, wanted)
            output = self._shared.encode(call, self._host.run, result, values, what=f"The output of step {call.step!r}")
            signal = StepSucceeded(**_name(call), output=output, usage=call.usage)
        except BaseException as error:  # noqa: BLE001 - an edge: whatever a step raises ends its try and nothing else
            hide = str if call.redactor is None else call.redactor.hide_in_message
            failure = as_failure(error, hide)
            signal = StepErred(**_name(call), error=failure, usage=call.usage, draw=self._shared.random())
        self._shared.invoker.ended(call)
        if wanted.trying is call and not call.abandoned:
            wanted.trying = None
            self.end(call)
            if (stream := call.root.stream) is not None:
                stream.finish((call.step, call.step_attempt))
            self._host.keep(values)
            self._host.tell(signal)

    async def _work(self, call: Call, wanted: Wanted) -> Json:
        seconds = self._step(call).request.timeout.attempt_seconds
        ends = None if seconds is None else call.started_at + timedelta(seconds=seconds)
        call.deadline = min((at for at in (ends, wanted.call.deadline) if at is not None), default=None)
        context = self._shared.context(call)
        if wanted.tool is not None:
            return await self._shared.invoker.invoke(call, wanted.tool, wanted.value, context)
        assert wanted.work is not None
        return await wanted.work(context)

    def _step(self, call: Call) -> StepRun:
        assert call.step is not None
        step = self._host.run.step(call.node, call.step)
        assert step is not None
        return step


def _check_same(done: StepRun, spec: StepSpec) -> None:
    """Raise if a step that was done is asked for as something else: its output would be taken for that."""
    before, now = done.request, spec
    if before.kind is not now.kind or (now.kind is StepKind.TOOL and before.name != now.name):
        message = (
            f"Step {spec.id!r} was done as {before.kind} {before.name!r} and is asked for as {now.kind} {now.name!r}:"
            " give what is something else an id of its own."
        )
        raise ToolError(message, type="StepMismatch", retryable=False)


def _name(call: Call) -> dict[str, Json]:
    return {"node": call.node, "attempt": call.attempt, "step": call.step, "step_attempt": call.step_attempt}
