"""What was once read of a log is there at every later look, also while more of it is being written."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.listing import RunQuery
from gql_app.engine.clock import SystemClock
from gql_app.settings import Settings
from gql_app.storage.sql.opening import opened
from gql_app.storage.sql.sqlite import SqliteDatabase
from tests.support.logs import finished_log, run_id
from tests.support.repositories import ManualClock

pytestmark = pytest.mark.anyio
T = TypeVar("T")
FIRST = run_id(1)


async def test_events_that_were_read_do_not_disappear_before_their_writer_knows_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = finished_log(nodes=3)
    committed, go_on = threading.Event(), threading.Event()
    write = SqliteDatabase.write
    slow = False

    async def write_slowly(self: SqliteDatabase, work: Callable[[Connection], T]) -> T:
        result = await write(self, work)
        if slow:
            committed.set()
            await asyncio.to_thread(go_on.wait, 60)
        return result

    monkeypatch.setattr(SqliteDatabase, "write", write_slowly)
    async with opened(Settings(store=f"sqlite:///{tmp_path / 'runs.db'}"), clock=SystemClock()) as repository:
        await repository.lead()
        await repository.create(log[:1], values={})
    async with opened(Settings(store=f"sqlite:///{tmp_path / 'runs.db'}"), clock=SystemClock()) as repository:
        await repository.lead()
        await repository.append(DEFAULT_NAMESPACE, FIRST, 1, log[1:3], values={})
        slow = True
        writing = asyncio.ensure_future(repository.append(DEFAULT_NAMESPACE, FIRST, 3, log[3:4], values={}))
        await asyncio.to_thread(committed.wait, 60)

        before = await repository.events(DEFAULT_NAMESPACE, FIRST, after=0, limit=100)
        last = await repository.events(DEFAULT_NAMESPACE, FIRST, after=before[-1].sequence - 1, limit=100)
        go_on.set()
        await writing
        slow = False
        after = await repository.events(DEFAULT_NAMESPACE, FIRST, after=3, limit=100)

    assert [event.sequence for event in before] in ([1, 2, 3], [1, 2, 3, 4])
    assert [event.sequence for event in last] == [before[-1].sequence]
    assert [event.sequence for event in after] == [4]


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
