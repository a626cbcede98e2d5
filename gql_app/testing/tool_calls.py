"""Calls one tool in a test, as the service does, and tells everything it showed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import msgspec

from gql_app.core.events import Failure, LogLevel, Usage
from gql_app.core.plan import ToolDefinition
from gql_app.core.run import NodeStatus
from gql_app.core.spec import DAYS_30
from gql_app.core.values import Json
from gql_app.ports import Reports, Resource, Tool, ToolContext
from gql_app.testing.failures import NoOutputError
from gql_app.testing.loops import run_on_a_loop
from gql_app.testing.results import LogLine, ProgressReport, RunResult, StepResult
from gql_app.testing.stage import Cast, Stage
from gql_app.testing.virtual_time import PATIENCE
from gql_app.tools.equipped import resources_of

NODE: Final = "call"
"""The id of the node that calls the tool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What came of a call: what it returned or raised, and everything it showed meanwhile, piece by piece."""

    status: NodeStatus
    error: Failure | None
    """What the run would keep of its failure; also `InvalidInput` and `InvalidOutput`, and the timeouts."""
    exception: BaseException | None
    """What the tool raised."""
    chunks: Sequence[str]
    logs: Sequence[LogLine]
    progress: Sequence[ProgressReport]
    heartbeats: int
    """How often `context.heartbeat()` was called."""
    steps: Sequence[StepResult]
    usage: Usage | None
    seconds: float
    """How long it took, in virtual time unless real was asked for."""
    value: Json = None
    """The output, or None if there is none."""

    @property
    def output(self) -> Json:
        """The output, as JSON has it. Raises what the tool raised, or `NoOutputError` where it raised nothing."""
        if self.status is NodeStatus.COMPLETED:
            return self.value
        if isinstance(self.exception, Exception):
            raise self.exception
        told = "" if self.error is None else f", {self.error.type}: {self.error.message}"
        raise NoOutputError(f"The call has no output: it is {self.status}{told}")


def call_tool(  # noqa: PLR0913 - they go by keyword, and each may be left out
    tool: Tool,
    input: Json = None,
    *,
    attempt: int = 1,
    timeout: float | None = None,
    tools: Iterable[Cast] = (),
    resources: Mapping[Resource[Json], Json] | None = None,
    settings: Mapping[str, Json] | None = None,
    cancel_after: float | None = None,
    real_time: bool = False,
    patience: float = PATIENCE,
) -> ToolResult:
    """Call a tool once, as a node does that has this input, and tell what came of it. A failure is a result, too.

    The tool is told that it is the attempt of this number. It has `timeout` seconds, or else those that it declares;
    `tools` are those that it can call in turn, scripted or not. `resources` are given to it instead of opening those of
    the tools. A call in a process of its own shows nothing but its
    output. Time, `settings` and `cancel_after` are as in `run_workflow`.
    """
    work = call_tool_async(
        tool,
        input,
        attempt=attempt,
        timeout=timeout,
        tools=tools,
        resources=resources,
        settings=settings,
        cancel_after=cancel_after,
    )
    return run_on_a_loop(work, real_time=real_time, patience=patience)


async def call_tool_async(
    tool: Tool,
    input: Json = None,
    *,
    attempt: int = 1,
    timeout: float | None = None,
    tools: Iterable[Cast] = (),
    resources: Mapping[Resource[Json], Json] | None = None,
    settings: Mapping[str, Json] | None = None,
    cancel_after: float | None = None,
) -> ToolResult:
    """Do what `call_tool` does on the running loop: on virtual time if that is one, else in real time."""
    capture = _Capture()
    watched = _Watched(tool, capture, attempt)
    async with Stage(tools, replacing=[watched], resources=resources, settings=settings) as stage:
        run = await stage.run(_document(tool, timeout), input={} if input is None else input, cancel_after=cancel_after)
    return _describe(run, capture)


def _document(tool: Tool, timeout: float | None) -> Json:
    node = {"id": NODE, "tool": tool.definition.name, "input": "${ input }", "retry": {"maximumAttempts": 1}}
    if timeout is not None:
        node["timeout"] = {"attemptSeconds": timeout}
    return {"name": NODE, "timeoutSeconds": DAYS_30, "nodes": [node]}


def _describe(run: RunResult, capture: "_Capture") -> ToolResult:
    node = run.nodes[NODE]
    return ToolResult(
        status=node.status,
        error=node.error,
        exception=capture.exception,
        chunks=tuple(capture.chunks),
        logs=tuple(capture.logs),
        progress=tuple(capture.progress),
        heartbeats=len(capture.beats),
        steps=node.steps,
        usage=node.usage,
        seconds=sum(attempt.seconds for attempt in node.attempts),
        value=node.value,
    )


@dataclass
class _Capture:
    """What a call showed, before anybody merged it."""

    chunks: list[str] = field(default_factory=list)
    logs: list[LogLine] = field(default_factory=list)
    progress: list[ProgressReport] = field(default_factory=list)
    beats: list[None] = field(default_factory=list)
    exception: BaseException | None = None


@dataclass(frozen=True, slots=True)
class _Reports:
    """Captures what is shown, and passes it on."""

    capture: _Capture
    behind: Reports

    def emit(self, text: str) -> None:
        """Take text."""
        self.capture.chunks.append(text)
        self.behind.emit(text)

    def log(self, level: LogLevel, message: str, fields: Mapping[str, Json]) -> None:
        """Take a line."""
        self.capture.logs.append(LogLine(level=level.lower(), message=message, fields=dict(fields)))
        self.behind.log(level, message, fields)

    def progress(self, fraction: float | None, message: str | None) -> None:
        """Take how far it has come."""
        self.capture.progress.append(ProgressReport(fraction=fraction, message=message))
        self.behind.progress(fraction, message)

    def use(self, usage: Usage) -> None:
        """Take what was used."""
        self.behind.use(usage)


class _Watched:
    """A tool whose calls are told that they are a certain attempt, and show a capture what they do."""

    def __init__(self, tool: Tool, capture: _Capture, attempt: int) -> None:
        self.definition: Final[ToolDefinition] = tool.definition
        self.resources: Final = resources_of(tool)
        self._tool = tool
        self._capture = capture
        self._attempt = attempt

    def __reduce__(self) -> tuple[Callable[..., Json], tuple[Json, ...]]:
        """Travel without the capture, which is not where a call in another process is."""
        return _Watched, (self._tool, _Capture(), self._attempt)

    def parse(self, value: Json) -> Json:
        """Check an input as the tool does."""
        with self._catching():
            return self._tool.parse(value)

    async def call(self, arguments: Json, context: ToolContext) -> Json:
        """Call the tool."""
        with self._catching():
            return await self._tool.call(arguments, self._watching(context))

    def run(self, arguments: Json, context: ToolContext) -> Json:
        """Call the tool."""
        with self._catching():
            return self._tool.run(arguments, self._watching(context))

    @contextmanager
    def _catching(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._capture.exception = error
            raise

    def _watching(self, context: ToolContext) -> ToolContext:
        if context.step_id is not None:
            return context  # It is called by itself, in a step.

        def beat() -> None:
            self._capture.beats.append(None)
            context.heartbeat()

        return msgspec.structs.replace(
            context, attempt=self._attempt, heartbeat=beat, reports=_Reports(self._capture, context.reports)
        )
