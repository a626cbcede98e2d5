"""How runs are listed: by which conditions, in which order, and which page of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from gql_app.core.ids import Namespace, RunId
from gql_app.core.run import RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run as lists show it."""

    run_id: RunId
    namespace: Namespace
    name: str
    status: RunStatus
    sequence: int
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    retry_of: RunId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs a list shows: all conditions hold together; an empty one does not count."""

    statuses: frozenset[RunStatus] = frozenset()
    name: str | None = None
    """The exact name."""
    created_after: datetime | None = None
    """At or after."""
    created_before: datetime | None = None
    """Before."""
    labels: Mapping[str, str] = field(default_factory=dict)


class RunOrderField(StrEnum):
    """What a list is ordered by; the run id breaks ties."""

    CREATED_AT = "CREATED_AT"
    NAME = "NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """How a list is ordered."""

    field: RunOrderField = RunOrderField.CREATED_AT
    descending: bool = True


@dataclass(frozen=True, slots=True)
class RunPosition:
    """A place in an ordered list: the value ordered by (ISO time or name), then the run id. Need not be a run's."""

    value: str
    run_id: RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """A page of a list: `limit` runs between two positions, the last of them when `backward`, always in list order."""

    limit: int = 20
    filter: RunFilter = RunFilter()
    order: RunOrder = RunOrder()
    after: RunPosition | None = None
    before: RunPosition | None = None
    backward: bool = False


@dataclass(frozen=True, slots=True)
class RunPage:
    """What a query found."""

    runs: tuple[RunSummary, ...]
    has_previous: bool
    has_next: bool
