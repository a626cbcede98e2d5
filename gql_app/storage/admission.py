"""Which runs are taken: the rule that every store keeps, by what it has stored."""

from collections import Counter, deque
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from gql_app.core.errors import OverloadedError
from gql_app.core.ids import Namespace
from gql_app.core.run import RunStatus
from gql_app.settings import Settings

REMEMBERED_RUNS: Final = 64
"""So many of the last durations tell when the next run will end."""
UNKNOWN_SECONDS: Final = 5.0
"""When to come back if no run has ended yet."""


class Admission:
    """Counts the runs that have not ended: those that have begun, and those that wait for their turn.

    A run is taken if it can begin at once, or else if there is room for one more that waits.
    """

    def __init__(self, settings: Settings) -> None:
        self._active_limit = settings.maximum_active_runs
        self._active_limit_each = settings.maximum_active_runs_per_namespace
        self._queued_limit = settings.maximum_queued_runs
        self._queued_limit_each = settings.maximum_queued_runs_per_namespace
        self._active: Counter[Namespace] = Counter()
        self._pending: Counter[Namespace] = Counter()
        self._all_active = 0
        self._all_pending = 0
        self._all_starting = 0
        self._durations: deque[float] = deque(maxlen=REMEMBERED_RUNS)

    def admit(self, namespace: Namespace) -> None:
        """Check that there is room for one more run. Raises `OverloadedError`."""
        others = self._all_starting - self._starting(namespace)
        places = self._active_limit - self._all_active - others
        places_here = min(places, self._active_limit_each - self._active[namespace])
        queued_here = self._pending[namespace] + 1 - max(places_here, 0)
        starting = min(self._active_limit - self._all_active, others + self._starting(namespace, one_more=True))
        queued = self._all_pending + 1 - max(starting, 0)
        if queued_here > self._queued_limit_each:
            raise self._refusal("of your namespace ", self._active_limit_each, self._queued_limit_each)
        if queued > self._queued_limit:
            raise self._refusal("", self._active_limit, self._queued_limit)

    def add(self, namespace: Namespace, status: RunStatus) -> None:
        """Count a run that has not ended."""
        self._move(namespace, None, status)

    def change(self, namespace: Namespace, before: RunStatus, after: RunStatus, took: timedelta | None) -> None:
        """Count a run elsewhere; one that has ended `took` so long since it began, if it began."""
        self._move(namespace, before, after)
        if after.final and took is not None:
            self.record(took)

    def record(self, took: timedelta) -> None:
        """Remember how long a run took."""
        self._durations.append(took.total_seconds())

    def recount(self, counts: Mapping[tuple[Namespace, RunStatus], int]) -> None:
        """Take the numbers of the runs that have not ended from somebody who has counted them."""
        self._active.clear()
        self._pending.clear()
        for (namespace, status), number in counts.items():
            (self._pending if status is RunStatus.PENDING else self._active)[namespace] += number
        self._all_active, self._all_pending = self._active.total(), self._pending.total()
        self._all_starting = sum(map(self._starting, self._pending))

    def retry_after_seconds(self) -> float:
        """Estimate when the next run will have ended, from how long the last ones took: 1 to 60."""
        if not self._durations:
            return UNKNOWN_SECONDS
        mean = sum(self._durations) / len(self._durations)
        return float(min(max(round(mean / max(self._all_active, 1)), 1), 60))

    def _move(self, namespace: Namespace, before: RunStatus | None, after: RunStatus) -> None:
        starting = self._starting(namespace)
        for status, count in ((before, -1), (after, 1)):
            if status is RunStatus.PENDING:
                self._pending[namespace] += count
                self._all_pending += count
            elif status is not None and not status.final:
                self._active[namespace] += count
                self._all_active += count
        self._all_starting += self._starting(namespace) - starting
        for counter in (self._pending, self._active):
            if not counter[namespace]:
                del counter[namespace]

    def _starting(self, namespace: Namespace, *, one_more: bool = False) -> int:
        """Count the waiting runs of a namespace that its own limit would let begin."""
        room = max(self._active_limit_each - self._active[namespace], 0)
        return min(room, self._pending[namespace] + one_more)

    def _refusal(self, whose: str, active: int, queued: int) -> OverloadedError:
        reason = f"{active} runs {whose}are under way and {queued} wait for their turn, as many as there may be."
        return OverloadedError(reason, self.retry_after_seconds())
