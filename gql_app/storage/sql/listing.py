"""Lists of runs: every query walks an index in the order asked for, and looks at no more than it shows."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, func, literal, select, true, tuple_, union_all
from sqlalchemy.sql.elements import KeyedColumnElement

from gql_app.core.errors import InvalidCursorError
from gql_app.core.ids import Namespace
from gql_app.core.listing import RunOrderField, RunPage, RunPosition, RunQuery
from gql_app.core.run import RunStatus
from gql_app.core.values import Json
from gql_app.storage.sql.rows import microseconds, summary_of
from gql_app.storage.sql.tables import events, run_labels, runs

LAST: Final = (
    select(func.max(events.c.sequence)).where(events.c.run_id == runs.c.run_id).scalar_subquery().label("sequence")
)
"""The last sequence of a run."""


def list_runs(connection: Connection, namespace: Namespace, query: RunQuery) -> RunPage:
    """Find a page of runs, and whether there are others on either side."""
    listing = Listing(namespace, query, dialect=connection.dialect.name)
    rows = connection.execute(listing.page(query.limit + 1)).all()
    more = len(rows) > query.limit
    skipped = listing.skipped()
    has_skipped = skipped is not None and connection.execute(skipped).first() is not None
    if not more:
        rest = listing.rest()
        more = rest is not None and connection.execute(rest).first() is not None
    found = tuple(map(summary_of, rows[: query.limit]))
    if query.backward:
        return RunPage(found[::-1], has_previous=more, has_next=has_skipped)
    return RunPage(found, has_previous=has_skipped, has_next=more)


AnySelect: TypeAlias = Select[*tuple[Json, ...]]


class Listing:
    """The queries for one page."""

    def __init__(self, namespace: Namespace, query: RunQuery, *, dialect: str) -> None:
        # Postgres takes the two conditions for independent of each other: it would expect one run, and read all.
        self._also_by_time = dialect == "sqlite"
        self._namespace = namespace
        self._query = query
        by_name = query.order.field is RunOrderField.NAME
        self._labels = {run_labels.alias(): label for label in query.filter.labels.items()}
        # Labels stand in the order of creation, too: a list by one of them walks these.
        walked = next(iter(self._labels), runs)
        self._column: KeyedColumnElement[Json] = runs.c.name if by_name else walked.c.created_at
        self._run_id: KeyedColumnElement[Json] = runs.c.run_id if by_name else walked.c.run_id
        self._has_one_name = by_name and query.filter.name is not None
        self._descends = query.order.descending is not query.backward
        """Whether the page is filled from above."""

    def page(self, limit: int) -> AnySelect:
        """Find the runs of the page, from the side it is filled from."""
        query = self._query
        inside = [self._beyond(query.after, ahead=True), self._beyond(query.before, ahead=False)]
        return self._find(inside, limit, descends=self._descends)

    def skipped(self) -> AnySelect | None:
        """Find a run on the side that the page is filled from, if there is a limit there."""
        query = self._query
        ahead = query.backward
        position = query.before if ahead else query.after
        return self._other_side(position, ahead=ahead)

    def rest(self) -> AnySelect | None:
        """Find a run on the other side, if there is a limit there."""
        query = self._query
        ahead = not query.backward
        position = query.before if ahead else query.after
        return self._other_side(position, ahead=ahead)

    def _other_side(self, position: RunPosition | None, *, ahead: bool) -> AnySelect | None:
        """Find a run at a position or beyond it."""
        if position is None:
            return None
        return self._find(
            [self._beyond(position, ahead=ahead, at_it=True)], 1, descends=self._query.order.descending is ahead
        )

    def _find(self, conditions: Sequence[ColumnElement[bool] | None], limit: int, *, descends: bool) -> AnySelect:
        """Find runs that fit the filter. Each status has a part of an index, so each is asked for by itself."""
        given = [condition for condition in conditions if condition is not None]
        statuses: list[RunStatus | None] = [*sorted(self._query.filter.statuses)] or [None]
        parts = [self._part(status, given, limit, descends=descends) for status in statuses]
        if len(parts) == 1:
            return parts[0]
        together = union_all(*(select(part.subquery()) for part in parts)).subquery()
        order = [together.c[self._column.key], together.c.run_id]
        return select(together).order_by(*(each.desc() if descends else each for each in order)).limit(limit)

    def _part(
        self, status: RunStatus | None, conditions: Sequence[ColumnElement[bool]], limit: int, *, descends: bool
    ) -> AnySelect:
        order = [self._run_id] if self._has_one_name else [self._column, self._run_id]
        found = select(*runs.c, LAST).where(runs.c.namespace == self._namespace, *conditions)
        if status is not None:
            found = found.where(runs.c.status == status.value)
        found = self._narrow(found)
        return found.order_by(*(each.desc() if descends else each for each in order)).limit(limit)

    def _narrow(self, found: AnySelect) -> AnySelect:
        wanted = self._query.filter
        if wanted.name is not None:
            found = found.where(runs.c.name == wanted.name)
        if wanted.created_after is not None:
            found = found.where(runs.c.created_at >= microseconds(wanted.created_after))
        if wanted.created_before is not None:
            found = found.where(runs.c.created_at < microseconds(wanted.created_before))
        for label, (name, value) in self._labels.items():
            is_it = (label.c.namespace == self._namespace, label.c.name == name, label.c.value == value)
            found = found.where(*is_it, label.c.run_id == runs.c.run_id)
            if self._also_by_time:
                found = found.where(label.c.created_at == runs.c.created_at)
        return found

    def _beyond(self, position: RunPosition | None, *, ahead: bool, at_it: bool = False) -> ColumnElement[bool] | None:
        """Say that a run stands behind a position in the list (`ahead`) or before it, or perhaps at it."""
        if position is None:
            return None
        below = ahead is self._query.order.descending
        run_id = literal(str(position.run_id), runs.c.run_id.type)
        place: ColumnElement[Json] = tuple_(self._column, self._run_id)
        there: ColumnElement[Json] = tuple_(literal(self._value(position), self._column.type), run_id)
        if self._has_one_name:
            name = self._query.filter.name or ""
            if name != position.value:
                # No id is less than none: that is found to be so in the index.
                return true() if (name < position.value) is below else self._run_id < ""
            place, there = self._run_id, run_id
        if below:
            return place <= there if at_it else place < there
        return place >= there if at_it else place > there

    def _value(self, position: RunPosition) -> str | int:
        if self._query.order.field is RunOrderField.NAME:
            return position.value
        try:
            time = datetime.fromisoformat(position.value)
        except ValueError:
            raise InvalidCursorError(position.value, "it holds no time; use one that a list handed out.") from None
        return microseconds(time if time.tzinfo else time.replace(tzinfo=UTC))
