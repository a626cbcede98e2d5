"""What a call does through its context: it shows something, or takes a step."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from gql_app.core.errors import ToolError
from gql_app.core.events import LogLevel, Usage, add_usage
from gql_app.core.policies import merge_policies
from gql_app.core.values import Json
from gql_app.engine.call import Call
from gql_app.engine.streams import AttemptStream
from gql_app.ports import Clock, StepSpec, StepWork, Tool, Tools


class Activities(Protocol):
    """What the calls of an executor share."""

    tools: Tools
    clock: Clock

    def open_stream(self, call: Call) -> AttemptStream:
        """Give the stream of an attempt, which is opened by the first who asks."""
        ...


class CallActivity:
    """The reports and the steps of one call."""

    __slots__ = ("_call", "_shared")

    def __init__(self, call: Call, shared: Activities) -> None:
        self._call = call
        self._shared = shared

    def beat(self) -> None:
        """Give a sign of life."""
        if not self._call.over():
            self._call.beat(self._shared.clock.now())

    def emit(self, text: str) -> None:
        """Stream text."""
        self.beat()
        if not self._call.over():
            self._stream().emit(text, (self._call.step, self._call.step_attempt))

    def log(self, level: LogLevel, message: str, fields: Mapping[str, Json]) -> None:
        """Log a line."""
        self.beat()
        if not self._call.over():
            self._stream().log(level, message, fields, self._call.step)

    def progress(self, fraction: float | None, message: str | None) -> None:
        """Say how far it has come; for the node, what one of its steps says would be wrong."""
        self.beat()
        if self._call.step is None and not self._call.over():
            self._stream().progress(fraction, message)

    def use(self, usage: Usage) -> None:
        """Say what a language model was used for."""
        if self._call.step is None:
            raise ValueError("Only a step can report usage: ask the model within `context.step(…)`.")
        self._call.usage = add_usage(self._call.usage, usage)

    async def do(self, step: StepSpec, work: StepWork) -> Json:
        """Do a step unless it has been done."""
        return await self._call.host.do_step(self._call, step, work=work)

    async def call(self, step: StepSpec) -> Json:
        """Call a tool as a step. Raises `ToolError` if there is none of its name for the run's namespace."""
        tool = self._find(step.name)
        if tool is None:
            raise ToolError(f"There is no tool {step.name!r} here.", type="UnknownTool", retryable=False)
        known = tool.definition
        retry, timeout = merge_policies(step.retry, known.retry), merge_policies(step.timeout, known.timeout)
        step = msgspec.structs.replace(step, retry=retry, timeout=timeout)
        return await self._call.host.do_step(self._call, step, tool=tool)

    def _find(self, name: str) -> Tool | None:
        tools, namespace = self._shared.tools, self._call.host.run.namespace
        if name not in tools.definitions(namespace) and tools.why_missing(name, namespace) is None:
            return None
        return tools.find(name)

    def _stream(self) -> AttemptStream:
        root = self._call.root
        return root.stream or self._shared.open_stream(root)
