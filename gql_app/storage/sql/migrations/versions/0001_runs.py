"""Runs, their events and values, letters to the executor, the lease, API keys."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    _make_runs()
    _index_runs()
    _make_logs()
    _make_labels()
    _make_leases()
    _make_keys()


def _make_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("finish_number", sa.BigInteger(), nullable=True),
        sa.Column("retry_of", sa.String(length=36), nullable=True),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("idempotency_key", TEXT, nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=True),
        sa.Column("value_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
    )


def _index_runs() -> None:
    op.create_index("ix_runs_by_name", "runs", ["namespace", "name", "run_id"], unique=False)
    op.create_index("ix_runs_created", "runs", ["namespace", "created_at", "run_id"], unique=False)
    op.create_index(
        "ix_runs_finished",
        "runs",
        ["finish_number"],
        unique=False,
        sqlite_where=sa.text("finish_number IS NOT NULL"),
        postgresql_where=sa.text("finish_number IS NOT NULL"),
    )
    op.create_index(
        "ix_runs_finished_each",
        "runs",
        ["namespace", "finish_number"],
        unique=False,
        sqlite_where=sa.text("finish_number IS NOT NULL"),
        postgresql_where=sa.text("finish_number IS NOT NULL"),
    )
    op.create_index("ix_runs_of_name", "runs", ["namespace", "name", "created_at", "run_id"], unique=False)
    op.create_index("ix_runs_status", "runs", ["namespace", "status", "created_at", "run_id"], unique=False)
    op.create_index("ix_runs_status_name", "runs", ["namespace", "status", "name", "run_id"], unique=False)
    op.create_index(
        "ix_runs_unfinished",
        "runs",
        ["namespace", "status"],
        unique=False,
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index(
        "uq_runs_idempotency_key",
        "runs",
        ["namespace", "idempotency_key"],
        unique=True,
        sqlite_where=sa.text("idempotency_key IS NOT NULL"),
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )


def _make_logs() -> None:
    op.create_table(
        "events",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "sequence", name="pk_events"),
        sqlite_with_rowid=True,
    )
    op.create_table(
        "run_values",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "sha256", name="pk_run_values"),
    )


def _make_labels() -> None:
    op.create_table(
        "run_labels",
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "name", "value", "created_at", "run_id", name="pk_run_labels"),
    )
    op.create_index("ix_run_labels_run", "run_labels", ["run_id"], unique=False)


def _make_leases() -> None:
    op.create_table(
        "leases",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=False),
        sa.Column("probed_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name="ck_leases_one"),
        sa.PrimaryKeyConstraint("id", name="pk_leases"),
    )
    op.create_table(
        "letters",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("signal", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_letters"),
        sqlite_autoincrement=True,
    )
    op.execute("INSERT INTO leases (id, epoch, holder, taken_at, probed_at) VALUES (1, 0, 'nobody', 0, 0)")


def _make_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
