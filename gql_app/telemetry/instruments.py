"""What counts, logs and traces one application."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from gql_app.settings import Settings
from gql_app.telemetry.journal import Journal
from gql_app.telemetry.listener import listening
from gql_app.telemetry.metrics import Metrics
from gql_app.telemetry.monitor import Monitor, Monitors
from gql_app.telemetry.process import Load


class Instruments:
    """The metrics of an application, and who is told what goes on in it.

    `operations` are the names of GraphQL operations that the metrics always tell apart.
    """

    def __init__(self, settings: Settings, *, operations: Iterable[str] = ()) -> None:
        self.metrics: Final = Metrics(settings, operations=operations)
        self.monitor: Final[Monitor] = Monitors(self.metrics.runs, Journal())
        self.metrics_port: int | None = None
        """Where the metrics are told, if they have a port of their own."""
        self._settings = settings

    def observe(self, *, load: Callable[[], Load], is_tool: Callable[[str], bool]) -> None:
        """Learn of the executor how busy it is, and which names of tools there are."""
        self.metrics.observe(load=load, is_tool=is_tool)

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
