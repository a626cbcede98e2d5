"""The lease in Postgres: an advisory lock on a connection of its own, which ends with its process or its network."""

import asyncio
import logging
from typing import Final

from gql_app.core.errors import StoreUnavailableError
from gql_app.ports import Clock
from gql_app.storage.sql.lease import HeldLease, take_over
from gql_app.storage.sql.postgres import DRIVER_ERRORS, DriverConnection, PostgresDatabase

logger: Final = logging.getLogger(__name__)

LOCK: Final = 0x67716C5F657865
"""The letters gql_exe. Advisory locks belong to a database, so every database has its own executor."""
TRY_SECONDS: Final = 1.0
PING_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 10
"""The server ends the connection of a process that says nothing for so long: it stands still, or is cut off."""

_TROUBLE: Final = (*DRIVER_ERRORS, OSError, TimeoutError, StoreUnavailableError)


class AdvisoryLock:
    """Waits for the lock, and keeps it alive. Only another epoch means that it is lost: appends check that, too."""

    stands_by: Final = True

    def __init__(self, database: PostgresDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._connection: DriverConnection | None = None
        self._has_lock = False
        self._keeper: asyncio.Task[None] | None = None

    async def win(self) -> HeldLease:
        """Wait until nobody else has the lock, and take it."""
        waits = False
        while (epoch := await self._take()) is None:
            if not waits:
                logger.info("Another process executes the runs of %s; this one stands by.", self._database.name)
                waits = True
            await asyncio.sleep(TRY_SECONDS)
        lease = HeldLease(epoch, self.close)
        self._keeper = asyncio.get_running_loop().create_task(self._keep(lease))
        logger.info("This process executes the runs of %s from now on (epoch %d).", self._database.name, epoch)
        return lease

    async def close(self) -> None:
        """Give the lock back."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=PING_SECONDS)
            except _TROUBLE:
                connection.terminate()

    async def _keep(self, lease: HeldLease) -> None:
        """Give signs of life, and notice when another epoch has begun."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            try:
                # While it is somebody else's, or still that of our own lost connection, the epoch tells.
                await self._try()
                epoch = await self._current_epoch()
            except _TROUBLE as error:
                logger.warning("The connection that holds the lease has ended (%s); getting it back.", error)
                self._drop()
                continue
            if epoch != lease.epoch:
                logger.warning("Another process has become the executor (epoch %d).", epoch)
                lease.lose()
                return

    async def _take(self) -> int | None:
        """Take the lock if it is free, and tell the new epoch."""
        try:
            if await self._try():
                return await self._database.write(lambda connection: take_over(connection, self._clock))
        except _TROUBLE as error:
            logger.info("The lease cannot be asked for: %s", error)
            self._drop()
        return None

    async def _try(self) -> bool:
        """Have the lock, or try to."""
        if self._connection is None:
            timeout = str(IDLE_SECONDS * 1000)
            self._connection = await self._database.connect(idle_session_timeout=timeout)
            self._has_lock = False
        if not self._has_lock:
            asked = self._connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK, timeout=PING_SECONDS)
            self._has_lock = bool(await asked)
        return self._has_lock

    async def _current_epoch(self) -> int:
        assert self._connection is not None
        return int(await self._connection.fetchval("SELECT epoch FROM leases", timeout=PING_SECONDS))

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._has_lock = False
        if connection is not None:
            connection.terminate()
