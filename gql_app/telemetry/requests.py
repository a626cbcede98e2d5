"""Counts requests, GraphQL operations and subscribers."""

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric

from gql_app.telemetry.runs import OTHER
from gql_app.telemetry.tallies import Counts, Histograms

ANONYMOUS: Final = "anonymous"
"""Stands for operations without a name."""
UNKNOWN: Final = "unknown"
"""Stands for what was refused before anybody knew what it is."""
COMPLETED: Final = "COMPLETED"
FAILED: Final = "FAILED"
"""There were errors."""
CANCELLED: Final = "CANCELLED"
"""The client went away, or did not want to hear any more."""
REFUSED: Final = "REFUSED"
"""It could not begin."""

_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class HttpMetrics:
    """Requests and connections."""

    def __init__(self) -> None:
        self.websockets = 0
        self._requests = Counts(
            "gql_app_http_requests", "Requests that were answered; 101 is a websocket.", "route", "method", "status"
        )
        self._durations = Histograms(
            "gql_app_http_request_duration_seconds", "What answers took, but for streams and websockets.", "route"
        )

    def count(self, route: str, method: str, status: int | None, seconds: float | None) -> None:
        """Count a request; without a status its client went away, without seconds it was a stream."""
        shown = "none" if status is None else str(status)
        self._requests.add(route, method if method in _METHODS else OTHER, shown)
        if seconds is not None:
            self._durations.of(route).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Tell everything that was counted."""
        yield from self._requests.collect()
        yield from self._durations.collect()
        yield GaugeMetricFamily("gql_app_websockets", "Websockets that are open.", value=self.websockets)


class OperationMetrics:
    """GraphQL operations by name, as long as there are at most `names` of them beside those known from the start."""

    def __init__(self, names: int, known: Iterable[str] = ()) -> None:
        self._room = names
        self._names = {UNKNOWN, OTHER, ANONYMOUS, *known}
        self._operations = Counts(
            "gql_app_graphql_operations", "GraphQL operations that have ended.", "operation", "kind", "outcome"
        )
        self._durations = Histograms(
            "gql_app_graphql_operation_duration_seconds", "What queries and mutations took.", "operation", "kind"
        )
        self._subscribers: dict[str, int] = {}
        self._messages = Counts("gql_app_subscription_messages", "Messages sent to subscribers.", "transport")

    def count(
        self, name: str | None, kind: str, outcome: str, seconds: float | None = None, *, trusted: bool = False
    ) -> None:
        """Count an operation that has ended; one that took `seconds` unless it was a subscription.

        Those of trusted documents are always told apart: there are only so many.
        """
        if trusted and name is not None:
            self._names.add(name)
        shown = self._shown(name)
        self._operations.add(shown, kind, outcome)
        if seconds is not None:
            self._durations.of(shown, kind).observe(seconds)

    def refused(self) -> None:
        """Count one that could not begin. Nothing of what its client wrote is trusted to be a name."""
        self._operations.add(UNKNOWN, UNKNOWN, REFUSED)

    def subscribed(self, transport: str, change: int) -> None:
        """Count a subscriber that comes, or (-1) goes."""
        self._subscribers[transport] = self._subscribers.get(transport, 0) + change

    def delivered(self, transport: str) -> None:
        """Count a message to a subscriber."""
        self._messages.add(transport)

    def collect(self) -> Iterator[Metric]:
        """Tell everything that was counted."""
        yield from self._operations.collect()
        yield from self._durations.collect()
        subscribers = GaugeMetricFamily("gql_app_subscribers", "Subscriptions that go on.", labels=["transport"])
        for transport, count in self._subscribers.items():
            subscribers.add_metric([transport], count)
        yield subscribers
        yield from self._messages.collect()

    def _shown(self, name: str | None) -> str:
        if name is None:
            return ANONYMOUS
        if name not in self._names:
            if not self._room:
                return OTHER
            self._room -= 1
            self._names.add(name)
        return name
