"""What is done to a whole store from outside: bringing it up to date, looking at it, giving its space back."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
from sqlalchemy import Connection, func, select

from gql_app.core.errors import InvalidStoreError
from gql_app.core.ids import RunId
from gql_app.ports import Clock
from gql_app.settings import Settings
from gql_app.storage.sql import versions
from gql_app.storage.sql.expiry import Expiry
from gql_app.storage.sql.lease import is_locked, locked_file
from gql_app.storage.sql.opening import make_database, make_wakeups, parse_store, prepare, upgrade_file
from gql_app.storage.sql.rows import instant
from gql_app.storage.sql.sqlite import SqliteDatabase
from gql_app.storage.sql.tables import api_keys, leases, metadata, runs

if TYPE_CHECKING:
    from gql_app.storage.sql.postgres import PostgresDatabase

AnyDatabase: TypeAlias = "SqliteDatabase | PostgresDatabase"
_PATIENCE_SECONDS: Final = 86_400.0
"""How long Postgres may take to give space back."""


class Upgraded(msgspec.Struct, frozen=True):
    """From which version of the tables to which; from None where there were none."""

    before: str | None
    after: str


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a store is, and what is in it."""

    store: str
    kind: str
    version: str
    executing: bool
    """Whether a process executes its runs now; `holder` is the last one that did."""
    holder: str
    taken_at: datetime
    epoch: int
    runs: dict[str, int]
    keys: int
    bytes: int


class Vacuumed(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs were removed, and how big the store was and is."""

    runs: int
    before: int
    after: int


@asynccontextmanager
async def opened_database(
    settings: Settings, *, reads: bool = False, makes: bool = False, alone: bool = False
) -> AsyncIterator[AnyDatabase]:
    """Open a database whose tables are up to date; those in a file are brought up to date unless one only `reads`.

    A file that is not there is made if the caller `makes` one. With `alone`, no other process uses a file meanwhile.
    Raises `InvalidStoreError`, `StoreInUseError`, `StoreUnavailableError` and `MissingExtraError`.
    """
    database = make_database(settings)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        if isinstance(database, SqliteDatabase) and not makes and not database.path.exists():
            raise InvalidStoreError(f"There is no store {database.name}.")
        if reads:
            await database.read(lambda connection: versions.check(connection, database.name))
        else:
            await prepare(database, migrate=settings.migrate)
        if alone and isinstance(database, SqliteDatabase):
            stack.enter_context(locked_file(database.name, database.path))
        yield database


async def upgrade(settings: Settings) -> Upgraded:
    """Bring the tables up to date, or make them."""
    database = make_database(settings)
    try:
        if isinstance(database, SqliteDatabase):
            before = await upgrade_file(database)
        else:
            before = await database.write(lambda connection: versions.upgrade(connection, database.name))
        return Upgraded(before, versions.newest())
    finally:
        await database.close()


async def look(settings: Settings) -> StoreStatus:
    """Tell what a store is, and what is in it."""
    async with opened_database(settings, reads=True) as database:
        executing = is_locked(database.path) if isinstance(database, SqliteDatabase) else None

        def read(connection: Connection) -> StoreStatus:
            version = versions.current(connection)
            assert version is not None
            lease = connection.execute(select(leases)).one()
            counts = select(runs.c.status, func.count().label("number")).group_by(runs.c.status)
            return StoreStatus(
                store=parse_store(settings.store).render_as_string(hide_password=True),
                kind=_kind(connection),
                version=version,
                executing=_is_held(connection) if executing is None else executing,
                holder=lease.holder,
                taken_at=instant(lease.taken_at),
                epoch=lease.epoch,
                runs={row.status: row.number for row in connection.execute(counts.order_by(runs.c.status))},
                keys=connection.execute(select(func.count()).select_from(api_keys)).scalar_one(),
                bytes=_size(database, connection),
            )

        return await database.read(read)


async def vacuum(settings: Settings, clock: Clock) -> Vacuumed:
    """Remove the finished runs that are due, a batch in each transaction, and give the space back."""
    async with opened_database(settings, alone=True) as database:
        before = await database.read(lambda connection: _size(database, connection))
        removed = await _remove_due(database, settings, clock)
        if isinstance(database, SqliteDatabase):
            await database.read(_vacuum_file)
        else:
            await _vacuum_tables(database)
        after = await database.read(lambda connection: _size(database, connection))
        return Vacuumed(runs=removed, before=before, after=after)


async def _remove_due(database: AnyDatabase, settings: Settings, clock: Clock) -> int:
    expiry, wakeups = Expiry(settings), make_wakeups(database)

    def remove(connection: Connection) -> Sequence[RunId]:
        # Nobody appends meanwhile: two that remove the same runs could wait for each other for ever.
        connection.execute(select(leases.c.epoch).with_for_update())
        gone = expiry.remove_due(connection, clock.now())
        if gone:
            # Whoever watches them hears it.
            wakeups.announce(connection, gone, letters=False, recount=True)
        return gone

    removed = 0
    while gone := await database.write(remove):
        removed += len(gone)
    return removed


def _vacuum_file(connection: Connection) -> None:
    connection.exec_driver_sql("VACUUM")
    connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


async def _vacuum_tables(database: "PostgresDatabase") -> None:
    connection = await database.connect()
    try:
        for table in metadata.sorted_tables:
            await connection.execute(f"VACUUM (ANALYZE) {table.name}", timeout=_PATIENCE_SECONDS)
    finally:
        await connection.close()


def _kind(connection: Connection) -> str:
    if connection.dialect.name == "sqlite":
        return f"SQLite {connection.exec_driver_sql('SELECT sqlite_version()').scalar_one()}"
    return f"Postgres {str(connection.exec_driver_sql('SHOW server_version').scalar_one()).split()[0]}"


def _is_held(connection: Connection) -> bool:
    """Tell whether a process holds the lock of the executor of this database."""
    # It needs the driver, which is an extra.
    from gql_app.storage.sql.advisory import LOCK  # noqa: PLC0415 - see the line above

    held = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        f" AND classid = {LOCK >> 32} AND objid = {LOCK & 0xFFFFFFFF}"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return bool(connection.exec_driver_sql(held).scalar_one())


def _size(database: AnyDatabase, connection: Connection) -> int:
    """Tell how many bytes a store takes on its disk."""
    if isinstance(database, SqliteDatabase):
        files = (database.path, database.path.with_name(f"{database.path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())
    sizes = [func.pg_total_relation_size(table.name) for table in metadata.sorted_tables]
    return sum(connection.execute(select(*sizes)).one())
