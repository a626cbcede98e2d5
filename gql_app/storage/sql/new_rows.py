"""The rows that a transaction adds, changes and removes, gathered by table."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, Insert, bindparam, delete, insert, update
from sqlalchemy.dialects import postgresql, sqlite

from gql_app.core.ids import Namespace, RunId
from gql_app.core.signals import CancelRequested
from gql_app.storage.sql.rows import Values
from gql_app.storage.sql.tables import BELONGING, events, letters, run_labels, run_values, runs

_NEW_VALUES: Final[Mapping[str, Insert]] = {
    "sqlite": sqlite.insert(run_values).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(run_values).on_conflict_do_nothing(),
}
_CHANGE: Final = (
    update(runs)
    .where(runs.c.run_id == bindparam("changed_run"))
    .values({name: bindparam(name) for name in ("status", "started_at", "finished_at", "finish_number", "value_bytes")})
)


class NewRows:
    """Rows by table. A run's own row is written when it is new, and when its status changes."""

    def __init__(self) -> None:
        self.events: list[Values] = []
        self.letters: list[Values] = []
        self.removed: list[RunId] = []
        self.discarded: list[int] = []
        self.changes: dict[RunId, Values] = {}
        """What becomes of runs that were there before, or are new here."""
        self._runs: dict[RunId, Values] = {}
        self._values: list[Values] = []
        self._labels: list[Values] = []

    def add_run(self, row: Values, labels: Mapping[str, str]) -> None:
        """Add a run and its labels."""
        self._runs[RunId(row["run_id"])] = row
        found_by = {"namespace": row["namespace"], "created_at": row["created_at"], "run_id": row["run_id"]}
        self._labels += [{**found_by, "name": name, "value": value} for name, value in labels.items()]

    def add_values(self, run_id: RunId, values: Mapping[str, bytes]) -> None:
        """Add values that stand beside the log; a run has each only once."""
        self._values += [
            {"run_id": run_id, "sha256": sha256, "size": len(data), "data": data} for sha256, data in values.items()
        ]

    def add_letter(self, namespace: Namespace, run_id: RunId, signal: CancelRequested | None) -> None:
        """Add a letter."""
        text = None if signal is None else msgspec.json.encode(signal).decode()
        self.letters.append({"namespace": namespace, "run_id": run_id, "signal": text})

    def events_of(self, run_id: RunId, after: int, limit: int) -> list[bytes]:
        """Tell the events of a run among those that are added."""
        rows = [row for row in self.events if row["run_id"] == run_id and row["sequence"] > after]
        return [row["data"] for row in rows[:limit]]

    def write(self, connection: Connection) -> None:
        """Write what is new, and remove what is to go."""
        for table, rows in ((events, self.events), (run_labels, self._labels), (letters, self.letters)):
            if rows:
                connection.execute(insert(table), rows)
        if self._values:
            connection.execute(_NEW_VALUES[connection.dialect.name], self._values)
        remove_runs(connection, self.removed)
        if self.discarded:
            connection.execute(delete(letters).where(letters.c.id.in_(self.discarded)))

    def write_runs(self, connection: Connection) -> None:
        """Write the rows of the runs themselves, once all that is to be told of them is known."""
        for run_id in self._runs.keys() & self.changes.keys():
            self._runs[run_id] |= self.changes.pop(run_id)
        if self._runs:
            connection.execute(insert(runs), list(self._runs.values()))
        if self.changes:
            changed = [{"changed_run": run_id, **change} for run_id, change in self.changes.items()]
            connection.execute(_CHANGE, changed)


def remove_runs(connection: Connection, run_ids: Sequence[RunId]) -> None:
    """Remove runs and all that belongs to them."""
    if run_ids:
        for table in (*BELONGING, runs):
            connection.execute(delete(table).where(table.c.run_id.in_(run_ids)))
