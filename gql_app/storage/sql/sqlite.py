"""A database in a file: SQLite, in threads of its own."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from gql_app.core.errors import StoreUnavailableError
from gql_app.settings import Settings
from gql_app.storage.sql.database import unavailable

T = TypeVar("T")
BUSY_SECONDS: Final = 5.0
"""How long to wait for another process that has the file locked."""


class SqliteDatabase:
    """A file. One thread writes, others read what was committed: SQLite's write-ahead log lets them."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self.name = f"sqlite:///{path}"
        self.path = path
        self._synchronous = settings.sqlite_synchronous
        self._place: tuple[int, int] | None = None
        """The device and the number of the file that is written."""
        self._reader = self._make_engine(settings.store_connections)
        self._writer = self._make_engine(1)
        event.listen(self._writer, "begin", _begin)
        self._reading = ThreadPoolExecutor(settings.store_connections, thread_name_prefix="gql_app store reader")
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="gql_app store writer")

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Do something that changes nothing."""

        def look() -> T:
            with self._reader.connect() as connection:
                return work(connection)

        return await self._do(self._reading, look)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Do something in a transaction of its own."""

        def change() -> T:
            self._check_place()
            with self._writer.begin() as connection:
                result = work(connection)
            # SQLite goes on writing to a file that nobody can find any more: that is not stored.
            self._check_place()
            return result

        return await self._do(self._writing, change)

    async def close(self) -> None:
        """Let go of the file. What is under way comes to its end."""
        for threads in (self._reading, self._writing):
            await asyncio.get_running_loop().run_in_executor(None, threads.shutdown)
        self._reader.dispose()
        self._writer.dispose()

    def _check_place(self) -> None:
        """Make sure that what is written goes to the file of that name."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            if self._place is None:
                return
            raise StoreUnavailableError(f"the file {self.path} is gone") from None
        place, before = (status.st_dev, status.st_ino), self._place
        self._place = place
        if before not in {None, place}:
            self._reader.dispose()
            self._writer.dispose()
            raise StoreUnavailableError(f"the file {self.path} has been replaced by another")

    def _connect(self) -> sqlite3.Connection:
        # Nobody makes a new file where one was.
        mode = "rwc" if self._place is None else "rw"
        address = f"file:{quote(str(self.path))}?mode={mode}"
        return sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, check_same_thread=False)

    async def _do(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except Exception as error:
            trouble = unavailable(error)
            if trouble is None:
                raise
            raise trouble from error

    def _make_engine(self, size: int) -> Engine:
        engine = create_engine(
            "sqlite://",
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=size,
        )
        event.listen(engine, "connect", self._prepare)
        return engine

    def _prepare(self, connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # Whoever writes says when a transaction begins; readers see what was committed before each statement.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA synchronous = {self._synchronous.value}")
        cursor.close()


def _begin(connection: Connection) -> None:
    # It takes its lock at once: later that could be refused.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
