"""Runs as rows, and back."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import msgspec
from sqlalchemy import Row

from gql_app.core.codec import decode_events
from gql_app.core.errors import CorruptRunError
from gql_app.core.events import (
    RunEvent,
    WorkflowSubmitted,
)
from gql_app.core.ids import Namespace, RunId
from gql_app.core.listing import RunSummary
from gql_app.core.run import RunStatus
from gql_app.core.signals import CancelRequested
from gql_app.core.values import Json
from gql_app.ports import Letter

Values: TypeAlias = dict[str, Json]
"""A row that is to be written."""
AnyRow: TypeAlias = Row[*tuple[Json, ...]]
"""A row that was read."""

logger: Final = logging.getLogger(__name__)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


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
    """Read the summary of a run, whose row also tells its last sequence. Raises `CorruptRunError`."""
    try:
        return RunSummary(
            run_id=RunId(row.run_id),
            namespace=Namespace(row.namespace),
            name=row.name,
            status=RunStatus(row.status),
            sequence=row.sequence or 0,
            created_at=instant(row.created_at),
            started_at=None if row.started_at is None else instant(row.started_at),
            finished_at=None if row.finished_at is None else instant(row.finished_at),
            labels=msgspec.json.decode(row.labels, type=dict[str, str]),
            retry_of=None if row.retry_of is None else RunId(row.retry_of),
        )
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError) as error:
        raise CorruptRunError(RunId(row.run_id), f"its summary is damaged ({error})") from None


def letter_of(row: AnyRow) -> Letter:
    """Read a letter. Of one that is damaged the run is all that is known: its executor has a look at it."""
    try:
        signal = None if row.signal is None else msgspec.json.decode(row.signal, type=CancelRequested)
    except (msgspec.MsgspecError, ValueError) as error:
        logger.error("A letter about run %s is damaged (%s).", row.run_id, error)
        signal = None
    return Letter(id=row.id, namespace=Namespace(row.namespace), run_id=RunId(row.run_id), signal=signal)


def read_events(run_id: RunId, after: int, data: list[bytes]) -> list[RunEvent]:
    """Decode the events that follow the sequence `after`. Raises `CorruptRunError`."""
    try:
        events = decode_events(b"[%b]" % b",".join(data))
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise CorruptRunError(run_id, f"an event after sequence {after} is damaged ({error})") from None
    for sequence, event in enumerate(events, after + 1):
        if event.sequence != sequence:
            raise CorruptRunError(run_id, f"event {sequence} is missing")
    return events
