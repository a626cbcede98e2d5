"""A database in Postgres, by asyncpg."""

from collections.abc import Callable
from typing import Final, TypeVar

import asyncpg
from sqlalchemy import URL, Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from gql_app.core.errors import StoreUnavailableError
from gql_app.settings import Settings
from gql_app.storage.sql.database import unavailable

T = TypeVar("T")
# The driver makes these names when it is imported, unseen by mypy.
DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError)  # type: ignore[attr-defined]
CONNECT_SECONDS: Final = 5.0
COMMAND_SECONDS: Final = 30.0
"""A server that does not answer for so long is not there."""
IDLE_TRANSACTION: Final = "5s"
"""The server ends a transaction whose process does nothing for so long: it may hold what others wait for."""


class PostgresDatabase:
    """A database on a server. One connection writes; the others read."""

    def __init__(self, url: URL, settings: Settings) -> None:
        self.name = url.render_as_string(hide_password=True)
        self.url = url
        options = {
            "timeout": CONNECT_SECONDS,
            "command_timeout": COMMAND_SECONDS,
            "server_settings": {
                "application_name": "gql_app",
                "idle_in_transaction_session_timeout": IDLE_TRANSACTION,
            },
        }
        driver = url.set(drivername="postgresql+asyncpg")
        pool = {"poolclass": AsyncAdaptedQueuePool, "pool_timeout": CONNECT_SECONDS, "connect_args": options}
        self._reader = create_async_engine(
            driver, pool_size=settings.store_connections, max_overflow=0, isolation_level="AUTOCOMMIT", **pool
        )
        self._writer = create_async_engine(driver, pool_size=1, max_overflow=0, **pool)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Do something that changes nothing."""
        try:
            async with self._reader.connect() as connection:
                return await connection.run_sync(work)
        except Exception as error:
            trouble = _trouble(error)
            if trouble is None:
                raise
            raise trouble from error

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Do something in a transaction of its own."""
        try:
            async with self._writer.begin() as connection:
                return await connection.run_sync(work)
        except Exception as error:
            trouble = _trouble(error)
            if trouble is None:
                raise
            raise trouble from error

    async def close(self) -> None:
        """Let go of all connections."""
        await self._reader.dispose()
        await self._writer.dispose()


def _trouble(error: Exception) -> StoreUnavailableError | None:
    if isinstance(error, DRIVER_ERRORS):
        # On connecting SQLAlchemy lets the driver's own errors pass.
        return StoreUnavailableError(str(error) or type(error).__name__)
    return unavailable(error)
