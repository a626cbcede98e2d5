"""Removes finished runs that have been kept long enough, those that finished first before others."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, func, or_, select

from gql_app.core.ids import Namespace, RunId
from gql_app.settings import Settings
from gql_app.storage.retention import DURABLE, make_retention
from gql_app.storage.sql.entries import RunState
from gql_app.storage.sql.new_rows import remove_runs
from gql_app.storage.sql.rows import AnyRow, Values, instant
from gql_app.storage.sql.tables import events, run_values, runs

AT_ONCE: Final = 200
"""So many runs go in one transaction; others may want to write."""


class Expiry:
    """Counts the finished runs, so that it is known at any time whether one has to go."""

    def __init__(self, settings: Settings) -> None:
        self._kept = make_retention(settings, DURABLE)
        self._known = False
        self._forgotten = 0
        self._bytes = 0
        self._last_number = 0
        self._oldest: datetime | None = None
        self._runs: Counter[Namespace] = Counter()
        self._count = 0

    def forget(self) -> None:
        """Count anew before the next answer."""
        self._known = False
        self._forgotten += 1

    def is_due(self, now: datetime) -> bool:
        """Tell whether a finished run has to go, as far as is known."""
        return self._known and (self._is_first_due(now) or self._crowded() is not None)

    def number(self, connection: Connection, rows: Mapping[RunId, Values], states: Mapping[RunId, RunState]) -> None:
        """Fill in what a run's row tells from its end on, in the order in which they finished."""
        self.know(connection)
        sizes = self._sizes(connection, [run_id for run_id, state in states.items() if state.values is None])
        for run_id, row in rows.items():
            self._last_number += 1
            state = states[run_id]
            size = sum(state.values.values()) + state.shown_bytes if state.values is not None else sizes[run_id]
            row |= {"finish_number": self._last_number, "value_bytes": size}
            self._add(state.namespace, size, row["finished_at"])

    def _sizes(self, connection: Connection, run_ids: Sequence[RunId]) -> Counter[RunId]:
        """Add up the values of runs, and the events that hold what was shown."""
        sizes: Counter[RunId] = Counter()
        if not run_ids:
            return sizes
        values = (
            select(run_values.c.run_id, func.sum(run_values.c.size).label("size"))
            .where(run_values.c.run_id.in_(run_ids))
            .group_by(run_values.c.run_id)
        )
        shown = (
            select(events.c.run_id, func.sum(func.length(events.c.data)).label("size"))
            .where(events.c.run_id.in_(run_ids), or_(*_SHOWN))
            .group_by(events.c.run_id)
        )
        for summed in (values, shown):
            for row in connection.execute(summed):
                sizes[RunId(row.run_id)] += int(row.size)
        return sizes

    def remove(self, connection: Connection, run_ids: Sequence[RunId]) -> None:
        """Hear that finished runs are removed."""
        if self._known and run_ids:
            self._subtract(connection.execute(_FINISHED.where(runs.c.run_id.in_(run_ids))).all())

    def remove_due(self, connection: Connection, now: datetime) -> list[RunId]:
        """Remove what has to go, or the first part of it."""
        self.know(connection)
        removed: list[RunId] = []
        while len(removed) < AT_ONCE:
            due = self._find_due(connection, now)
            if not due:
                break
            self._subtract(due)
            gone = [RunId(row.run_id) for row in due]
            remove_runs(connection, gone)
            removed += gone
        if removed:
            self._oldest = self._find_oldest(connection)
        return removed

    def _find_due(self, connection: Connection, now: datetime) -> Sequence[AnyRow]:
        crowded = self._crowded()
        if crowded is not None:
            assert self._kept.runs_each is not None
            surplus = min(self._runs[crowded] - self._kept.runs_each, AT_ONCE)
            return connection.execute(_FINISHED.where(runs.c.namespace == crowded).limit(surplus)).all()
        first = connection.execute(_FINISHED.limit(AT_ONCE)).all()
        due: list[AnyRow] = []
        count, size = self._count, self._bytes
        for row in first:
            if not self._has_to_go(instant(row.finished_at), count, size, now):
                break
            due.append(row)
            count, size = count - 1, size - row.value_bytes
        if not first:
            # Others have removed them.
            self.forget()
        elif len(due) < len(first):
            self._oldest = instant(first[len(due)].finished_at)
        return due

    def _has_to_go(self, finished_at: datetime, count: int, size: int, now: datetime) -> bool:
        kept = self._kept
        return (
            (kept.runs is not None and count > kept.runs)
            or (kept.age is not None and finished_at + kept.age <= now)
            or (kept.value_bytes is not None and size > kept.value_bytes and count > 1)
        )

    def _is_first_due(self, now: datetime) -> bool:
        return self._oldest is not None and self._has_to_go(self._oldest, self._count, self._bytes, now)

    def _crowded(self) -> Namespace | None:
        """Name a namespace that has too many."""
        most = self._kept.runs_each
        if most is None:
            return None
        return next((namespace for namespace, count in self._runs.items() if count > most), None)

    def know(self, connection: Connection) -> None:
        """Count them, unless that is done."""
        if self._known:
            return
        forgotten = self._forgotten
        counted = (
            select(
                runs.c.namespace,
                func.count().label("number"),
                func.sum(runs.c.value_bytes).label("size"),
                func.max(runs.c.finish_number).label("last"),
            )
            .where(runs.c.finish_number.is_not(None))
            .group_by(runs.c.namespace)
        )
        rows = connection.execute(counted).all()
        self._runs = Counter({Namespace(row.namespace): row.number for row in rows})
        self._count = self._runs.total()
        self._bytes = sum(int(row.size) for row in rows)
        self._last_number = max((row.last for row in rows), default=0)
        self._oldest = self._find_oldest(connection)
        # While it was being counted somebody may have told that it has changed.
        self._known = forgotten == self._forgotten

    def _find_oldest(self, connection: Connection) -> datetime | None:
        row = connection.execute(_FINISHED.limit(1)).first()
        return None if row is None else instant(row.finished_at)

    def _add(self, namespace: Namespace, size: int, finished_at: int) -> None:
        self._runs[namespace] += 1
        self._count += 1
        self._bytes += size
        if self._oldest is None:
            self._oldest = instant(finished_at)

    def _subtract(self, rows: Sequence[AnyRow]) -> None:
        for row in rows:
            self._runs[Namespace(row.namespace)] -= 1
            self._count -= 1
            self._bytes -= row.value_bytes


_BEGINNINGS: Final = (b'{"type":"NodeOutputChunk/', b'{"type":"NodeLog/')
"""How events are encoded that hold what was shown."""
_SHOWN: Final = tuple(func.substr(events.c.data, 1, len(start)) == start for start in _BEGINNINGS)
_FINISHED: Final = (
    select(runs.c.run_id, runs.c.namespace, runs.c.value_bytes, runs.c.finished_at)
    .where(runs.c.finish_number.is_not(None))
    .order_by(runs.c.finish_number, runs.c.run_id)
)
