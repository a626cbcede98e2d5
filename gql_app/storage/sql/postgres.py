"""A database in Postgres, by asyncpg."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias, TypeVar

import asyncpg
from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from gql_app.core.errors import StoreUnavailableError
from gql_app.core.values import Json
from gql_app.settings import Settings
from gql_app.storage.sql.database import unavailable

T = TypeVar("T")
DriverConnection: TypeAlias = Json
"""A connection of asyncpg, which has no types."""
# The driver makes these names when it is imported, unseen by mypy.
DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)  # type: ignore[attr-defined]
_connect: Final[Callable[..., Awaitable[Json]]] = asyncpg.connect
CONNECT_SECONDS: Final = 5.0
COMMAND_SECONDS: Final = 30.0
"""A server that does not answer for so long is not there."""
_OUR_FAULT: Final = ("21", "22", "23")
"""Classes of the server's errors: it refuses what is in a row."""
IDLE_TRANSACTION: Final = "5s"
"""The server ends a transaction whose process does nothing for so long: it may hold what others wait for."""


class PostgresDatabase:
    """A database on a server. One connection writes; the others read."""

    def __init__(self, url: URL, settings: Settings) -> None:
        self.name = url.render_as_string(hide_password=True)
        self._url = url
        self._connecting: set[asyncio.Future[DriverConnection]] = set()
        readers = settings.store_connections
        self._reader = self._make_engine(readers).execution_options(isolation_level="AUTOCOMMIT")
        self._writer = self._make_engine(1)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Do something that changes nothing; a second time, if its connection had ended while nobody used it."""
        with _telling_trouble():
            try:
                return await self._look(work)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
        with _telling_trouble():
            return await self._look(work)

    async def _look(self, work: Callable[[Connection], T]) -> T:
        async with self._reader.connect() as connection:
            return await connection.run_sync(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Do something in a transaction of its own."""
        with _telling_trouble():
            async with self._writer.begin() as connection:
                return await connection.run_sync(work)

    async def close(self) -> None:
        """Let go of all connections."""
        if self._connecting:
            await asyncio.wait(self._connecting)
        await self._reader.dispose()
        await self._writer.dispose()

    async def connect(self, **settings: str) -> DriverConnection:
        """Connect beside the pools, perhaps with settings of the server. Raises what the driver does."""
        dsn = self._url.render_as_string(hide_password=False)
        given = {"application_name": "gql_app", "idle_in_transaction_session_timeout": IDLE_TRANSACTION, **settings}
        connection: DriverConnection = await _connect(
            dsn, timeout=CONNECT_SECONDS, command_timeout=COMMAND_SECONDS, server_settings=given
        )
        return connection

    async def _connect_to_the_end(self) -> DriverConnection:
        """Connect. Nothing interrupts the driver in it; a connection that nobody wants any more is ended."""
        connecting = asyncio.ensure_future(self.connect())
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            connecting.add_done_callback(_let_go)
            raise

    def _make_engine(self, size: int) -> AsyncEngine:
        return create_async_engine(
            "postgresql+asyncpg://",
            # So that the address means what it means to the driver.
            async_creator=self._connect_to_the_end,
            poolclass=AsyncAdaptedQueuePool,
            pool_size=size,
            max_overflow=0,
            pool_timeout=CONNECT_SECONDS,
        )


def _let_go(connecting: "asyncio.Future[DriverConnection]") -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().terminate()


@contextmanager
def _telling_trouble() -> Iterator[None]:
    """Make errors that tell of trouble `StoreUnavailableError`."""
    try:
        yield
    except Exception as error:
        trouble = _trouble(error)
        if trouble is None:
            raise
        raise trouble from error


def _trouble(error: Exception) -> StoreUnavailableError | None:
    if isinstance(error, DBAPIError) and _is_our_fault(error.orig):
        return None
    if isinstance(error, DRIVER_ERRORS):
        # On connecting SQLAlchemy lets the driver's own errors pass.
        return StoreUnavailableError(str(error) or type(error).__name__)
    return unavailable(error)


def _is_our_fault(error: BaseException | None) -> bool:
    """Tell whether the driver or the server cannot take what was to be written, however often one tries."""
    return isinstance(getattr(error, "__cause__", None), ValueError) or (
        str(getattr(error, "sqlstate", None))[:2] in _OUR_FAULT
    )
