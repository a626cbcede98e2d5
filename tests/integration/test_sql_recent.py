"""What was once read of a log is there at every later look, also while more of it is being written."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.listing import RunQuery
from gql_app.engine.clock import SystemClock
from gql_app.settings import Settings
from gql_app.storage.sql.opening import opened
from gql_app.storage.sql.repository import SqlRunRepository
from gql_app.storage.sql.sqlite import SqliteDatabase
from tests.support.logs import finished_log, run_id
from tests.support.repositories import ManualClock

pytestmark = pytest.mark.anyio
T = TypeVar("T")
FIRST = run_id(1)


class SlowWriter:
    """Lets a process hear late, once it is told to, that what it has written is committed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.slow = False
        self._committed = threading.Event()
        self._go_on = threading.Event()
        write = SqliteDatabase.write

        async def write_slowly(database: SqliteDatabase, work: Callable[[Connection], T]) -> T:
            result = await write(database, work)
            if self.slow:
                self._committed.set()
                await asyncio.to_thread(self._go_on.wait, 60)
            return result

        monkeypatch.setattr(SqliteDatabase, "write", write_slowly)

    async def committed(self) -> None:
        await asyncio.to_thread(self._committed.wait, 60)

    def go_on(self) -> None:
        self.slow = False
        self._go_on.set()


@asynccontextmanager
async def half_known(path: Path, writer: SlowWriter) -> AsyncIterator[SqlRunRepository]:
    """Open a store with a run whose second and third event are at hand, while one is committed that is not yet."""
    log = finished_log(nodes=3)
    settings = Settings(store=f"sqlite:///{path}", store_connections=1)
    async with opened(settings, clock=SystemClock()) as repository:
        await repository.lead()
        await repository.create(log[:1], values={})
    async with opened(settings, clock=SystemClock()) as repository:
        await repository.lead()
        await repository.append(DEFAULT_NAMESPACE, FIRST, 1, log[1:3], values={})
        writer.slow = True
        writing = asyncio.ensure_future(repository.append(DEFAULT_NAMESPACE, FIRST, 3, log[3:4], values={}))
        await writer.committed()
        yield repository
        await writing


async def test_events_that_were_read_do_not_disappear_before_their_writer_knows_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SlowWriter(monkeypatch)
    async with half_known(tmp_path / "runs.db", writer) as repository:
        before = await repository.events(DEFAULT_NAMESPACE, FIRST, after=0, limit=100)
        last = await repository.events(DEFAULT_NAMESPACE, FIRST, after=before[-1].sequence - 1, limit=100)
        writer.go_on()
        await repository.wait(DEFAULT_NAMESPACE, FIRST, after=3)
        after = await repository.events(DEFAULT_NAMESPACE, FIRST, after=3, limit=100)

    assert [event.sequence for event in before] in ([1, 2, 3], [1, 2, 3, 4])
    assert [event.sequence for event in last] == [before[-1].sequence]
    assert [event.sequence for event in after] == [4]


async def test_a_wait_ends_only_once_there_is_something_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, writer = finished_log(nodes=3), SlowWriter(monkeypatch)

    async def wait_and_read() -> list[int]:
        await repository.wait(DEFAULT_NAMESPACE, FIRST, after=1)
        return [event.sequence for event in await repository.events(DEFAULT_NAMESPACE, FIRST, after=1, limit=100)]

    settings = Settings(store=f"sqlite:///{tmp_path / 'runs.db'}", store_connections=1)
    async with opened(settings, clock=SystemClock()) as repository:
        await repository.lead()
        await repository.create(log[:1], values={})
        writer.slow = True
        writing = asyncio.ensure_future(repository.append(DEFAULT_NAMESPACE, FIRST, 1, log[1:2], values={}))
        await writer.committed()
        waiting = asyncio.ensure_future(wait_and_read())
        # There is one connection for reading, so that in the end the other one has looked, too.
        summaries = [await repository.summary(DEFAULT_NAMESPACE, FIRST) for _ in range(5)]
        writer.go_on()
        read = await waiting
        await writing

    assert {summary.sequence for summary in summaries} == {2}
    assert read == [2]


async def test_runs_that_became_too_old_meanwhile_are_gone_when_a_store_is_opened(tmp_path: Path) -> None:
    settings = Settings(store=f"sqlite:///{tmp_path / 'runs.db'}", retention_seconds=60)
    clock = ManualClock()
    async with opened(settings, clock=clock) as repository:
        await repository.lead()
        await repository.create(finished_log(), values={})
    clock.advance(3_600)

    async with opened(settings, clock=clock) as repository:
        await repository.lead()
        page = await repository.list(DEFAULT_NAMESPACE, RunQuery())

    assert page.runs == ()
