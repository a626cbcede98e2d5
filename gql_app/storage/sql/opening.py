"""Opens the store that the settings name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from gql_app.core.errors import InvalidStoreError, MissingExtraError
from gql_app.ports import Clock
from gql_app.settings import Role, Settings
from gql_app.storage.sql import versions
from gql_app.storage.sql.database import Database
from gql_app.storage.sql.lease import FileLock, locked_file
from gql_app.storage.sql.repository import SqlRunRepository
from gql_app.storage.sql.sqlite import SqliteDatabase
from gql_app.storage.sql.wakeups import Wakeups

if TYPE_CHECKING:
    from gql_app.storage.sql.postgres import PostgresDatabase

_KINDS: Final = "memory, sqlite:///runs.db or postgresql://user@host/database"


@asynccontextmanager
async def opened(settings: Settings, *, clock: Clock) -> AsyncIterator[SqlRunRepository]:
    """Open the store, and bring its tables up to date where that is wanted. Raises `InvalidStoreError`."""
    repository, database = make_repository(settings, clock=clock)
    try:
        await prepare(database, migrate=settings.migrate)
        await repository.open()
        yield repository
    finally:
        await repository.close()


async def prepare(database: Database, *, migrate: bool) -> None:
    """Check the version of the tables. SQLite's are brought up to date, others if they are to `migrate`.

    Raises `InvalidStoreError`, and `StoreInUseError` for a file that would have to be changed under another process.
    """
    if isinstance(database, SqliteDatabase):
        if await database.read(versions.current) != versions.newest():
            await upgrade_file(database)
    elif migrate:
        await database.write(lambda connection: versions.upgrade(connection, database.name))
    await database.read(lambda connection: versions.check(connection, database.name))


async def upgrade_file(database: SqliteDatabase) -> str | None:
    """Bring the tables in a file up to date while nobody else uses it, and tell which version they were of."""
    with locked_file(database.name, database.path):
        return await database.write(lambda connection: versions.upgrade(connection, database.name))


def make_repository(settings: Settings, *, clock: Clock) -> tuple[SqlRunRepository, Database]:
    """Make the store that the settings name; nothing is connected yet. Raises `InvalidStoreError`."""
    database = make_database(settings)
    if isinstance(database, SqliteDatabase):
        lock = FileLock(database, database.path, clock)
        return SqlRunRepository(database, lock, clock=clock, settings=settings), database
    return _shared(database, settings, clock), database


def make_database(settings: Settings) -> "SqliteDatabase | PostgresDatabase":
    """Make the database that the settings name; nothing is connected yet. Raises `InvalidStoreError`."""
    url = parse_store(settings.store)
    return _sqlite(url, settings) if url.drivername == "sqlite" else _postgres(url, settings)


def parse_store(text: str) -> URL:
    """Read the address of a database. Raises `InvalidStoreError`, which shows no password."""
    try:
        url = make_url(text)
        # The driver reads it once more, and in its own way.
        urlsplit(url.render_as_string(hide_password=False))
    except (ArgumentError, ValueError):
        shown = text.rpartition("@")[2]
        raise InvalidStoreError(f"The store {shown!r} is not the address of one; write {_KINDS}.") from None
    kind = url.drivername.split("+")[0]
    if kind in {"postgres", "postgresql"}:
        return url.set(drivername="postgresql")
    shown = url.render_as_string(hide_password=True)
    if kind != "sqlite":
        raise InvalidStoreError(f"There is no store of the kind {kind!r} ({shown}); write {_KINDS}.")
    if url.database in {None, "", ":memory:"}:
        raise InvalidStoreError(f"The store {shown} names no file. Write sqlite:///runs.db, or memory.")
    return url.set(drivername="sqlite")


def _sqlite(url: URL, settings: Settings) -> SqliteDatabase:
    if settings.role is Role.API:
        raise InvalidStoreError("A store in SQLite is for one process, which executes its runs: leave --role out.")
    path = Path(url.database or "").expanduser().absolute()
    if not path.parent.is_dir():
        raise InvalidStoreError(f"The directory of the store {path} is not there; make it first.")
    return SqliteDatabase(path, settings)


def _postgres(url: URL, settings: Settings) -> "PostgresDatabase":
    try:
        # The driver is an extra.
        from gql_app.storage.sql.postgres import PostgresDatabase  # noqa: PLC0415 - see the line above
    except ModuleNotFoundError:
        raise MissingExtraError(f"The store {url.render_as_string(hide_password=True)}", "postgres") from None
    return PostgresDatabase(url, settings)


def _shared(database: "PostgresDatabase", settings: Settings, clock: Clock) -> SqlRunRepository:
    # It needs the driver, too.
    from gql_app.storage.sql.advisory import AdvisoryLock  # noqa: PLC0415 - see the line above

    lock, wakeups = AdvisoryLock(database, clock), make_wakeups(database)
    return SqlRunRepository(database, lock, clock=clock, settings=settings, wakeups=wakeups)


def make_wakeups(database: "SqliteDatabase | PostgresDatabase") -> Wakeups:
    """Make what tells whoever else uses a database what happens there."""
    if isinstance(database, SqliteDatabase):
        return Wakeups()
    # It needs the driver, which is an extra.
    from gql_app.storage.sql.notices import Notices  # noqa: PLC0415 - see the line above

    return Notices(database)
