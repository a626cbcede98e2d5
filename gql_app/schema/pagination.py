"""Lists of runs in pages, with cursors that name a place and know the list they belong to."""

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

import msgspec
import strawberry
from strawberry.scalars import JSON

from gql_app.core.errors import InvalidArgumentError, InvalidCursorError
from gql_app.core.ids import Namespace, RunId
from gql_app.core.listing import RunFilter, RunOrder, RunPosition, RunQuery, RunSummary
from gql_app.core.values import Json
from gql_app.schema.enums import OrderDirection, RunOrderField, RunStatus
from gql_app.schema.run import WorkflowRun

DEFAULT_PAGE: Final = 20
MAXIMUM_PAGE: Final = 100
MAXIMUM_CURSOR: Final = 4096


@strawberry.input
class WorkflowFilter:
    """Which runs a list shows. All conditions hold together; what is left out or null is no condition."""

    statuses: list[RunStatus] | None = strawberry.field(default=None, description="In one of these statuses.")
    name: str | None = strawberry.field(default=None, description="Of exactly this name.")
    created_after: datetime | None = strawberry.field(default=None, description="Submitted then or later.")
    created_before: datetime | None = strawberry.field(default=None, description="Submitted before then.")
    labels: JSON | None = strawberry.field(
        default=None, description="With all these labels: an object of strings, as in the document."
    )


@strawberry.input
class WorkflowOrder:
    """How a list is ordered; the runs' ids break ties."""

    field: RunOrderField = strawberry.field(
        default=RunOrderField.CREATED_AT, description="What the list is ordered by."
    )
    direction: OrderDirection = strawberry.field(default=OrderDirection.DESC, description="Which end comes first.")


@strawberry.type
class PageInfo:
    """Where a page stands in its list."""

    has_next_page: bool = strawberry.field(description="Whether the list goes on behind the page.")
    has_previous_page: bool = strawberry.field(description="Whether there is something before the page.")
    start_cursor: str | None = strawberry.field(description="The cursor of the page's first run.")
    end_cursor: str | None = strawberry.field(description="The cursor of the page's last run.")


@strawberry.type
class WorkflowEdge:
    """A run in a list."""

    cursor: str = strawberry.field(description="The run's place, for `after` and `before` of the same list.")
    node: WorkflowRun = strawberry.field(description="The run.")


@strawberry.type
class WorkflowConnection:
    """A page of a list of runs."""

    edges: list[WorkflowEdge] = strawberry.field(description="The runs with their cursors.")
    nodes: list[WorkflowRun] = strawberry.field(description="The runs alone.")
    page_info: PageInfo = strawberry.field(description="Where the page stands in its list.")


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    """What a cursor holds: the list it belongs to (its namespace, order and filter, digested), and a place there."""

    version: int
    list: str
    value: str
    run_id: str


class Pages:
    """One list of a namespace, by its filter and order: makes queries for its pages and cursors for its runs."""

    def __init__(self, namespace: Namespace, filter: WorkflowFilter | None, order: WorkflowOrder | None) -> None:
        order = order or WorkflowOrder()
        self._filter = _make_filter(filter or WorkflowFilter())
        self._order = RunOrder(field=order.field, descending=order.direction is OrderDirection.DESC)
        self._name = _name(namespace, self._filter, self._order)

    def query(self, *, first: int | None, after: str | None, last: int | None, before: str | None) -> RunQuery:
        """Make the query for a page. Raises `InvalidArgumentError` and `InvalidCursorError`."""
        if first is not None and last is not None:
            raise InvalidArgumentError("last", last, "give first or last, not both.")
        for name, limit in (("first", first), ("last", last)):
            if limit is not None and not 1 <= limit <= MAXIMUM_PAGE:
                raise InvalidArgumentError(name, limit, f"it must be from 1 to {MAXIMUM_PAGE}.")
        return RunQuery(
            limit=first or last or DEFAULT_PAGE,
            filter=self._filter,
            order=self._order,
            after=self._position(after),
            before=self._position(before),
            backward=last is not None,
        )

    def cursor(self, run: RunSummary) -> str:
        """Name a run's place."""
        value = run.name if self._order.field is RunOrderField.NAME else run.created_at.astimezone(UTC).isoformat()
        data = msgspec.json.encode(_Cursor(1, self._name, value, run.run_id))
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def _position(self, cursor: str | None) -> RunPosition | None:
        if cursor is None:
            return None
        try:
            if len(cursor) > MAXIMUM_CURSOR:
                raise ValueError("too long")
            data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            place = msgspec.json.decode(data, type=_Cursor)
            if self._order.field is RunOrderField.CREATED_AT and place.list == self._name:
                datetime.fromisoformat(place.value)
        except (ValueError, binascii.Error, msgspec.DecodeError):
            raise InvalidCursorError(cursor[:80], "it is none of ours; use one from a page of this list.") from None
        if place.version != 1 or place.list != self._name:
            reason = "it belongs to a list with another filter or order; begin again without a cursor."
            raise InvalidCursorError(cursor[:80], reason)
        return RunPosition(place.value, RunId(place.run_id))


def make_page_info(cursors: Sequence[str], *, has_previous: bool, has_next: bool) -> PageInfo:
    """Tell where a page stands whose runs have these cursors."""
    return PageInfo(
        has_next_page=has_next,
        has_previous_page=has_previous,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )


def _make_filter(filter: WorkflowFilter) -> RunFilter:
    return RunFilter(
        statuses=frozenset(filter.statuses or ()),
        name=filter.name,
        created_after=filter.created_after,
        created_before=filter.created_before,
        labels=_make_labels(filter.labels),
    )


def _make_labels(labels: Json) -> dict[str, str]:
    if labels is None:
        return {}
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise InvalidArgumentError(
            "filter.labels", labels, 'it must be an object of strings, such as {"team": "core"}.'
        )
    return labels


def _name(namespace: Namespace, filter: RunFilter, order: RunOrder) -> str:
    """Digest what makes a list the list it is."""
    parts = [
        namespace,
        order.field,
        order.descending,
        sorted(filter.statuses),
        filter.name,
        filter.created_after,
        filter.created_before,
        sorted(filter.labels.items()),
    ]
    return sha256(msgspec.json.encode(parts)).hexdigest()[:16]
