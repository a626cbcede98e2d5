"""What is read of the process and its executor when somebody asks, and how late the event loop is."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from prometheus_client.core import GaugeMetricFamily, Metric

from gql_app.telemetry.tallies import Histograms

SAMPLE_SECONDS: Final = 0.5


class Load(Protocol):
    """How busy an executor is."""

    @property
    def runs(self) -> int:
        """Runs in flight."""
        ...

    @property
    def queued_runs(self) -> int:
        """Runs that wait for their turn."""
        ...

    @property
    def attempts(self) -> int:
        """Attempts in flight."""
        ...

    @property
    def queued(self) -> int:
        """Nodes that wait for a slot."""
        ...

    @property
    def leftovers(self) -> int:
        """Calls whose attempt has ended but that still go on."""
        ...


class LoadMetrics:
    """How busy an executor is, once there is one; at most `slots` attempts may be in flight."""

    def __init__(self, slots: int) -> None:
        self.load: Callable[[], Load] | None = None
        self._slots = slots

    def collect(self) -> Iterator[Metric]:
        """Tell how busy it is now."""
        if self.load is None:
            return
        load = self.load()
        yield GaugeMetricFamily("gql_app_runs_active", "Runs in flight.", value=load.runs)
        yield GaugeMetricFamily("gql_app_runs_queued", "Runs that wait for their turn.", value=load.queued_runs)
        yield GaugeMetricFamily("gql_app_nodes_queued", "Nodes that wait for a slot.", value=load.queued)
        yield GaugeMetricFamily("gql_app_slots_in_use", "Attempts in flight.", value=load.attempts)
        yield GaugeMetricFamily("gql_app_slots_limit", "Attempts that may be in flight at once.", value=self._slots)
        yield GaugeMetricFamily(
            "gql_app_leftovers", "Calls of tools that go on although their attempts have ended.", value=load.leftovers
        )


class LoopDelay:
    """Asks the event loop now and then to call back, and counts how late it does."""

    def __init__(self) -> None:
        self._delays = Histograms("gql_app_event_loop_delay_seconds", "How late the event loop called back.")
        self._delay = self._delays.of()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, on the running loop."""
        self._ask(asyncio.get_running_loop())

    def stop(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()

    def collect(self) -> Iterator[Metric]:
        """Tell how late it was."""
        yield from self._delays.collect()

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + SAMPLE_SECONDS
        self._timer = loop.call_at(due, self._called_back, loop, due)

    def _called_back(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._delay.observe(max(0.0, loop.time() - due))
        self._ask(loop)
