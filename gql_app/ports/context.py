"""What a call of a tool is handed beside its input."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeAlias, TypeVar

import msgspec

from gql_app.core.errors import ResourceUnavailable
from gql_app.core.events import LogLevel, StepKind, Usage
from gql_app.core.ids import Namespace, RunId
from gql_app.core.spec import RetryPolicy, TimeoutPolicy
from gql_app.core.values import Json
from gql_app.ports.checks import (
    check_fraction,
    check_kind,
    check_level,
    check_limits,
    check_name,
    check_policies,
    check_step_id,
    check_text,
    check_usage,
)
from gql_app.ports.resources import Resource, Resources

T = TypeVar("T")


def no_heartbeat() -> None:
    """Ignore a sign of life. A function, because a context must be picklable."""


def never() -> bool:
    """Say no."""
    return False


class StepSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A step that is wanted. Policies that are not given are the tool's, or else the defaults of nodes."""

    id: str
    kind: StepKind
    name: str
    input: Json = None
    retry: RetryPolicy | None = None
    timeout: TimeoutPolicy | None = None
    limits: tuple[str, ...] = ()
    remember_failure: bool = False
    """Whether a step that failed for good is not done again in another attempt either."""


class Reports(Protocol):
    """Where an attempt shows what it does; any thread may."""

    def emit(self, text: str) -> None:
        """Stream text."""
        ...

    def log(self, level: LogLevel, message: str, fields: Mapping[str, Json]) -> None:
        """Log a line."""
        ...

    def progress(self, fraction: float | None, message: str | None) -> None:
        """Say how far it has come."""
        ...

    def use(self, usage: Usage) -> None:
        """Say what a language model was used for."""
        ...


class Steps(Protocol):
    """Does the steps of an attempt."""

    async def do(self, step: StepSpec, work: "StepWork") -> Json:
        """Do a step unless it has been done; gives its output. Raises `StepFailedError` once it is given up."""
        ...

    async def call(self, step: StepSpec) -> Json:
        """Call the tool that the step names, likewise."""
        ...


@dataclass(frozen=True, slots=True)
class _Silence:
    """Shows nothing to anybody."""

    def emit(self, text: str) -> None:
        """Do nothing."""

    def log(self, level: LogLevel, message: str, fields: Mapping[str, Json]) -> None:
        """Do nothing."""

    def progress(self, fraction: float | None, message: str | None) -> None:
        """Do nothing."""

    def use(self, usage: Usage) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class _NoSteps:
    """Does no steps."""

    async def do(self, step: StepSpec, work: "StepWork") -> Json:
        """Refuse."""
        raise RuntimeError(f"Step {step.id!r}: only an async tool that an executor has called can have steps.")

    async def call(self, step: StepSpec) -> Json:
        """Refuse."""
        raise RuntimeError(f"Step {step.id!r}: only an async tool that an executor has called can have steps.")


SILENCE: Final[Reports] = _Silence()


NO_STEPS: Final[Steps] = _NoSteps()


@dataclass(frozen=True, slots=True)
class _NoResources:
    """Has no resources."""

    def get(self, resource: Resource[T]) -> T:
        """Refuse."""
        told = "a tool in a process of its own shares nothing, and neither does one that no service has called."
        raise ResourceUnavailable(f"The resource {resource.name!r} is not available: {told}", retryable=False)


NO_RESOURCES: Final[Resources] = _NoResources()


class ToolContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a call of a tool is handed beside its input."""

    run_id: RunId
    namespace: Namespace
    node_id: str
    attempt: int
    deadline: datetime | None = None
    """When the attempt, or the try of the step, times out."""
    heartbeat: Callable[[], None] = no_heartbeat
    """Give a sign of life; any thread may. Does nothing in a tool of its own process."""
    cancelled: Callable[[], bool] = never
    """Whether the attempt was asked to stop; for sync tools, which nobody can interrupt."""
    step_id: str | None = None
    """The step that the call is, if it is one."""
    maximum_output_bytes: int = 256 << 10
    """How many bytes of JSON the output may take."""
    reports: Reports = SILENCE
    steps: Steps = NO_STEPS
    resources: Resources = NO_RESOURCES

    @property
    def idempotency_key(self) -> str:
        """Name this node of this run, or this step of it, the same for every attempt."""
        parts = (self.run_id, self.node_id) if self.step_id is None else (self.run_id, self.node_id, self.step_id)
        return "/".join(parts)

    def resource(self, resource: Resource[T]) -> T:
        """Give what calls share, which was opened when the service started.

        Raises `ResourceUnavailable` while it is not open. It is retryable: opening is tried again and again.
        """
        return self.resources.get(resource)

    def emit(self, chunk: str) -> None:
        """Stream a piece of text to whoever watches. It is a sign of life; in a tool of its own process, nothing."""
        check_text(chunk, "A chunk")
        if chunk:
            self.reports.emit(chunk)

    def progress(self, fraction: float | None = None, message: str | None = None) -> None:
        """Say how far the call has come: a fraction from 0 to 1, and what it is at. What is left out stays as it was.

        It is a sign of life. Raises `ValueError` for a fraction that is none.
        """
        if message is not None:
            check_text(message, "A message")
        self.reports.progress(check_fraction(fraction), message)

    def log(self, level: LogLevel | str, message: str, **fields: Json) -> None:
        """Log a line that whoever watches the run sees. It is a sign of life.

        Raises `ValueError` for a level that is none of `debug`, `info`, `warning`, `error`.
        """
        known = check_level(level)
        check_text(message, "A message")
        self.reports.log(known, message, fields)

    def report_usage(
        self, *, requests: int = 1, input_tokens: int = 0, output_tokens: int = 0, cost_usd: float | None = None
    ) -> None:
        """Within a step: say what a language model was used for. It counts for the run's budget.

        Raises `ValueError` for what cannot be.
        """
        self.reports.use(check_usage(requests, input_tokens, output_tokens, cost_usd))

    async def step(
        self,
        id: str,
        work: "StepWork",
        *,
        kind: StepKind = StepKind.OTHER,
        name: str | None = None,
        input: Json = None,
        retry: RetryPolicy | None = None,
        timeout: TimeoutPolicy | None = None,
        limits: tuple[str, ...] = (),
    ) -> Json:
        """Do something that is not to be done again: its output, which must be JSON, is kept for all attempts.

        `id` names it within the node (or the step around it), the same in every attempt. `work` is handed a context of
        its own, and is tried and timed out by the policies. Raises `StepFailedError` once the step is given up.
        """
        check_policies(retry, timeout)
        spec = StepSpec(
            id=check_step_id(id, self.step_id),
            kind=check_kind(kind),
            name=check_name(id if name is None else name, "The name of a step"),
            input=input,
            retry=retry,
            timeout=timeout,
            limits=check_limits(limits),
        )
        return await self.steps.do(spec, work)

    async def call_tool(
        self,
        id: str,
        name: str,
        input: Json = None,
        *,
        retry: RetryPolicy | None = None,
        timeout: TimeoutPolicy | None = None,
        remember_failure: bool = False,
    ) -> Json:
        """Call another tool as a step: by its own policies and limits, unless others are given. No input is `{}`.

        Raises `StepFailedError` once it is given up. With `remember_failure` another attempt does not call it again
        then, but fails in the same way.
        """
        check_policies(retry, timeout)
        spec = StepSpec(
            id=check_step_id(id, self.step_id),
            kind=StepKind.TOOL,
            name=check_name(name, "The name of a tool"),
            input={} if input is None else input,
            retry=retry,
            timeout=timeout,
            remember_failure=remember_failure,
        )
        return await self.steps.call(spec)


StepWork: TypeAlias = Callable[[ToolContext], Awaitable[Json]]
"""What a step does, in a context of its own."""
