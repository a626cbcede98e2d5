"""One transaction of the writer: what was there when it began, and what it adds."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, and_, func, or_, select

from gql_app.core.events import RunEvent, WorkflowSubmitted
from gql_app.core.ids import Namespace, RunId
from gql_app.core.run import RunStatus
from gql_app.core.signals import CancelRequested
from gql_app.ports import IdempotencyKey, Letter
from gql_app.storage.admission import Admission
from gql_app.storage.sql.entries import Append, Create, Delete, RunState, Send, WriteEntry
from gql_app.storage.sql.expiry import Expiry
from gql_app.storage.sql.new_rows import NewRows
from gql_app.storage.sql.rows import Values, read_events, row_of
from gql_app.storage.sql.tables import events, leases, runs

ADMISSION_LOCK: Final = 0x67716C5F61646D
"""Postgres: held by whoever adds runs, so that counting them and adding one is one step. The letters gql_adm."""


class RunCount:
    """The runs that have not ended, by namespace, while nobody else adds any."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.known = False


class Transaction:
    """One transaction: what was there when it began, and what it adds."""

    def __init__(self, connection: Connection, states: dict[RunId, RunState], count: "RunCount") -> None:
        self.connection = connection
        self.epoch = 0
        self._states = states
        self._count = count
        self._keys: dict[tuple[Namespace, str], tuple[str, RunId]] = {}
        self._rows = NewRows()
        self._asked: set[RunId] = set()
        self.finished: dict[RunId, RunState] = {}
        self.changed: list[RunId] = []
        self.removed: list[RunId] = []

    @property
    def over(self) -> list[RunId]:
        """The runs that have ended: little will be asked of them any more."""
        return [run_id for run_id in self._asked if (state := self._states.get(run_id)) and state.status.final]

    @property
    def letters_added(self) -> bool:
        """Whether there is something new for the executor."""
        return bool(self._rows.letters)

    def look_up_epoch(self, entries: Sequence[WriteEntry]) -> None:
        """Take the locks that the entries need, and read who may append."""
        if self.connection.dialect.name == "postgresql" and any(isinstance(entry, Create) for entry in entries):
            self.connection.execute(select(func.pg_advisory_xact_lock(ADMISSION_LOCK)))
        # Whoever takes the lease over waits until this is committed, and sees it then.
        self.epoch = self.connection.execute(select(leases.c.epoch).with_for_update(read=True)).scalar_one()

    def look_up(self, entries: Sequence[WriteEntry]) -> None:
        """Read all else that the entries need to know, at once."""
        creates = [entry for entry in entries if isinstance(entry, Create)]
        wanted = {entry.run_id for entry in entries if isinstance(entry, Append | Delete | Send)}
        # A new run has a new id, as a rule.
        wanted |= {entry.run_id for entry in creates if entry.doubted}
        self._asked = wanted | {entry.run_id for entry in creates}
        self._look_up_states(wanted - self._states.keys())
        if creates:
            self._look_up_keys(creates)
            if not self._count.known:
                self._count_runs()

    def _look_up_states(self, run_ids: set[RunId]) -> None:
        if not run_ids:
            return
        last = select(func.max(events.c.sequence)).where(events.c.run_id == runs.c.run_id).scalar_subquery()
        found = select(
            runs.c.run_id, runs.c.namespace, runs.c.status, runs.c.created_at, runs.c.started_at, last.label("sequence")
        ).where(runs.c.run_id.in_(sorted(run_ids)))
        for row in self.connection.execute(found):
            self._states[RunId(row.run_id)] = RunState(
                Namespace(row.namespace), row.sequence or 0, RunStatus(row.status), row.created_at, row.started_at
            )

    def _look_up_keys(self, creates: Sequence[Create]) -> None:
        wanted = {(entry.first.namespace, entry.idempotency.key) for entry in creates if entry.idempotency is not None}
        if not wanted:
            return
        same = [and_(runs.c.namespace == namespace, runs.c.idempotency_key == key) for namespace, key in sorted(wanted)]
        found = select(runs.c.namespace, runs.c.idempotency_key, runs.c.fingerprint, runs.c.run_id).where(or_(*same))
        for row in self.connection.execute(found):
            self._keys[Namespace(row.namespace), row.idempotency_key] = row.fingerprint, RunId(row.run_id)

    def _count_runs(self) -> None:
        self._count.known = True
        counts = (
            select(runs.c.namespace, runs.c.status, func.count().label("number"))
            .where(runs.c.finished_at.is_(None))
            .group_by(runs.c.namespace, runs.c.status)
        )
        self._count.admission.recount(
            {(Namespace(row.namespace), RunStatus(row.status)): row.number for row in self.connection.execute(counts)}
        )

    # What entries ask for

    def state(self, run_id: RunId) -> RunState | None:
        """Tell what is known of a run."""
        return self._states.get(run_id)

    def stored(self, run_id: RunId, after: int, limit: int) -> Sequence[RunEvent]:
        """Read events, among them those that this transaction adds."""
        wanted = (
            select(events.c.data)
            .where(events.c.run_id == run_id, events.c.sequence > after)
            .order_by(events.c.sequence)
            .limit(limit)
        )
        data = [row.data for row in self.connection.execute(wanted)]
        data += self._rows.events_of(run_id, after, limit - len(data))
        return read_events(run_id, after, data)

    def run_of_key(self, namespace: Namespace, key: str) -> tuple[str, RunId] | None:
        """Find the fingerprint and the run of an idempotency key."""
        return self._keys.get((namespace, key))

    def admit(self, namespace: Namespace) -> None:
        """Check that there is room for one more run."""
        self._count.admission.admit(namespace)

    def add_run(self, first: WorkflowSubmitted, idempotency: IdempotencyKey | None) -> RunState:
        """Let there be a run."""
        row = row_of(first)
        if idempotency is not None:
            row |= {"idempotency_key": idempotency.key, "fingerprint": idempotency.fingerprint}
            self._keys[first.namespace, idempotency.key] = idempotency.fingerprint, first.run_id
        state = RunState(first.namespace, 0, RunStatus.PENDING, row["created_at"], values={})
        self._states[first.run_id] = state
        self._count.admission.add(first.namespace, RunStatus.PENDING)
        self._rows.add_run(row, first.labels)
        return state

    def add_events(self, run_id: RunId, state: RunState, rows: Sequence[Values], values: Mapping[str, bytes]) -> None:
        """Let these events and values be part of its log."""
        state.sequence += len(rows)
        if state.values is not None:
            state.values.update({sha256: len(data) for sha256, data in values.items()})
        self._rows.events += rows
        self._rows.add_values(run_id, values)
        self.changed.append(run_id)

    def change_status(self, run_id: RunId, state: RunState, status: RunStatus, at: int) -> None:
        """Let a run have another status from now on."""
        before, state.status = state.status, status
        if status is RunStatus.RUNNING:
            state.started_at = at
        change: Values = dict.fromkeys(("finished_at", "finish_number"))
        change |= {"status": status.value, "started_at": state.started_at, "value_bytes": 0}
        self._rows.changes[run_id] = change
        if status.final:
            change["finished_at"] = at
            self.finished[run_id] = state
        took = None if state.started_at is None else timedelta(microseconds=at - state.started_at)
        if self._count.known:
            self._count.admission.change(state.namespace, before, status, took)
        elif status.final and took is not None:
            self._count.admission.record(took)

    def remove(self, run_id: RunId, state: RunState) -> None:
        """Let a finished run be gone."""
        self._rows.removed.append(run_id)
        self.removed.append(run_id)
        del self._states[run_id]

    def add_letter(self, namespace: Namespace, run_id: RunId, signal: CancelRequested | None) -> None:
        """Leave something for the executor."""
        self._rows.add_letter(namespace, run_id, signal)

    def discard(self, letters: Sequence[Letter]) -> None:
        """Throw letters away."""
        self._rows.discarded += [letter.id for letter in letters]

    def flush(self, expiry: Expiry) -> None:
        """Write it all."""
        self._rows.write(self.connection)
        if self.finished:
            rows = {run_id: self._rows.changes[run_id] for run_id in self.finished}
            expiry.number(self.connection, rows, self.finished)
        self._rows.write_runs(self.connection)
