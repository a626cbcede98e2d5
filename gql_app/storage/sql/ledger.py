"""The writer: what is in the tables, as far as it must be known to write to them, and the transactions."""

from collections.abc import Sequence

from sqlalchemy import Connection, update

from gql_app.core.ids import RunId
from gql_app.ports import Clock
from gql_app.settings import Settings
from gql_app.storage.admission import Admission
from gql_app.storage.sql.entries import Append, Create, Delete, Expire, RunState, Send, WriteEntry
from gql_app.storage.sql.expiry import Expiry
from gql_app.storage.sql.rows import microseconds
from gql_app.storage.sql.tables import leases
from gql_app.storage.sql.transaction import RunCount, Transaction
from gql_app.storage.sql.wakeups import Wakeups


class Ledger:
    """Writes entries. What it knows is true while this process holds the lease; without it, it looks every time."""

    def __init__(self, *, clock: Clock, settings: Settings, wakeups: Wakeups, shared: bool) -> None:
        self._clock = clock
        self._shared = shared
        self._wakeups = wakeups
        self._count = RunCount(Admission(settings))
        self._expiry = Expiry(settings)
        self._states: dict[RunId, RunState] = {}
        self.epoch: int | None = None
        """Of the lease that this process holds."""
        self._removed: list[RunId] = []
        wakeups.recount = self._expiry.forget

    def forget(self) -> None:
        """Look everything up anew."""
        self._states.clear()
        self._expiry.forget()
        self._count.known = False
        self._removed.clear()
        self._wakeups.recent.clear()

    @property
    def is_due(self) -> bool:
        """Whether finished runs have to go."""
        return self.epoch is not None and self._expiry.is_due(self._clock.now())

    # Transactions

    def write(self, connection: Connection, entries: Sequence[WriteEntry]) -> Sequence[Exception | None]:
        """Write what is right; tell of each entry what is wrong with it, if anything."""
        if self.epoch is None:
            self._states.clear()
        if self._shared or self.epoch is None:
            # Others may add runs, too.
            self._count.known = False
        transaction = Transaction(connection, self._states, self._count)
        transaction.look_up_epoch(entries)
        leads = transaction.epoch == self.epoch
        if not leads:
            self._states.clear()
        else:
            if any(isinstance(entry, Expire) for entry in entries):
                self._expiry.know(connection)
            self._remove_due(connection)
        transaction.look_up(entries)
        errors: list[Exception | None] = []
        for entry in entries:
            try:
                entry.apply(transaction)
            except Exception as error:  # noqa: BLE001 - told to whoever asked for it; what it wrote so far is nothing
                errors.append(error)
            else:
                errors.append(None)
        self._finish(transaction, leads=leads)
        return errors

    def _finish(self, transaction: Transaction, *, leads: bool) -> None:
        connection = transaction.connection
        self._expiry.remove(connection, transaction.removed)
        transaction.flush(self._expiry)
        for run_id in transaction.over:
            self._states.pop(run_id, None)
        self._removed += transaction.removed
        if leads:
            self._remove_due(connection)
        if transaction.changed or self._removed or transaction.letters_added:
            changed = [*transaction.changed, *self._removed]
            self._wakeups.announce(connection, changed, letters=transaction.letters_added, recount=bool(self._removed))

    def _remove_due(self, connection: Connection) -> None:
        now = self._clock.now()
        if self._expiry.is_due(now):
            removed = self._expiry.remove_due(connection, now)
            self._removed += removed
            for run_id in removed:
                self._states.pop(run_id, None)

    def committed(self, entries: Sequence[WriteEntry]) -> None:
        """Wake whoever waits for what is stored now."""
        for entry in entries:
            if isinstance(entry, Append):
                if self.epoch == entry.epoch:
                    self._wakeups.recent.add(entry.namespace, entry.run_id, entry.events)
                self._wakeups.advance(entry.run_id, entry.end(), sure=self.epoch == entry.epoch)
            elif isinstance(entry, Delete):
                self._wakeups.wake(entry.run_id)
            elif isinstance(entry, Create) and entry.run_id == entry.first.run_id and self.epoch is not None:
                self._wakeups.recent.add(entry.first.namespace, entry.run_id, entry.events)
            elif isinstance(entry, Send | Create):
                self._wakeups.letters.set()
        removed, self._removed = self._removed, []
        for run_id in removed:
            self._wakeups.wake(run_id)

    def failed(self) -> None:
        """Forget what may not be so."""
        self.forget()

    def probe(self, connection: Connection) -> None:
        """Write something that changes nothing."""
        connection.execute(update(leases).values(probed_at=microseconds(self._clock.now())))
