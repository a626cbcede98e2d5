"""The metrics of one application, in a registry of its own, and how they are told."""

from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, Info, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from gql_app.settings import Settings
from gql_app.telemetry.process import Load, LoadMetrics, LoopDelay
from gql_app.telemetry.requests import HttpMetrics, OperationMetrics
from gql_app.telemetry.runs import RunMetrics


class Metrics:
    """Everything that is counted of an application. `operations` are the names that are always told apart."""

    def __init__(self, settings: Settings, *, operations: Iterable[str] = ()) -> None:
        self._load = LoadMetrics(settings.maximum_attempts_in_flight)
        self._registry = CollectorRegistry()
        self.runs: Final = RunMetrics()
        self.http: Final = HttpMetrics()
        self.operations: Final = OperationMetrics(settings.maximum_operation_names, operations)
        self.loop_delay: Final = LoopDelay()
        Info("gql_app_build", "The version of the service.", registry=self._registry).info(
            {"version": version("gql-app")}
        )
        for collector in (self.runs, self._load, self.http, self.operations, self.loop_delay):
            self.add(collector)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def add(self, collector: Collector) -> None:
        """Tell what it collects, too."""
        self._registry.register(collector)

    def observe(self, *, load: Callable[[], Load], is_tool: Callable[[str], bool]) -> None:
        """Learn of the executor how busy it is, and which names of tools there are."""
        self.runs.is_tool = is_tool
        self._load.load = load

    def expose(self, accept: str = "") -> tuple[bytes, str]:
        """Write everything in a format that the header `Accept` asks for, and tell its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type
