"""The version of the tables: bringing them up to date, and refusing those that are too new."""

import logging
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select

from gql_app.core.errors import InvalidStoreError

UPGRADE_LOCK: Final = 0x67716C5F757067
"""Postgres: held by whoever upgrades, so that others wait and find it done. The letters gql_upg."""
_MIGRATIONS: Final = Path(__file__).parent / "migrations"


def newest() -> str:
    """Name the version that this code is for."""
    head = ScriptDirectory(str(_MIGRATIONS)).get_current_head()
    assert head is not None
    return head


def all_versions() -> list[str]:
    """Name all versions that ever were, the oldest first."""
    return [script.revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()][::-1]


def current(connection: Connection) -> str | None:
    """Name the version of the tables there are; None where there are none."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(connection: Connection, store: str, to: str = "head") -> str | None:
    """Bring the tables up to date, and tell which version they were of.

    Raises `InvalidStoreError` for those that are newer than this code.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(UPGRADE_LOCK)))
    before = current(connection)
    _refuse_newer(before, store)
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    logging.getLogger("alembic").setLevel(logging.WARNING)
    command.upgrade(config, to)
    return before


def check(connection: Connection, store: str) -> None:
    """Refuse tables that are not of this version. Raises `InvalidStoreError`."""
    version = current(connection)
    _refuse_newer(version, store)
    if version != newest():
        has = "has no tables yet" if version is None else f"has tables of version {version}"
        raise InvalidStoreError(
            f"The store {store} {has}, and this version of gql-app needs {newest()}."
            f" Run `gql-app db upgrade`, or start with --migrate."
        )


def _refuse_newer(version: str | None, store: str) -> None:
    if version is not None and version not in all_versions():
        raise InvalidStoreError(
            f"The store {store} was written by a newer version of gql-app (its tables are of version {version};"
            f" this one knows up to {newest()}). Install that version, or use another store."
        )
