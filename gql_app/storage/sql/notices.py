"""Hears from Postgres which runs other processes have written to: by LISTEN, and by asking while that does not work."""

import asyncio
import logging
from collections.abc import Sequence
from secrets import token_hex
from typing import Final

from sqlalchemy import Connection, func, select

from gql_app.core.errors import StoreUnavailableError
from gql_app.core.ids import RunId
from gql_app.storage.sql.postgres import DriverConnection, PostgresDatabase
from gql_app.storage.sql.tables import events, runs
from gql_app.storage.sql.wakeups import Wakeups

logger: Final = logging.getLogger(__name__)

CHANNEL: Final = "gql_app"
LETTERS: Final = "letters"
RECOUNT: Final = "recount"
IDS_A_NOTICE: Final = 200
"""A notice takes less than 8,000 bytes."""
RUNS_A_QUESTION: Final = 1_000
"""The driver takes no more than 32,767 arguments."""
POLL_SECONDS: Final = 0.5
PING_SECONDS: Final = 5.0


class Notices(Wakeups):
    """Wakes also for what other processes write. Whoever is woken looks for himself: a notice tells only where."""

    def __init__(self, database: PostgresDatabase) -> None:
        super().__init__()
        self._database = database
        self._task: asyncio.Task[None] | None = None
        self._seen: dict[RunId, int] = {}
        self._me = token_hex(4)
        """So that this process knows its own notices."""

    def announce(
        self, connection: Connection, run_ids: Sequence[RunId], *, letters: bool, recount: bool = False
    ) -> None:
        """Send notices, which arrive if and when the transaction is committed."""
        ids = list(dict.fromkeys(run_ids))
        told = [",".join(ids[start : start + IDS_A_NOTICE]) for start in range(0, len(ids), IDS_A_NOTICE)]
        if letters:
            told.append(LETTERS)
        if recount:
            told.append(RECOUNT)
        for what in told:
            connection.execute(select(func.pg_notify(CHANNEL, f"{self._me} {what}")))

    async def open(self) -> None:
        """Begin to listen."""
        self._task = asyncio.get_running_loop().create_task(self._listen_for_ever())

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _listen_for_ever(self) -> None:
        trouble = False
        while True:
            try:
                connection = await self._database.connect()
            except Exception as error:  # noqa: BLE001 - whatever it is: without a listener somebody has to ask
                if not trouble:
                    logger.warning("The store cannot be listened to (%s); it is asked instead.", error)
                trouble = True
                await self._ask()
                await asyncio.sleep(POLL_SECONDS)
                continue
            trouble = False
            try:
                await self._listen(connection)
            except Exception as error:  # noqa: BLE001 - whatever it is, there has to be another one
                logger.info("The connection that listens to the store has ended (%s); there will be another.", error)
            finally:
                connection.terminate()

    async def _listen(self, connection: DriverConnection) -> None:
        """Listen until the connection ends."""
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _: ended.set())
        await connection.add_listener(CHANNEL, self._hear)
        # Whatever was told while nobody listened.
        self.wake_all()
        self.recount()
        self._seen.clear()
        while not ended.is_set():
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await ended.wait()
            except TimeoutError:
                await connection.fetchval("SELECT 1", timeout=PING_SECONDS)

    def _hear(self, _connection: object, _process: int, _channel: str, payload: object) -> None:
        sender, _, what = str(payload).partition(" ")
        if what == LETTERS:
            self.letters.set()
        elif sender == self._me:
            return
        elif what == RECOUNT:
            self.recount()
        else:
            for run_id in what.split(","):
                self.wake(RunId(run_id))

    async def _ask(self) -> None:
        """Look which of the runs that somebody waits for have more, or are gone."""
        watched = self.watched
        found: dict[RunId, int] = {}
        try:
            for start in range(0, len(watched), RUNS_A_QUESTION):
                found |= await self._ends(watched[start : start + RUNS_A_QUESTION])
        except StoreUnavailableError:
            return
        for run_id in watched:
            if self._seen.get(run_id) != found.get(run_id) or run_id not in found:
                self.wake(run_id)
        self._seen = found
        self.letters.set()

    async def _ends(self, run_ids: Sequence[RunId]) -> dict[RunId, int]:
        wanted = (
            select(runs.c.run_id, func.max(events.c.sequence).label("sequence"))
            .join(events, events.c.run_id == runs.c.run_id)
            .where(runs.c.run_id.in_(run_ids))
            .group_by(runs.c.run_id)
        )
        rows = await self._database.read(lambda connection: connection.execute(wanted).all())
        return {RunId(row.run_id): int(row.sequence) for row in rows}
