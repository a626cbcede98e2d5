"""The timers of one run: a heap, one handle in the loop, and no trace of those that no longer matter."""

import asyncio
import heapq
from collections.abc import Callable

from gql_app.core.signals import SetTimer

_SMALL = 64


class Timers:
    """Calls `fire` when a timer is due. A timer that has become stale may fire: the machine ignores it."""

    def __init__(self, fire: Callable[[list[SetTimer]], None], live: Callable[[SetTimer], bool]) -> None:
        self._loop = asyncio.get_running_loop()
        self._fire = fire
        self._live = live
        self._heap: list[tuple[float, int, SetTimer]] = []
        self._count = 0
        self._limit = _SMALL
        self._handle: asyncio.TimerHandle | None = None

    def set(self, timer: SetTimer, seconds: float) -> None:
        """Let a timer be due in so many seconds; at once if that is past."""
        when = self._loop.time() + max(seconds, 0.0)
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, timer))
        if len(self._heap) > self._limit:
            self._compact()
        if self._handle is None or when < self._handle.when():
            self._arm()

    def close(self) -> None:
        """Forget all timers."""
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _compact(self) -> None:
        """Drop stale timers; the heap may then double before the next time, so that a timer costs constant time."""
        self._heap = [entry for entry in self._heap if self._live(entry[2])]
        heapq.heapify(self._heap)
        self._limit = max(_SMALL, 2 * len(self._heap))

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_at(self._heap[0][0], self._due) if self._heap else None

    def _due(self) -> None:
        self._handle = None
        now = self._loop.time()
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        self._arm()
        if due:
            self._fire(due)
