"""Runs as rows, and back."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import msgspec
from sqlalchemy import Row

from gql_app.core.codec import decode_events
from gql_app.core.errors import CorruptRunError
from gql_app.core.events import (
    Event,
    RunEvent,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    WorkflowStopping,
    WorkflowSubmitted,
    WorkflowTimedOut,
)
from gql_app.core.ids import Namespace, RunId
from gql_app.core.listing import RunSummary
from gql_app.core.run import RunStatus
from gql_app.core.values import Json

Values: TypeAlias = dict[str, Json]
"""A row that is to be written."""
AnyRow: TypeAlias = Row[*tuple[Json, ...]]
"""A row that was read."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

STATUS: Final[Mapping[type[Event], RunStatus]] = {
    WorkflowStarted: RunStatus.RUNNING,
    WorkflowStopping: RunStatus.STOPPING,
    WorkflowCompleted: RunStatus.COMPLETED,
    WorkflowFailed: RunStatus.FAILED,
    WorkflowCancelled: RunStatus.CANCELLED,
    WorkflowTimedOut: RunStatus.TIMED_OUT,
}
"""What an event makes of the status of its run; the others leave it as it is."""


def microseconds(time: datetime) -> int:
    """Write an instant."""
    return (time - _EPOCH) // _MICROSECOND


def instant(count: int) -> datetime:
    """Read an instant."""
    return _EPOCH + timedelta(microseconds=count)


def row_of(first: WorkflowSubmitted) -> Values:
    """Make the row of a new run."""
    return {
        "run_id": first.run_id,
        "namespace": first.namespace,
        "name": first.plan.name,
        "status": RunStatus.PENDING.value,
        "created_at": microseconds(first.at),
        "started_at": None,
        "finished_at": None,
        "finish_number": None,
        "retry_of": first.retry_of,
        "labels": msgspec.json.encode(first.labels).decode(),
        "idempotency_key": None,
        "fingerprint": None,
        "value_bytes": 0,
    }


def summary_of(row: AnyRow) -> RunSummary:
    """Read the summary of a run, whose row also tells its last sequence."""
    return RunSummary(
        run_id=RunId(row.run_id),
        namespace=Namespace(row.namespace),
        name=row.name,
        status=RunStatus(row.status),
        sequence=row.sequence,
        created_at=instant(row.created_at),
        started_at=None if row.started_at is None else instant(row.started_at),
        finished_at=None if row.finished_at is None else instant(row.finished_at),
        labels=msgspec.json.decode(row.labels, type=dict[str, str]),
        retry_of=None if row.retry_of is None else RunId(row.retry_of),
    )


def read_events(run_id: RunId, after: int, data: list[bytes]) -> list[RunEvent]:
    """Decode the events that follow the sequence `after`. Raises `CorruptRunError`."""
    try:
        events = decode_events(b"[%b]" % b",".join(data))
    except (msgspec.MsgspecError, ValueError) as error:
        raise CorruptRunError(run_id, f"an event after sequence {after} is damaged ({error})") from None
    for sequence, event in enumerate(events, after + 1):
        if event.sequence != sequence:
            raise CorruptRunError(run_id, f"event {sequence} is missing")
    return events
