"""The tables. Instants are microseconds since 1970 in UTC; `migrations` makes them."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from gql_app.storage.sql.text import PlainId, PlainText

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s",
    }
)
_COUNTER: Final = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up by itself only in a column of this type."""

MAXIMUM_SEQUENCE: Final = 2**31 - 1

runs: Final = Table(
    "runs",
    metadata,
    Column("run_id", PlainId(36), primary_key=True),
    Column("namespace", PlainId(63), nullable=False),
    Column("name", PlainText, nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("finish_number", BigInteger),
    Column("retry_of", String(36)),
    Column("labels", Text, nullable=False),
    Column("idempotency_key", PlainText),
    Column("fingerprint", String(64)),
    Column("value_bytes", BigInteger, nullable=False),
)
"""What lists show of each run, but for its last sequence, which is that of its last event.

`finish_number` counts the runs that have finished, in the order in which they did; `value_bytes` is known at the end.
"""

Index("ix_runs_created", runs.c.namespace, runs.c.created_at, runs.c.run_id)
Index("ix_runs_by_name", runs.c.namespace, runs.c.name, runs.c.run_id)
Index("ix_runs_of_name", runs.c.namespace, runs.c.name, runs.c.created_at, runs.c.run_id)
Index("ix_runs_status", runs.c.namespace, runs.c.status, runs.c.created_at, runs.c.run_id)
Index("ix_runs_status_name", runs.c.namespace, runs.c.status, runs.c.name, runs.c.run_id)
Index(
    "ix_runs_unfinished",
    runs.c.namespace,
    runs.c.status,
    sqlite_where=runs.c.finished_at.is_(None),
    postgresql_where=runs.c.finished_at.is_(None),
)
Index(
    "ix_runs_finished",
    runs.c.finish_number,
    sqlite_where=runs.c.finish_number.is_not(None),
    postgresql_where=runs.c.finish_number.is_not(None),
)
Index(
    "ix_runs_finished_each",
    runs.c.namespace,
    runs.c.finish_number,
    sqlite_where=runs.c.finish_number.is_not(None),
    postgresql_where=runs.c.finish_number.is_not(None),
)
Index(
    "uq_runs_idempotency_key",
    runs.c.namespace,
    runs.c.idempotency_key,
    unique=True,
    sqlite_where=runs.c.idempotency_key.is_not(None),
    postgresql_where=runs.c.idempotency_key.is_not(None),
)

events: Final = Table(
    "events",
    metadata,
    Column("run_id", PlainId(36), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    sqlite_with_rowid=True,
)
"""The truth: each event as JSON, with its type and version."""

run_values: Final = Table(
    "run_values",
    metadata,
    Column("run_id", PlainId(36), primary_key=True),
    Column("sha256", PlainId(64), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
"""Values that are too big to stand in an event: once for each run."""

run_labels: Final = Table(
    "run_labels",
    metadata,
    Column("namespace", PlainId(63), primary_key=True),
    Column("name", PlainText, primary_key=True),
    Column("value", PlainText, primary_key=True),
    Column("created_at", BigInteger, primary_key=True, autoincrement=False),
    Column("run_id", PlainId(36), primary_key=True),
)
"""The labels once more, to find runs by them."""

Index("ix_run_labels_run", run_labels.c.run_id)

letters: Final = Table(
    "letters",
    metadata,
    Column("id", _COUNTER, primary_key=True),
    Column("namespace", PlainId(63), nullable=False),
    Column("run_id", PlainId(36), nullable=False),
    Column("signal", Text),
    sqlite_autoincrement=True,
)
"""What was left for the executor by processes that are not: signals, or new runs (no signal)."""

leases: Final = Table(
    "leases",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="ck_leases_one"), primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("taken_at", BigInteger, nullable=False),
    Column("probed_at", BigInteger, nullable=False),
)
"""One row: who may append. Each taking over counts the epoch up."""

api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("data", Text, nullable=False),
    Column("revoked_at", BigInteger),
)
"""API keys, as JSON without their secrets."""

BELONGING: Final = (events, run_values, run_labels, letters)
"""The tables with rows that go with their run."""
