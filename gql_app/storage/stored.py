"""One run as the store in memory keeps it."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from gql_app.core.codec import encode_events
from gql_app.core.events import (
    RunEvent,
    WorkflowSubmitted,
)
from gql_app.core.listing import RunSummary
from gql_app.core.run import RunStatus
from gql_app.storage.compact import CompactLog
from gql_app.storage.shown import shown_bytes
from gql_app.storage.statuses import STATUS


class StoredRun:
    """A run's log, the values beside it, and what lists show of it."""

    __slots__ = (
        "_log",
        "_waiting",
        "created_at",
        "finished_at",
        "idempotency_key",
        "labels",
        "name",
        "namespace",
        "retry_of",
        "run_id",
        "sequence",
        "started_at",
        "status",
        "value_bytes",
        "values",
    )

    def __init__(self, submitted: WorkflowSubmitted) -> None:
        self.namespace = submitted.namespace
        self.run_id = submitted.run_id
        self.name = submitted.plan.name
        self.labels = submitted.labels
        self.retry_of = submitted.retry_of
        self.created_at = submitted.at
        self.started_at: datetime | None = None
        self.finished_at: datetime | None = None
        self.status = RunStatus.PENDING
        self.sequence = 0
        self.idempotency_key: str | None = None
        self.values: dict[str, bytes] = {}
        self.value_bytes = 0
        self._log: list[RunEvent] | CompactLog = []
        self._waiting: dict[asyncio.Future[None], None] | None = None
        """In the order in which they came; none for most runs, of which there are many."""

    def append(self, events: Sequence[RunEvent], values: Mapping[str, bytes]) -> None:
        """Append what follows, all or none, and wake whoever waits. Raises `ValueError` for what does not."""
        if self.finished_at is not None or not isinstance(self._log, list):
            raise ValueError(f"Run {self.run_id} has ended ({self.status}); nothing can follow.")
        sequence = self.sequence
        changes = []
        for event in events:
            sequence += 1
            if event.sequence != sequence:
                raise ValueError(f"Run {self.run_id}: event {event.sequence} stands where {sequence} belongs.")
            if type(event) in STATUS:
                changes.append(event)
        self._log.extend(events)
        self.sequence = sequence
        self.value_bytes += shown_bytes(events)
        for event in changes:
            self._change(event)
        if values:
            self._keep(values)
        if self._waiting:
            self.wake()

    def holds(self, after: int, events: Sequence[RunEvent]) -> bool:
        """Tell whether these very events stand after the sequence `after`."""
        return after <= self.sequence and encode_events(self.read(after, len(events))) == encode_events(events)

    def read(self, after: int, limit: int) -> Sequence[RunEvent]:
        """Read up to `limit` events after the sequence `after`."""
        if isinstance(self._log, list):
            return self._log[after : after + limit]
        return self._log.read(after, limit)

    async def more(self) -> None:
        """Wait for the next append."""
        waiting = asyncio.get_running_loop().create_future()
        if self._waiting is None:
            self._waiting = {}
        self._waiting[waiting] = None
        try:
            await waiting
        except BaseException:
            if self._waiting is not None:
                self._waiting.pop(waiting, None)
            raise

    def wake(self) -> None:
        """Wake whoever waits."""
        woken, self._waiting = self._waiting, None
        for waiting in woken or ():
            if not waiting.done():
                waiting.set_result(None)

    def pack(self) -> int:
        """Keep the log of a run that has ended in less memory; tell how many bytes it takes now."""
        if isinstance(self._log, list):
            self._log = CompactLog(self._log)
        return self._log.size

    def summary(self) -> RunSummary:
        """Tell what lists show."""
        return RunSummary(
            run_id=self.run_id,
            namespace=self.namespace,
            name=self.name,
            status=self.status,
            sequence=self.sequence,
            created_at=self.created_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
            labels=self.labels,
            retry_of=self.retry_of,
        )

    def _change(self, event: RunEvent) -> None:
        self.status = STATUS[type(event)]
        if self.status is RunStatus.RUNNING:
            self.started_at = event.at
        elif self.status.final:
            self.finished_at = event.at

    def _keep(self, values: Mapping[str, bytes]) -> None:
        for sha256, value in values.items():
            if sha256 not in self.values:
                self.values[sha256] = value
                self.value_bytes += len(value)
