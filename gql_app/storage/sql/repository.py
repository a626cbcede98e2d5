"""The store on a disk: runs survive the process, and several processes can share them."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from sqlalchemy import and_, select

from gql_app.core.errors import (
    CorruptRunError,
    LeaseLostError,
    StoreUnavailableError,
    WorkflowNotFoundError,
    WorkflowRemovedError,
)
from gql_app.core.events import RunEvent, WorkflowSubmitted
from gql_app.core.ids import Namespace, RunId
from gql_app.core.listing import RunPage, RunQuery, RunSummary
from gql_app.core.run import RunStatus
from gql_app.core.signals import CancelRequested
from gql_app.ports import Clock, IdempotencyKey, Letter
from gql_app.settings import Settings
from gql_app.storage.sql.database import Database
from gql_app.storage.sql.entries import (
    Append,
    Create,
    Delete,
    Discard,
    Expire,
    Send,
    WriteEntry,
    event_rows,
    size_of,
)
from gql_app.storage.sql.journal import Journal
from gql_app.storage.sql.lease import Elections, HeldLease
from gql_app.storage.sql.ledger import Ledger
from gql_app.storage.sql.listing import LAST, list_runs
from gql_app.storage.sql.rows import letter_of, read_events, summary_of
from gql_app.storage.sql.tables import MAXIMUM_SEQUENCE, events, letters, run_values, runs
from gql_app.storage.sql.wakeups import End, Wakeups

LETTER_SECONDS: Final = 10.0
"""How often letters are looked for although nobody told of any."""


class SqlRunRepository:
    """Runs in a database. Reads see what was committed; writes gather in a journal, and so do those of many runs."""

    durable: Final = True

    def __init__(
        self,
        database: Database,
        elections: Elections,
        *,
        clock: Clock,
        settings: Settings,
        wakeups: Wakeups | None = None,
    ) -> None:
        self._database = database
        self._elections = elections
        self._wakeups = wakeups or Wakeups()
        self._ledger = Ledger(clock=clock, settings=settings, wakeups=self._wakeups, shared=elections.stands_by)
        self._journal: Journal[WriteEntry] = Journal(database, self._ledger)
        self._lease: HeldLease | None = None

    @property
    def shared(self) -> bool:
        """Whether several processes may use it."""
        return self._elections.stands_by

    # Writing

    async def create(
        self,
        events: Sequence[RunEvent],
        *,
        values: Mapping[str, bytes],
        idempotency: IdempotencyKey | None = None,
    ) -> RunId:
        """Store a new run, or tell which run its idempotency key belongs to."""
        first = events[0] if events else None
        if not isinstance(first, WorkflowSubmitted):
            raise ValueError(f"A run's log begins with WorkflowSubmitted, not with {first!r}.")
        rows = event_rows(first.run_id, events)
        entry = Create(
            events=events,
            values=values,
            idempotency=idempotency,
            epoch=self._ledger.epoch,
            first=first,
            rows=rows,
            run_id=first.run_id,
            size=size_of(rows, values),
        )
        await self._write(entry)
        return entry.run_id

    async def append(
        self,
        namespace: Namespace,
        run_id: RunId,
        expected_sequence: int,
        events: Sequence[RunEvent],
        *,
        values: Mapping[str, bytes],
    ) -> None:
        """Append events to a run's log, all or none, and wake whoever waits for them."""
        if self._ledger.epoch is None:
            raise LeaseLostError(run_id, 0)
        rows = event_rows(run_id, events)
        entry = Append(
            namespace=namespace,
            run_id=run_id,
            expected=expected_sequence,
            events=events,
            values=values,
            epoch=self._ledger.epoch,
            rows=rows,
            size=size_of(rows, values),
        )
        await self._write_as_executor(entry)

    async def delete(self, namespace: Namespace, run_id: RunId) -> None:
        """Remove a run that has ended; whoever watches it is told."""
        await self._write(Delete(namespace, run_id))

    async def send(self, namespace: Namespace, run_id: RunId, signal: CancelRequested) -> None:
        """Leave a signal for the executor, whichever process that is."""
        await self._write(Send(namespace, run_id, signal))

    async def discard(self, letters: Sequence[Letter]) -> None:
        """Throw letters away that have been dealt with."""
        if letters:
            await self._write_as_executor(Discard(letters, self._ledger.epoch or 0))

    async def _write_as_executor(self, entry: Append | Discard) -> None:
        try:
            await self._write(entry)
        except LeaseLostError:
            if self._lease is not None and self._lease.epoch == entry.epoch:
                self._lease.lose()
            raise

    async def _write(self, entry: WriteEntry) -> None:
        self._journal.add(entry)
        await entry.stored

    # Reading

    async def events(self, namespace: Namespace, run_id: RunId, *, after: int, limit: int) -> Sequence[RunEvent]:
        """Read up to `limit` events after the sequence `after`, in order."""
        await self._expire()
        recent = self._wakeups.recent.read(namespace, run_id, after, limit)
        if recent is not None:
            return recent
        wanted = (
            select(events.c.data)
            .join(runs, and_(runs.c.run_id == events.c.run_id, runs.c.namespace == namespace))
            .where(events.c.run_id == run_id, events.c.sequence > min(after, MAXIMUM_SEQUENCE))
            .order_by(events.c.sequence)
            .limit(limit)
        )
        data = await self._database.read(lambda connection: [row.data for row in connection.execute(wanted)])
        if not data:
            await self._summary(namespace, run_id)
        found = read_events(run_id, after, data)
        # What is committed at this moment but not known here yet must not be shown: the next look would not find it.
        last = self._wakeups.recent.last(run_id)
        return found if last is None or not found or found[-1].sequence <= last else found[: last - after]

    async def wait(self, namespace: Namespace, run_id: RunId, *, after: int) -> None:
        """Return once there are events after `after`, or the run has ended."""
        await self._expire()
        waited = False
        while True:
            with self._wakeups.watching(run_id) as woken:
                try:
                    end = self._wakeups.readable(run_id, await self._wakeups.end(run_id, lambda: self._look(run_id)))
                except WorkflowNotFoundError:
                    if waited:
                        raise WorkflowRemovedError(run_id) from None
                    raise
                if end.namespace != namespace:
                    raise WorkflowNotFoundError(run_id)
                if end.sequence > after or end.finished:
                    return
                await woken
                waited = True

    async def value(self, namespace: Namespace, run_id: RunId, sha256: str) -> bytes:
        """Read a stored value. Raises `KeyError` for one that is not there."""
        wanted = (
            select(run_values.c.data, run_values.c.size)
            .join(runs, and_(runs.c.run_id == run_values.c.run_id, runs.c.namespace == namespace))
            .where(run_values.c.run_id == run_id, run_values.c.sha256 == sha256)
        )
        row = await self._database.read(lambda connection: connection.execute(wanted).first())
        if row is None:
            await self._summary(namespace, run_id)
            raise KeyError(sha256)
        if len(row.data) != row.size:
            raise CorruptRunError(run_id, f"its value {sha256} is damaged")
        return bytes(row.data)

    async def summary(self, namespace: Namespace, run_id: RunId) -> RunSummary:
        """Read a run's summary."""
        await self._expire()
        return await self._summary(namespace, run_id)

    async def list(self, namespace: Namespace, query: RunQuery) -> RunPage:
        """List runs."""
        await self._expire()
        return await self._database.read(lambda connection: list_runs(connection, namespace, query))

    async def unfinished(self) -> Sequence[tuple[Namespace, RunId]]:
        """Tell all runs that have not ended: those that have begun, then those that wait, each oldest first."""
        wanted = (
            select(runs.c.namespace, runs.c.run_id)
            .where(runs.c.finished_at.is_(None))
            .order_by(runs.c.status == RunStatus.PENDING.value, runs.c.created_at, runs.c.run_id)
        )
        rows = await self._database.read(lambda connection: connection.execute(wanted).all())
        return [(Namespace(row.namespace), RunId(row.run_id)) for row in rows]

    async def letters(self, *, limit: int = 100) -> Sequence[Letter]:
        """Read what was left for the executor, oldest first."""
        self._wakeups.letters.clear()
        wanted = select(letters).order_by(letters.c.id).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(wanted).all())
        return list(map(letter_of, rows))

    async def wait_for_letters(self) -> None:
        """Return once there may be letters that were not there before, or after some seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LETTER_SECONDS):
                await self._wakeups.letters.wait()

    async def _look(self, run_id: RunId) -> End:
        wanted = select(runs.c.namespace, runs.c.finished_at, LAST).where(runs.c.run_id == run_id)
        if row := await self._database.read(lambda connection: connection.execute(wanted).first()):
            return End(Namespace(row.namespace), row.sequence or 0, finished=row.finished_at is not None)
        raise WorkflowNotFoundError(run_id)

    async def _summary(self, namespace: Namespace, run_id: RunId) -> RunSummary:
        wanted = select(*runs.c, LAST).where(runs.c.namespace == namespace, runs.c.run_id == run_id)
        row = await self._database.read(lambda connection: connection.execute(wanted).first())
        if row is None:
            raise WorkflowNotFoundError(run_id)
        if row.sequence is None:
            raise CorruptRunError(run_id, "it has no events")
        return summary_of(row)

    async def _expire(self) -> None:
        """Let finished runs go that have been kept long enough: later, if nothing can be written now."""
        with suppress(StoreUnavailableError):
            while self._ledger.is_due:
                await self._write(Expire())

    # The lease, the beginning and the end

    async def open(self) -> None:
        """Begin to hear what other processes write."""
        await self._wakeups.open()

    async def lead(self) -> HeldLease:
        """Wait until this process may append."""
        lease = await self._elections.win()
        self._lease = lease
        lease.when_over(lambda: self._step_down(lease))
        self._ledger.forget()
        self._ledger.epoch = lease.epoch
        try:
            await self._write(Expire())
        except BaseException:
            # Nobody else knows of it: who asks again gets another one.
            await lease.release()
            raise
        return lease

    def _step_down(self, lease: HeldLease) -> None:
        if self._lease is lease:
            self._lease = self._ledger.epoch = None
            self._ledger.forget()
            self._wakeups.wake_all()

    def problem(self) -> str | None:
        """Say what is wrong with the store, if anything is."""
        return self._journal.problem()

    async def close(self) -> None:
        """Write what waits, then let go of the database."""
        await self._wakeups.close()
        await self._journal.close()
        await self._elections.close()
        await self._database.close()
