"""What counts, logs and traces one application."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib import import_module
from typing import Final

from gql_app.core.errors import MissingExtraError
from gql_app.settings import Settings
from gql_app.telemetry.journal import Journal
from gql_app.telemetry.listener import listening
from gql_app.telemetry.metrics import Metrics
from gql_app.telemetry.monitor import Monitor, Monitors
from gql_app.telemetry.process import Load
from gql_app.telemetry.traces import Traces

_LAST_SPANS_SECONDS: Final = 3.0
"""How long the end waits for the last spans to be sent."""


class Instruments:
    """The metrics of an application, and who is told what goes on in it.

    `operations` are the names of GraphQL operations that the metrics always tell apart. Raises `MissingExtraError` if
    it is to trace but cannot.
    """

    def __init__(self, settings: Settings, *, operations: Iterable[str] = ()) -> None:
        self.metrics: Final = Metrics(settings, operations=operations)
        self.traces: Final = _make_traces() if settings.tracing else None
        told = (self.metrics.runs, Journal())
        self.monitor: Final[Monitor] = Monitors(*told, self.traces) if self.traces else Monitors(*told)
        self.metrics_port: int | None = None
        """Where the metrics are told, if they have a port of their own."""
        self._settings = settings

    def observe(self, *, load: Callable[[], Load], is_tool: Callable[[str], bool]) -> None:
        """Learn of the executor how busy it is, and which names of tools there are."""
        self.metrics.observe(load=load, is_tool=is_tool)

    async def close(self) -> None:
        """Send the last spans, as far as that takes no time to speak of."""
        if self.traces is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_SPANS_SECONDS):
                    await asyncio.to_thread(self.traces.close)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """Watch the event loop in the block, and tell the metrics at their own port if they have one."""
        async with AsyncExitStack() as stack:
            if self._settings.metrics_port is not None:
                port = listening(self.metrics, self._settings.metrics_host, self._settings.metrics_port)
                self.metrics_port = await stack.enter_async_context(port)
            self.metrics.loop_delay.start()
            stack.callback(self.metrics.loop_delay.stop)
            yield


def _make_traces() -> Traces:
    """Load what traces: the library is big, and most do without it."""
    try:
        tracing = import_module("gql_app.telemetry.tracing")
    except ImportError:
        raise MissingExtraError("GQL_APP_TRACING", "otel") from None
    traces: Traces = tracing.Tracing()
    return traces
