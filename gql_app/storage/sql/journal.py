"""The group commit: what many runs have to write at once goes into one transaction."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar

from sqlalchemy import Connection

from gql_app.core.errors import StoreUnavailableError
from gql_app.storage.sql.database import Database

logger: Final = logging.getLogger(__name__)

MAXIMUM_ENTRIES: Final = 1_000
MAXIMUM_BYTES: Final = 16 << 20
"""What one transaction takes. Less waits for nobody: while one is under way, the next gathers."""
MAXIMUM_WAITING_BYTES: Final = 256 << 20
PROBE_SECONDS: Final = 1.0
SLOW_SECONDS: Final = 5.0
"""A commit that takes longer is trouble."""


class Entry(Protocol):
    """Something to be written."""

    doubted: bool
    """Whether it may have made a transaction fail; then it looks before it writes."""

    @property
    def size(self) -> int:
        """How many bytes it takes, about."""
        ...

    def settle(self, error: Exception | None = None) -> None:
        """Tell whoever waits that it is stored, or why not."""
        ...


E = TypeVar("E", bound=Entry)
B_contra = TypeVar("B_contra", bound=Entry, contravariant=True)


class Book(Protocol[B_contra]):
    """Where entries are written. `write` and `probe` are called in a transaction, perhaps in a thread."""

    def write(self, connection: Connection, entries: Sequence[B_contra]) -> Sequence[Exception | None]:
        """Write some entries; tell of each what is wrong with it, if anything: those are left out."""
        ...

    def committed(self, entries: Sequence[B_contra]) -> None:
        """Hear that these are stored now."""
        ...

    def failed(self) -> None:
        """Hear that nobody knows what became of the last transaction."""
        ...

    def probe(self, connection: Connection) -> None:
        """Write something that changes nothing."""
        ...


class Journal(Generic[E]):
    """Writes entries in the order in which they come, as many at once as have gathered."""

    def __init__(self, database: Database, book: Book[E]) -> None:
        self._database = database
        self._book = book
        self._waiting: list[E] = []
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._since: float | None = None
        self._trouble: str | None = None
        self._closed = False

    def add(self, entry: E) -> None:
        """Let something be written. Raises `StoreUnavailableError` when too much waits already."""
        if self._closed:
            raise StoreUnavailableError("it is closed")
        if self._bytes + entry.size > MAXIMUM_WAITING_BYTES and self._waiting:
            raise StoreUnavailableError(f"{self._bytes >> 20} MiB wait to be written")
        self._waiting.append(entry)
        self._bytes += entry.size
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._go_on())

    def problem(self) -> str | None:
        """Say what keeps it from writing, if anything does."""
        if self._trouble is not None:
            return self._trouble
        if self._since is not None:
            seconds = asyncio.get_running_loop().time() - self._since
            if seconds > SLOW_SECONDS:
                return f"A commit has been under way for {seconds:.0f} s."
        return None

    async def close(self) -> None:
        """Write what waits, then take no more."""
        self._closed = True
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait([self._probing])
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _go_on(self) -> None:
        # What comes in the same turn of the loop goes into the same transaction.
        await asyncio.sleep(0)
        try:
            while self._waiting:
                await self._commit(self._take())
        finally:
            self._task = None

    def _take(self) -> list[E]:
        taken: list[E] = []
        size = 0
        for entry in self._waiting[:MAXIMUM_ENTRIES]:
            size += entry.size
            if taken and size > MAXIMUM_BYTES:
                break
            taken.append(entry)
        del self._waiting[: len(taken)]
        self._bytes -= sum(entry.size for entry in taken)
        return taken

    async def _commit(self, entries: list[E]) -> None:
        self._since = asyncio.get_running_loop().time()
        try:
            errors = await self._database.write(lambda connection: self._book.write(connection, entries))
        except StoreUnavailableError as error:
            self._book.failed()
            self._has_failed(error)
            _settle_all(entries, error)
        except Exception as error:
            self._book.failed()
            if len(entries) == 1 and entries[0].doubted:
                logger.exception("The store cannot take what was to be written.")
                _settle_all(entries, error)
                return
            # Something about one of them; the others must not pay for it.
            for entry in entries:
                entry.doubted = True
                await self._commit([entry])
        else:
            self._has_worked()
            self._book.committed([entry for entry, wrong in zip(entries, errors, strict=True) if wrong is None])
            for entry, wrong in zip(entries, errors, strict=True):
                entry.settle(wrong)
        finally:
            self._since = None

    # Trouble: what is known of it, and when it is over

    def _has_failed(self, error: StoreUnavailableError) -> None:
        if self._trouble is None:
            logger.warning("%s Runs go on once it is there again.", error)
        self._trouble = str(error)
        if self._probing is None and not self._closed:
            self._probing = asyncio.get_running_loop().create_task(self._probe_until_it_works())

    def _has_worked(self) -> None:
        if self._trouble is not None:
            logger.warning("The store is available again.")
            self._trouble = None

    async def _probe_until_it_works(self) -> None:
        """Find out when the store can be written again, also while nobody has something to write."""
        try:
            while self._trouble is not None:
                await asyncio.sleep(PROBE_SECONDS)
                try:
                    await self._database.write(self._book.probe)
                except Exception as error:  # noqa: BLE001 - whatever it is, it goes on being told
                    self._trouble = str(error)
                else:
                    self._has_worked()
        finally:
            self._probing = None


def _settle_all(entries: Sequence[Entry], error: Exception) -> None:
    for entry in entries:
        entry.settle(error)
