"""Brings runs into a store that were written as lines of JSON: each as a whole, or not at all."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import count
from typing import BinaryIO, Final

from sqlalchemy import Connection, func, insert, select

from gql_app.core.codec import encode_events
from gql_app.core.errors import CorruptRunError
from gql_app.core.ids import Namespace, RunId
from gql_app.storage.sql.arrivals import Arrivals, InvalidExportError
from gql_app.storage.sql.database import Database
from gql_app.storage.sql.entries import event_rows
from gql_app.storage.sql.new_rows import NewRows
from gql_app.storage.sql.rows import AnyRow, Values, microseconds, read_events, row_of
from gql_app.storage.sql.staging import StagedRun
from gql_app.storage.sql.tables import events, run_values, runs
from gql_app.storage.sql.transaction import ADMISSION_LOCK
from gql_app.storage.sql.wakeups import Wakeups

RUNS_AT_ONCE: Final = 200
BYTES_AT_ONCE: Final = 4 << 20
"""What goes into one transaction, unless one run alone is bigger."""
SMALL_BYTES: Final = 256 << 10
"""A run up to this size is written together with others."""


@dataclass(slots=True)
class Imported:
    """How many runs are in the store now that were not, how many were there, and what is wrong with others."""

    added: int = 0
    present: int = 0
    problems: list[str] = field(default_factory=list)


class ConflictingRunError(Exception):
    """The store has something that this run cannot stand beside; the message says what."""


class Importer:
    """Reads lines and stores runs. `imported` tells how far it has come, also when it fails."""

    def __init__(self, database: Database, wakeups: Wakeups) -> None:
        self.imported = Imported()
        self._database = database
        self._wakeups = wakeups

    async def read(self, file: BinaryIO) -> None:
        """Store the runs of a file. Raises `InvalidExportError` and `StoreUnavailableError`."""
        arrivals = Arrivals(file)
        self.imported.problems = arrivals.problems
        with ExitStack() as stack:
            waiting: list[StagedRun] = []
            size = 0
            try:
                for staged in arrivals:
                    stack.enter_context(closing(staged))
                    waiting.append(staged)
                    size += staged.size
                    if len(waiting) == RUNS_AT_ONCE or size > BYTES_AT_ONCE:
                        await self._store(waiting)
                        stack.close()
                        waiting, size = [], 0
            except InvalidExportError:
                # Also of a file that is cut off, what is complete is kept.
                await self._store(waiting)
                raise
            await self._store(waiting)

    async def _store(self, waiting: Sequence[StagedRun]) -> None:
        if not waiting:
            return
        outcomes = await self._database.write(lambda connection: self._write(connection, waiting))
        for staged, outcome in zip(waiting, outcomes, strict=True):
            if isinstance(outcome, str):
                self.imported.problems.append(f"Run {staged.line.run} is left out: {outcome}.")
            elif outcome:
                self.imported.added += 1
            else:
                self.imported.present += 1

    def _write(self, connection: Connection, waiting: Sequence[StagedRun]) -> list[bool | str]:
        """Store runs; tell of each whether it is new, or what keeps it from being stored."""
        if connection.dialect.name == "postgresql":
            # Nobody else adds runs meanwhile.
            connection.execute(select(func.pg_advisory_xact_lock(ADMISSION_LOCK)))
        batch = Batch(connection)
        outcomes: list[bool | str] = []
        for staged in waiting:
            try:
                outcomes.append(batch.add(staged))
            except (ConflictingRunError, CorruptRunError) as error:
                outcomes.append(str(error).rstrip("."))
        batch.flush()
        if any(outcome is True for outcome in outcomes):
            # Whoever executes hears of runs to go on with, and of finished ones that it has not counted.
            self._wakeups.announce(connection, (), letters=True, recount=True)
        return outcomes


class Batch:
    """Runs that go into one transaction: what is small is gathered, and written together."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows = NewRows()
        self._gathered: set[RunId] = set()
        self._keys: set[tuple[str, str]] = set()
        self._numbers = count((connection.execute(select(func.max(runs.c.finish_number))).scalar() or 0) + 1)

    def add(self, staged: StagedRun) -> bool:
        """Add a run, unless it is there. Raises `ConflictingRunError` if another one is."""
        run_id, line, key = RunId(staged.line.run), staged.line, staged.line.idempotency
        if run_id in self._gathered or (key is not None and (line.namespace, key.key) in self._keys):
            # What is looked up from here on must be there to be found.
            self.flush()
        there = self._connection.execute(select(runs.c.namespace).where(runs.c.run_id == run_id)).first()
        if there is not None:
            _compare(self._connection, there, staged)
            return False
        if key is not None:
            _check_key(self._connection, line.namespace, key.key)
            self._keys.add((line.namespace, key.key))
        self._gathered.add(run_id)
        self._rows.add_run(self._row(staged), staged.run.labels)
        self._add_log(run_id, staged)
        self._add_letters(run_id, staged)
        return True

    def flush(self) -> None:
        """Write what is gathered."""
        rows, self._rows = self._rows, NewRows()
        self._gathered.clear()
        self._keys.clear()
        rows.write(self._connection)
        rows.write_runs(self._connection)

    def _row(self, staged: StagedRun) -> Values:
        """Make the row of a run, with all that has become of it."""
        run, first, key = staged.run, staged.first, staged.line.idempotency
        assert first is not None
        row = row_of(first)
        row["status"] = run.status.value
        row["started_at"] = None if run.started_at is None else microseconds(run.started_at)
        if run.finished_at is not None:
            row["finished_at"] = microseconds(run.finished_at)
            row |= {"finish_number": next(self._numbers), "value_bytes": staged.value_bytes}
        if key is not None:
            row |= {"idempotency_key": key.key, "fingerprint": key.fingerprint}
        return row

    def _add_log(self, run_id: RunId, staged: StagedRun) -> None:
        """Add the events and values of a run: those of a big one by and by."""
        if staged.size <= SMALL_BYTES:
            for chunk in staged.events():
                self._rows.events += event_rows(run_id, chunk)
            self._rows.add_values(run_id, dict(staged.values()))
            return
        for chunk in staged.events():
            self._connection.execute(insert(events), event_rows(run_id, chunk))
        for name, data in staged.values():
            row = {"run_id": run_id, "sha256": name, "size": len(data), "data": data}
            self._connection.execute(insert(run_values), row)

    def _add_letters(self, run_id: RunId, staged: StagedRun) -> None:
        namespace = Namespace(staged.line.namespace)
        if not staged.run.status.final and self._connection.dialect.name == "postgresql":
            self._rows.add_letter(namespace, run_id, None)
        for signal in staged.signals:
            self._rows.add_letter(namespace, run_id, signal)


def _check_key(connection: Connection, namespace: str, key: str) -> None:
    used = select(runs.c.run_id).where(runs.c.namespace == namespace, runs.c.idempotency_key == key)
    other = connection.execute(used).scalar()
    if other is not None:
        raise ConflictingRunError(f"its idempotency key {key!r} belongs to run {other} in the store")


def _compare(connection: Connection, there: AnyRow, staged: StagedRun) -> None:
    """Check that the run in the store is the same one, which may have gone on since."""
    run_id, after = RunId(staged.line.run), 0
    if there.namespace != staged.line.namespace:
        raise ConflictingRunError(f"the store has it in namespace {there.namespace!r}")
    for chunk in staged.events():
        wanted = select(events.c.data).where(events.c.run_id == run_id, events.c.sequence > after)
        rows = connection.execute(wanted.order_by(events.c.sequence).limit(len(chunk)))
        stored = read_events(run_id, after, [bytes(row.data) for row in rows])
        if encode_events(stored) != encode_events(chunk):
            raise ConflictingRunError("the store has another log under this id")
        after += len(chunk)
