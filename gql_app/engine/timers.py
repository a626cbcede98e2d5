"""The timers of all runs: one heap, one handle in the loop, and no trace of those that no longer matter."""

import asyncio
import heapq
import math
from typing import Final, Protocol

from gql_app.core.signals import SetTimer

_SMALL: Final = 256


class TimerOwner(Protocol):
    """Whom a timer is for."""

    def timer_due(self, timer: SetTimer) -> None:
        """Hear that a timer is due. It may have become stale: the machine ignores it then."""
        ...

    def timer_matters(self, timer: SetTimer) -> bool:
        """Tell whether a timer can still mean anything."""
        ...


class RunTimers:
    """The timers of one run, until it is closed; what is left of them in the heap then keeps nothing alive."""

    __slots__ = ("owner",)

    def __init__(self, owner: TimerOwner) -> None:
        self.owner: TimerOwner | None = owner

    def close(self) -> None:
        """Forget all timers of the run."""
        self.owner = None


class Timers:
    """Tells owners that their timers are due."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heap: list[tuple[float, int, RunTimers, SetTimer]] = []
        self._count = 0
        self._limit = _SMALL
        self._handle: asyncio.TimerHandle | None = None
        # Not every loop's handle tells when it is due: uvloop's does not if that is at once.
        self._armed = math.inf

    def set(self, run: RunTimers, timer: SetTimer, seconds: float) -> None:
        """Let a timer be due in so many seconds; at once if that is past."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        when = self._loop.time() + (seconds if seconds > 0 else 0.0)
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, run, timer))
        if len(self._heap) > self._limit:
            self._compact()
        if when < self._armed:
            self._arm()

    def close(self) -> None:
        """Forget all timers."""
        self._heap.clear()
        self._arm()

    def _compact(self) -> None:
        """Drop stale timers; the heap may then double before the next time, so that a timer costs constant time."""
        self._heap = [
            entry for entry in self._heap if (owner := entry[2].owner) is not None and owner.timer_matters(entry[3])
        ]
        heapq.heapify(self._heap)
        self._limit = max(_SMALL, 2 * len(self._heap))

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._armed = math.inf
        if self._heap and self._loop is not None:
            self._armed = self._heap[0][0]
            self._handle = self._loop.call_at(self._armed, self._due)

    def _due(self) -> None:
        assert self._loop is not None
        self._handle = None
        now = self._loop.time()
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap))
        self._arm()
        for _, _, run, timer in due:
            if run.owner is not None:
                run.owner.timer_due(timer)
