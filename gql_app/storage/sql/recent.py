"""The last events of the runs that this process writes: most reads ask for nothing else."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from gql_app.core.events import RunEvent
from gql_app.core.ids import Namespace, RunId

MAXIMUM_RUNS: Final = 2_000
MAXIMUM_EVENTS: Final = 50_000


class _Tail:
    """The events of a run from one of them on, up to the last one there is."""

    __slots__ = ("events", "first", "namespace")

    def __init__(self, namespace: Namespace, first: int) -> None:
        self.namespace = namespace
        self.first = first
        self.events: list[RunEvent] = []


class RecentEvents:
    """Tails of logs. They are whole only as long as nobody else writes these logs: clear them when that may be."""

    def __init__(self) -> None:
        self._tails: OrderedDict[RunId, _Tail] = OrderedDict()
        self._count = 0

    def add(self, namespace: Namespace, run_id: RunId, events: Sequence[RunEvent]) -> None:
        """Remember events that were stored; those that stood there before already are known."""
        if not events:
            return
        tail = self._tails.get(run_id)
        if tail is None:
            tail = self._tails[run_id] = _Tail(namespace, events[0].sequence)
        else:
            self._tails.move_to_end(run_id)
        following = tail.first + len(tail.events)
        if events[0].sequence == following:
            tail.events += events
            self._count += len(events)
        elif events[-1].sequence >= following:
            self.drop(run_id)
        while len(self._tails) > MAXIMUM_RUNS or (self._count > MAXIMUM_EVENTS and len(self._tails) > 1):
            self._count -= len(self._tails.popitem(last=False)[1].events)

    def read(self, namespace: Namespace, run_id: RunId, after: int, limit: int) -> Sequence[RunEvent] | None:
        """Give up to `limit` events after the sequence `after`; None if they are not all known."""
        tail = self._tails.get(run_id)
        if tail is None or tail.namespace != namespace or after < tail.first - 1:
            return None
        start = after - tail.first + 1
        return tail.events[start : start + limit]

    def last(self, run_id: RunId) -> int | None:
        """Tell the last sequence of a run of which something is known."""
        tail = self._tails.get(run_id)
        return None if tail is None else tail.first + len(tail.events) - 1

    def drop(self, run_id: RunId) -> None:
        """Forget a run."""
        tail = self._tails.pop(run_id, None)
        if tail is not None:
            self._count -= len(tail.events)

    def clear(self) -> None:
        """Forget all."""
        self._tails.clear()
        self._count = 0
