"""What counts, logs and traces one application."""

from collections.abc import Callable
from typing import Final

from gql_app.settings import Settings
from gql_app.telemetry.journal import Journal
from gql_app.telemetry.metrics import Metrics
from gql_app.telemetry.monitor import Monitor, Monitors
from gql_app.telemetry.process import Load


class Instruments:
    """The metrics of an application, and who is told what goes on in it."""

    def __init__(self, settings: Settings) -> None:
        self.metrics: Final = Metrics(slots=settings.maximum_attempts_in_flight)
        self.monitor: Final[Monitor] = Monitors(self.metrics.runs, Journal())

    def observe(self, *, load: Callable[[], Load], is_tool: Callable[[str], bool]) -> None:
        """Learn of the executor how busy it is, and which names of tools there are."""
        self.metrics.observe(load=load, is_tool=is_tool)
