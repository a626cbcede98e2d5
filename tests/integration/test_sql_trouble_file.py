"""What becomes of a store in a file while it cannot be used, and of what is damaged in it."""

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from gql_app.core.errors import CorruptRunError, StoreInUseError, StoreUnavailableError, WorkflowNotFoundError
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.core.listing import RunQuery
from gql_app.core.signals import CancelRequested
from gql_app.ports import Letter
from gql_app.settings import Settings
from gql_app.storage.sql import journal, sqlite
from gql_app.storage.sql.opening import opened
from gql_app.storage.sql.repository import SqlRunRepository
from tests.support.logs import ending, finished_log, progress, run_id, submission
from tests.support.repositories import ManualClock

pytestmark = pytest.mark.anyio

FIRST = run_id(1)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for what a test knows will not come."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.0)
    monkeypatch.setattr(journal, "PROBE_SECONDS", 0.01)


@asynccontextmanager
async def leading(
    path: Path, *, clock: ManualClock | None = None, **options: object
) -> AsyncIterator[SqlRunRepository]:
    settings = Settings(store=f"sqlite:///{path}").model_copy(update=options)
    async with opened(settings, clock=clock or ManualClock()) as repository:
        await repository.lead()
        yield repository


def execute(path: Path, statement: str, *values: object) -> None:
    """Do to the file what none of ours would."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement, values)
    connection.close()


async def until(is_so: Callable[[], bool]) -> None:
    while True:
        await asyncio.sleep(0)
        if is_so():
            return


async def recovered(repository: SqlRunRepository) -> None:
    """Wait until the store says that it can be written again."""
    await until(lambda: repository.problem() is None)


async def limit_pages(repository: SqlRunRepository, pages: int) -> int:
    """Limit the file, as a full disk would; tell the limit, which is never below its size."""

    def limit(connection: Connection) -> int:
        return int(connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}").scalar_one())

    # Only the connection of the writer knows of it.
    return await repository._database.write(limit)


async def refuse(repository: SqlRunRepository) -> None:
    """See to it that nothing is acknowledged."""
    for write in (
        repository.create([submission(7)], values={}),
        repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={}),
        repository.send(DEFAULT_NAMESPACE, FIRST, CancelRequested(reason=None)),
        repository.discard([Letter(id=1, namespace=DEFAULT_NAMESPACE, run_id=FIRST, signal=None)]),
        repository.delete(DEFAULT_NAMESPACE, FIRST),
    ):
        with pytest.raises(StoreUnavailableError):
            await write


async def test_while_another_process_holds_the_write_lock_nothing_is_acknowledged_and_all_can_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "runs.db"
    caplog.set_level(logging.INFO)
    async with leading(path) as repository:
        await repository.create([submission(1)], values={"aa": b"1"})
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        await refuse(repository)
        problem = repository.problem()
        listed = await repository.list(DEFAULT_NAMESPACE, RunQuery())
        log = await repository.events(DEFAULT_NAMESPACE, FIRST, after=0, limit=10)
        value = await repository.value(DEFAULT_NAMESPACE, FIRST, "aa")
        other.execute("ROLLBACK")
        other.close()
        await recovered(repository)
        await repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={})

        assert await repository.unfinished() == [(DEFAULT_NAMESPACE, FIRST)]
    assert problem is not None
    assert "locked" in problem
    assert ([run.run_id for run in listed.runs], len(log), value) == ([FIRST], 1, b"1")
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 2
    assert "locked" in told[0]
    assert told[1] == "The store is available again."
    assert not any(record.exc_info for record in caplog.records)


async def test_a_full_disk_refuses_what_does_not_fit_and_takes_it_once_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    big = {"aa": os.urandom(1 << 20)}
    async with leading(path) as repository:
        await repository.create([submission(1)], values={})
        full = await limit_pages(repository, 1)

        with pytest.raises(StoreUnavailableError, match="full"):
            await repository.create([submission(2)], values=big)
        problem = repository.problem()
        listed = await repository.list(DEFAULT_NAMESPACE, RunQuery())
        await limit_pages(repository, full + 100_000)
        await recovered(repository)
        await repository.create([submission(2)], values=big)

        assert await repository.value(DEFAULT_NAMESPACE, run_id(2), "aa") == big["aa"]
    assert problem is not None
    assert "full" in problem
    assert [run.run_id for run in listed.runs] == [FIRST]


async def test_what_is_to_go_keeps_nobody_from_reading_while_nothing_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    clock = ManualClock()
    async with leading(path, clock=clock, retention_seconds=60) as repository:
        await repository.create([submission(1)], values={})
        await repository.append(DEFAULT_NAMESPACE, FIRST, 1, [ending(2)], values={})
        await repository.create([submission(2)], values={})
        clock.advance(61)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        during = await repository.summary(DEFAULT_NAMESPACE, run_id(2))
        other.execute("ROLLBACK")
        other.close()
        await recovered(repository)
        await repository.append(DEFAULT_NAMESPACE, run_id(2), 1, progress(), values={})
        await repository.append(DEFAULT_NAMESPACE, run_id(2), 4, [ending(5, at=clock.now())], values={})

        with pytest.raises(WorkflowNotFoundError):
            await repository.summary(DEFAULT_NAMESPACE, FIRST)
    assert during.run_id == run_id(2)


async def test_nothing_is_stored_in_a_file_that_is_gone(tmp_path: Path) -> None:
    path, aside = tmp_path / "runs.db", tmp_path / "aside.db"
    async with leading(path) as repository:
        await repository.create([submission(1)], values={})
        path.rename(aside)

        await refuse(repository)
        problem = repository.problem()
        left = path.exists()
        aside.rename(path)
        await recovered(repository)
        await repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={})

    assert problem is not None
    assert "is gone" in problem
    assert not left


async def test_a_file_that_is_put_in_the_place_of_the_store_is_opened(tmp_path: Path) -> None:
    path, backup = tmp_path / "runs.db", tmp_path / "backup.db"
    async with leading(path) as repository:
        await repository.create([submission(1)], values={})
        execute(path, f"VACUUM INTO '{backup}'")
        await repository.create([submission(2)], values={})
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink()
        backup.rename(path)

        with pytest.raises(StoreUnavailableError, match="replaced"):
            await repository.create([submission(3)], values={})
        await recovered(repository)
        await repository.create([submission(3)], values={})
        listed = await repository.list(DEFAULT_NAMESPACE, RunQuery())

    assert {run.run_id for run in listed.runs} == {FIRST, run_id(3)}


async def test_a_lease_that_could_not_be_taken_can_be_taken_later(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with opened(Settings(store=f"sqlite:///{path}"), clock=ManualClock()) as repository:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                await repository.lead()
        other.execute("ROLLBACK")
        other.close()
        lease = await repository.lead()
        await repository.create([submission(1)], values={})
        await repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={})
        async with opened(Settings(store=f"sqlite:///{path}"), clock=ManualClock()) as second:
            with pytest.raises(StoreInUseError, match=str(os.getpid())):
                await second.lead()

    assert lease.epoch == 1


async def test_a_lease_whose_first_act_failed_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: SqlRunRepository, entry: object) -> None:
        raise StoreUnavailableError("it is away")

    async with opened(Settings(store=f"sqlite:///{tmp_path / 'runs.db'}"), clock=ManualClock()) as repository:
        with monkeypatch.context() as broken:
            broken.setattr(SqlRunRepository, "_write", fail)
            with pytest.raises(StoreUnavailableError):
                await repository.lead()
        lease = await repository.lead()
        await repository.create([submission(1)], values={})
        await repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={})

    assert lease.epoch == 2


async def test_a_file_that_is_no_database_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    path.write_bytes(b"Dear diary, today I was no database. " * 100)

    with pytest.raises(StoreUnavailableError, match="not a database"):
        async with opened(Settings(store=f"sqlite:///{path}"), clock=ManualClock()):
            pass

    assert path.read_bytes().startswith(b"Dear diary")


async def test_a_slow_commit_is_a_problem_until_it_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SLOW_SECONDS", 0.0)
    go_on = asyncio.Event()
    write = sqlite.SqliteDatabase.write

    async def write_slowly(self: sqlite.SqliteDatabase, work: Callable[..., object]) -> object:
        await go_on.wait()
        return await write(self, work)

    async with leading(tmp_path / "runs.db") as repository:
        monkeypatch.setattr(sqlite.SqliteDatabase, "write", write_slowly)
        creating = [asyncio.ensure_future(repository.create([submission(n)], values={})) for n in range(1, 4)]
        await until(lambda: repository.problem() is not None)

        problem = repository.problem()
        creating[1].cancel()
        go_on.set()
        done = await asyncio.gather(*creating, return_exceptions=True)

        assert repository.problem() is None
        assert len(await repository.unfinished()) == 3
    assert problem is not None
    assert "under way" in problem
    assert (done[0], type(done[1]), done[2]) == (run_id(1), asyncio.CancelledError, run_id(3))


async def test_close_writes_what_waits_also_if_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with leading(path) as repository:
        writing = asyncio.ensure_future(repository.create([submission(1)], values={}))
        await asyncio.sleep(0)
        writing.cancel()

    async with leading(path) as repository:
        assert await repository.unfinished() == [(DEFAULT_NAMESPACE, FIRST)]


DAMAGE = {
    "an event": "UPDATE events SET data = X'7B7B' WHERE sequence = 2",
    "an empty event": "UPDATE events SET data = X'' WHERE sequence = 2",
    "an event of another type": """UPDATE events SET data = '{"type":"Nonsense","sequence":2}' WHERE sequence = 2""",
    "a missing event": "DELETE FROM events WHERE sequence = 2",
    "no event at all": "DELETE FROM events",
}


@pytest.mark.parametrize("statement", DAMAGE.values(), ids=DAMAGE)
async def test_a_damaged_log_is_told_of_and_others_go_on(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "runs.db"
    async with leading(path) as repository:
        await repository.create(finished_log(1)[:4], values={})
    execute(path, statement)

    async with leading(path) as repository:
        await repository.create(finished_log(2)[:4], values={})
        with pytest.raises(CorruptRunError, match=FIRST):
            await repository.events(DEFAULT_NAMESPACE, FIRST, after=0, limit=10)
        listed = await repository.list(DEFAULT_NAMESPACE, RunQuery())
        other = await repository.events(DEFAULT_NAMESPACE, run_id(2), after=0, limit=10)

    assert [run.run_id for run in listed.runs] == [run_id(2), FIRST]
    assert [event.sequence for event in other] == [1, 2, 3, 4]


async def test_damaged_values_summaries_and_letters_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with leading(path) as repository:
        await repository.create([submission(1)], values={"aa": b"[1, 2, 3]"})
        await repository.create([submission(2)], values={})
        await repository.send(DEFAULT_NAMESPACE, FIRST, CancelRequested(reason="so"))
    execute(path, "UPDATE run_values SET data = X'5B'")
    execute(path, "UPDATE runs SET labels = '{' WHERE run_id = ?", FIRST)
    execute(path, "UPDATE letters SET signal = '{'")

    async with leading(path) as repository:
        with pytest.raises(CorruptRunError):
            await repository.value(DEFAULT_NAMESPACE, FIRST, "aa")
        with pytest.raises(CorruptRunError):
            await repository.summary(DEFAULT_NAMESPACE, FIRST)
        [letter] = await repository.letters()
        other = await repository.summary(DEFAULT_NAMESPACE, run_id(2))

    assert (letter.run_id, letter.signal) == (FIRST, None)
    assert other.run_id == run_id(2)


async def test_a_write_that_cannot_be_takes_no_other_with_it(tmp_path: Path) -> None:
    nobody = "\ud800"
    async with leading(tmp_path / "runs.db") as repository:
        done = await asyncio.gather(
            repository.create([submission(1)], values={}),
            repository.create([submission(2, namespace=Namespace(nobody))], values={}),
            repository.create([submission(3)], values={}),
            return_exceptions=True,
        )

        assert {each for _, each in await repository.unfinished()} == {FIRST, run_id(3)}
        assert repository.problem() is None
    assert (done[0], done[2]) == (FIRST, run_id(3))
    assert isinstance(done[1], UnicodeEncodeError)
