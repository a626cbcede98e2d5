"""Keeps the runs of a namespace in the orders that lists are asked for."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import TypeAlias

from gql_app.core.errors import InvalidCursorError
from gql_app.core.ids import RunId
from gql_app.core.listing import RunFilter, RunOrderField, RunPage, RunPosition, RunQuery
from gql_app.storage.stored import StoredRun

Key: TypeAlias = tuple[str, RunId]
"""What a list is ordered by; times are written so that their text sorts like them."""


class Shelf:
    """The runs of one namespace, by id and ordered by time and by name."""

    def __init__(self) -> None:
        self._runs: dict[RunId, StoredRun] = {}
        self._keys: dict[RunOrderField, list[Key]] = {field: [] for field in RunOrderField}

    def __bool__(self) -> bool:
        return bool(self._runs)

    def find(self, run_id: RunId) -> StoredRun | None:
        """Find a run."""
        return self._runs.get(run_id)

    def add(self, run: StoredRun) -> None:
        """Put a run in its places."""
        self._runs[run.run_id] = run
        for field, keys in self._keys.items():
            key = _key(run, field)
            if keys and key < keys[-1]:
                insort(keys, key)
            else:
                keys.append(key)

    def remove(self, run: StoredRun) -> None:
        """Take a run out."""
        del self._runs[run.run_id]
        for field, keys in self._keys.items():
            del keys[bisect_left(keys, _key(run, field))]

    def page(self, query: RunQuery) -> RunPage:
        """Find a page. Looks at no more runs than it must to fill it and to see whether there are others."""
        keys = self._keys[query.order.field]
        low, high = _bounds(keys, query)
        ascending = query.order.descending == query.backward
        inside = range(low, high) if ascending else range(high - 1, low - 1, -1)
        before = range(low - 1, -1, -1)
        behind = range(high, len(keys))
        runs = list(islice(self._matching(keys, inside, query.filter), query.limit + 1))
        more = len(runs) > query.limit
        skipped, rest = (before, behind) if ascending else (behind, before)
        has_skipped = any(True for _ in self._matching(keys, skipped, query.filter))
        has_rest = more or any(True for _ in self._matching(keys, rest, query.filter))
        found = tuple(run.summary() for run in runs[: query.limit])
        if query.backward:
            return RunPage(found[::-1], has_previous=has_rest, has_next=has_skipped)
        return RunPage(found, has_previous=has_skipped, has_next=has_rest)

    def _matching(self, keys: list[Key], places: Iterable[int], wanted: RunFilter) -> Iterator[StoredRun]:
        for place in places:
            run = self._runs[keys[place][1]]
            if _matches(run, wanted):
                yield run


def _key(run: StoredRun, field: RunOrderField) -> Key:
    return (_sortable(run.created_at) if field is RunOrderField.CREATED_AT else run.name, run.run_id)


def _sortable(time: datetime) -> str:
    return (time if time.tzinfo is UTC else time.astimezone(UTC)).isoformat(timespec="microseconds")


def _position(position: RunPosition, field: RunOrderField) -> Key:
    if field is RunOrderField.NAME:
        return position.value, position.run_id
    try:
        time = datetime.fromisoformat(position.value)
    except ValueError:
        raise InvalidCursorError(position.value, "it holds no time; use one that a list handed out.") from None
    return _sortable(time if time.tzinfo else time.replace(tzinfo=UTC)), position.run_id


def _bounds(keys: list[Key], query: RunQuery) -> tuple[int, int]:
    """Tell the places between the query's positions."""
    field = query.order.field
    first, last = (query.before, query.after) if query.order.descending else (query.after, query.before)
    low = bisect_right(keys, _position(first, field)) if first else 0
    high = bisect_left(keys, _position(last, field)) if last else len(keys)
    return low, high


def _matches(run: StoredRun, wanted: RunFilter) -> bool:
    return (
        (not wanted.statuses or run.status in wanted.statuses)
        and (wanted.name is None or run.name == wanted.name)
        and (wanted.created_after is None or run.created_at >= wanted.created_after)
        and (wanted.created_before is None or run.created_at < wanted.created_before)
        and all(run.labels.get(name) == value for name, value in wanted.labels.items())
    )
