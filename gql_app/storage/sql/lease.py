"""Who may append: one process at a time, and each taking over is counted."""

import asyncio
import fcntl
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Connection, update

from gql_app.core.errors import StoreInUseError, StoreUnavailableError
from gql_app.ports import Clock
from gql_app.storage.sql.database import Database
from gql_app.storage.sql.rows import microseconds
from gql_app.storage.sql.tables import leases


class HeldLease:
    """The right of this process to append. `let_go` lets others have it."""

    def __init__(self, epoch: int, let_go: Callable[[], Awaitable[None]]) -> None:
        self.epoch: Final = epoch
        self._over = asyncio.Event()
        self._let_go = let_go
        self._when_over: Callable[[], None] | None = None

    def when_over(self, do: Callable[[], None]) -> None:
        """Do something at the moment in which it is lost or given back."""
        self._when_over = do

    async def lost(self) -> None:
        """Return once it is lost."""
        await self._over.wait()

    def lose(self) -> None:
        """Hear that it is lost."""
        if not self._over.is_set():
            self._over.set()
            if self._when_over is not None:
                self._when_over()

    async def release(self) -> None:
        """Give it back; also when it is lost, so that this process can win it again."""
        self.lose()
        await self._let_go()


class Elections(Protocol):
    """How a process comes to hold the lease."""

    @property
    def stands_by(self) -> bool:
        """Whether a process that does not hold it can wait for its turn."""
        ...

    async def win(self) -> HeldLease:
        """Wait until this process holds it. Raises `StoreInUseError` where nobody waits."""
        ...

    async def close(self) -> None:
        """Give everything back."""
        ...


class FileLock:
    """A lock on a file beside the database: the system lets go of it when the process ends, however it ends."""

    stands_by: Final = False

    def __init__(self, database: Database, path: Path, clock: Clock) -> None:
        self._database = database
        self._path = path
        self._clock = clock
        self._file: int | None = None

    async def win(self) -> HeldLease:
        """Take the lock. Raises `StoreInUseError`, which names who has it."""
        self._file = lock_file(self._database.name, self._path)
        try:
            epoch = await self._database.write(lambda connection: take_over(connection, self._clock))
        except BaseException:
            await self.close()
            raise
        return HeldLease(epoch, self.close)

    async def close(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def lock_file(store: str, path: Path) -> int:
    """Take the lock beside the file of a store, until the descriptor is closed. Raises `StoreInUseError`."""
    try:
        file = os.open(_lock_beside(path), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailableError(f"its lock cannot be taken ({error})") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(file, 200, 0).decode(errors="replace").strip() or "another process"
        os.close(file)
        raise StoreInUseError(store, holder) from None
    os.ftruncate(file, 0)
    os.pwrite(file, holder_name().encode(), 0)
    return file


@contextmanager
def locked_file(store: str, path: Path) -> Iterator[None]:
    """Hold the lock beside the file of a store until the end of the block. Raises `StoreInUseError`."""
    file = lock_file(store, path)
    try:
        yield
    finally:
        os.close(file)


def is_locked(path: Path) -> bool:
    """Tell whether a process holds the lock beside the file of a store."""
    try:
        file = os.open(_lock_beside(path), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(file)


def _lock_beside(path: Path) -> Path:
    return path.with_name(f"{path.name}-lock")


def holder_name() -> str:
    """Name this process to people."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def take_over(connection: Connection, clock: Clock) -> int:
    """Count the epoch up, and tell it."""
    now = microseconds(clock.now())
    change = update(leases).values(epoch=leases.c.epoch + 1, holder=holder_name(), taken_at=now, probed_at=now)
    return int(connection.execute(change.returning(leases.c.epoch)).scalar_one())
