"""What becomes of a store on a server while it cannot be used, and of two processes that share one."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from gql_app.core.errors import LeaseLostError, StoreUnavailableError
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.core.listing import RunQuery
from gql_app.core.signals import CancelRequested
from gql_app.ports import Letter
from gql_app.settings import Settings
from gql_app.storage.sql import advisory, journal, notices, postgres
from gql_app.storage.sql.opening import opened
from gql_app.storage.sql.repository import SqlRunRepository
from tests.support.logs import finished_log, progress, run_id, submission
from tests.support.postgres import Cluster, own_cluster, shared_cluster
from tests.support.repositories import ManualClock

pytestmark = pytest.mark.anyio

FIRST = run_id(1)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again soon."""
    monkeypatch.setattr(journal, "PROBE_SECONDS", 0.01)
    monkeypatch.setattr(advisory, "TRY_SECONDS", 0.01)
    monkeypatch.setattr(advisory, "PING_SECONDS", 0.2)
    monkeypatch.setattr(notices, "POLL_SECONDS", 0.01)


@asynccontextmanager
async def database(cluster: Cluster) -> AsyncIterator[str]:
    """Make a database of one's own, and tell its name."""
    name = await cluster.create_database()
    try:
        yield name
    finally:
        await cluster.drop_database(name)


@asynccontextmanager
async def repositories(cluster: Cluster, name: str, count: int = 1) -> AsyncIterator[list[SqlRunRepository]]:
    """Open a store several times; the first one leads."""
    settings = Settings(store=cluster.url_of(name), migrate=True)
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(opened(settings, clock=ManualClock())) for _ in range(count)]
        await made[0].lead()
        yield made


async def until(is_so: Callable[[], bool]) -> None:
    while True:
        await asyncio.sleep(0)
        if is_so():
            return


async def recovered(repository: SqlRunRepository) -> None:
    """Wait until the store says that it can be written again."""
    await until(lambda: repository.problem() is None)


async def refuse(repository: SqlRunRepository) -> None:
    """See to it that nothing is acknowledged, and that nothing but the trouble is told of."""
    letter = Letter(id=1, namespace=DEFAULT_NAMESPACE, run_id=FIRST, signal=None)
    for call in (
        repository.create([submission(7)], values={}),
        repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={}),
        repository.send(DEFAULT_NAMESPACE, FIRST, CancelRequested(reason=None)),
        repository.discard([letter]),
        repository.delete(DEFAULT_NAMESPACE, FIRST),
        repository.events(DEFAULT_NAMESPACE, FIRST, after=0, limit=10),
        repository.wait(DEFAULT_NAMESPACE, FIRST, after=0),
        repository.value(DEFAULT_NAMESPACE, FIRST, "aa"),
        repository.summary(DEFAULT_NAMESPACE, FIRST),
        repository.list(DEFAULT_NAMESPACE, RunQuery()),
        repository.unfinished(),
        repository.letters(),
    ):
        with pytest.raises(StoreUnavailableError):
            await call


async def test_while_the_server_is_down_all_is_refused_and_it_goes_on_by_itself_after_that(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    with own_cluster() as cluster:
        async with database(cluster) as name, repositories(cluster, name) as [repository]:
            await repository.create([submission(1)], values={"aa": b"1"})
            await asyncio.to_thread(cluster.stop, mode="immediate")

            await refuse(repository)
            await refuse(repository)
            problem = repository.problem()
            await asyncio.to_thread(cluster.start)
            await recovered(repository)
            await repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={})

            assert len(await repository.events(DEFAULT_NAMESPACE, FIRST, after=0, limit=10)) == 4
            assert [each for _, each in await repository.unfinished()] == [FIRST]
    assert problem is not None
    told = [record.getMessage() for record in caplog.records if record.name == journal.__name__]
    assert len(told) == 2
    assert told[1] == "The store is available again."
    assert not any(record.exc_info for record in caplog.records)


KILL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def test_whatever_connection_is_killed_the_store_goes_on() -> None:
    cluster = shared_cluster()
    async with database(cluster) as name, repositories(cluster, name) as [repository]:
        log = finished_log(nodes=20)
        await repository.create(log[:1], values={})
        for sequence, event in enumerate(log[1:], 1):
            await asyncio.gather(*(repository.list(DEFAULT_NAMESPACE, RunQuery()) for _ in range(5)))
            await cluster.execute(KILL, name)

            listed = await asyncio.gather(*(repository.list(DEFAULT_NAMESPACE, RunQuery()) for _ in range(5)))
            assert {len(page.runs) for page in listed} == {1}
            while True:
                try:
                    await repository.append(DEFAULT_NAMESPACE, FIRST, sequence, [event], values={})
                except StoreUnavailableError:
                    await recovered(repository)
                else:
                    break

        stored = await repository.events(DEFAULT_NAMESPACE, FIRST, after=0, limit=100)
        assert [event.sequence for event in stored] == list(range(1, len(log) + 1))


async def test_a_lock_that_others_hold_too_long_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "COMMAND_SECONDS", 0.3)
    cluster = shared_cluster()
    async with database(cluster) as name, repositories(cluster, name) as [repository]:
        await repository.create([submission(1)], values={})
        other = await postgres._connect(cluster.url_of(name))
        await other.execute("BEGIN")
        await other.execute("LOCK TABLE events IN SHARE MODE")

        with pytest.raises(StoreUnavailableError):
            await repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={})
        problem = repository.problem()
        seen = await repository.summary(DEFAULT_NAMESPACE, FIRST)
        await other.execute("ROLLBACK")
        await other.close()
        await recovered(repository)
        await repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={})

        assert (await repository.summary(DEFAULT_NAMESPACE, FIRST)).sequence == 4
    assert problem is not None
    assert seen.sequence == 1


async def test_after_an_answer_that_was_lost_the_same_again_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = shared_cluster()
    write = postgres.PostgresDatabase.write

    async def lose_the_answer(self: postgres.PostgresDatabase, work: Callable[..., object]) -> object:
        await write(self, work)
        raise StoreUnavailableError("the answer is lost")

    async with database(cluster) as name, repositories(cluster, name) as [repository]:
        for send in (
            lambda: repository.create([submission(1)], values={}),
            lambda: repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={}),
        ):
            with monkeypatch.context() as lossy:
                lossy.setattr(postgres.PostgresDatabase, "write", lose_the_answer)
                with pytest.raises(StoreUnavailableError):
                    await send()
            await send()

        stored = await repository.events(DEFAULT_NAMESPACE, FIRST, after=0, limit=100)
        assert [event.sequence for event in stored] == [1, 2, 3, 4]


async def test_a_write_that_the_server_refuses_takes_no_other_with_it() -> None:
    cluster = shared_cluster()
    async with database(cluster) as name, repositories(cluster, name) as [repository]:
        done = await asyncio.gather(
            repository.create([submission(1)], values={}),
            repository.create([submission(2, namespace=Namespace("x" * 100))], values={}),
            repository.create([submission(3)], values={}),
            return_exceptions=True,
        )

        assert {each for _, each in await repository.unfinished()} == {FIRST, run_id(3)}
        assert repository.problem() is None
    assert (done[0], done[2]) == (FIRST, run_id(3))
    assert isinstance(done[1], Exception)
    assert not isinstance(done[1], StoreUnavailableError)


async def test_readers_that_are_cancelled_leave_their_connections_to_others() -> None:
    cluster = shared_cluster()
    async with database(cluster) as name, repositories(cluster, name) as [repository]:
        await repository.create([submission(1)], values={})
        for turns in range(40):
            reading = [asyncio.ensure_future(repository.summary(DEFAULT_NAMESPACE, FIRST)) for _ in range(8)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in reading:
                task.cancel()
            await asyncio.wait(reading)

        found = await asyncio.gather(*(repository.summary(DEFAULT_NAMESPACE, FIRST) for _ in range(20)))
    assert len(found) == 20


class Line:
    """Stands between the store and its server, and can fall silent without being cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.open = asyncio.Event()
        self.open.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        both = [asyncio.ensure_future(self._pass_on(*ends)) for ends in ((reader, back), (there, writer))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.wait(both)
            writer.transport.abort()
            back.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(64 << 10):
                await self.open.wait()
                writer.write(data)
        except ConnectionError:
            return


async def test_a_server_that_falls_silent_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "COMMAND_SECONDS", 0.3)
    monkeypatch.setattr(postgres, "CONNECT_SECONDS", 0.3)
    cluster = shared_cluster()
    line = Line(cluster.port)
    async with database(cluster) as name, await asyncio.start_server(line.handle, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        settings = Settings(store=f"postgresql://postgres@127.0.0.1:{port}/{name}", migrate=True)
        async with opened(settings, clock=ManualClock()) as repository:
            await repository.lead()
            await repository.create([submission(1)], values={"aa": b"1"})
            line.open.clear()

            for call in (
                repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={}),
                repository.list(DEFAULT_NAMESPACE, RunQuery()),
                repository.value(DEFAULT_NAMESPACE, FIRST, "aa"),
            ):
                with pytest.raises(StoreUnavailableError):
                    await call
            problem = repository.problem()
            line.open.set()
            await recovered(repository)
            await repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={})

            assert (await repository.summary(DEFAULT_NAMESPACE, FIRST)).sequence == 4
    assert problem is not None


async def test_a_process_that_does_not_lead_leaves_letters_and_appends_nothing() -> None:
    cluster = shared_cluster()
    async with database(cluster) as name, repositories(cluster, name, 2) as [leader, other]:
        await other.create([submission(1)], values={})
        await other.send(DEFAULT_NAMESPACE, FIRST, CancelRequested(reason="so"))
        with pytest.raises(LeaseLostError):
            await other.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={})

        await leader.wait_for_letters()
        left = await leader.letters()
        again = await leader.letters()
        await leader.discard(left)

        assert [(letter.run_id, letter.signal) for letter in left] == [
            (FIRST, None),
            (FIRST, CancelRequested(reason="so")),
        ]
        assert again == left
        assert await leader.letters() == []


async def test_letters_outlive_the_leader_that_has_not_thrown_them_away() -> None:
    cluster = shared_cluster()
    async with database(cluster) as name, repositories(cluster, name, 2) as [leader, other]:
        await other.create([submission(1)], values={})
        before = await leader.letters()
        await leader.close()
        await other.lead()

        assert await other.letters() == before


async def test_an_append_of_an_epoch_that_is_over_fails_and_the_lease_is_lost() -> None:
    cluster = shared_cluster()
    async with database(cluster) as name, repositories(cluster, name) as [repository]:
        await repository.create([submission(1)], values={})
        lease = repository._lease
        assert lease is not None
        await cluster.execute("UPDATE leases SET epoch = epoch + 1", name)

        with pytest.raises(LeaseLostError):
            await repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={})
        await lease.lost()
        await lease.release()
        again = await repository.lead()
        await repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={})

        assert again.epoch == lease.epoch + 2


async def test_a_lease_that_was_not_handed_out_ends_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advisory, "PING_SECONDS", 0.01)
    cluster = shared_cluster()

    async def fail(self: SqlRunRepository, entry: object) -> None:
        raise StoreUnavailableError("it is away")

    async with (
        database(cluster) as name,
        opened(Settings(store=cluster.url_of(name), migrate=True), clock=ManualClock()) as repository,
    ):
        with monkeypatch.context() as broken:
            broken.setattr(SqlRunRepository, "_write", fail)
            with pytest.raises(StoreUnavailableError):
                await repository.lead()
        lease = await repository.lead()
        await repository.create([submission(1)], values={})
        for sequence, event in enumerate(finished_log(nodes=20)[1:], 1):
            await repository.append(DEFAULT_NAMESPACE, FIRST, sequence, [event], values={})
            await asyncio.sleep(0.005)

        assert repository._lease is lease


LISTENERS = f"{KILL} AND query LIKE 'LISTEN%'"


async def test_a_watcher_in_another_process_sees_every_event_once_however_often_its_listener_is_killed() -> None:
    cluster = shared_cluster()
    log = finished_log(nodes=100)
    async with database(cluster) as name, repositories(cluster, name, 2) as [leader, other]:
        await leader.create(log[:1], values={})
        seen: list[int] = []

        async def watch() -> None:
            while len(seen) < len(log):
                await other.wait(DEFAULT_NAMESPACE, FIRST, after=len(seen))
                events = await other.events(DEFAULT_NAMESPACE, FIRST, after=len(seen), limit=7)
                seen.extend(event.sequence for event in events)

        watching = asyncio.ensure_future(watch())
        for sequence, event in enumerate(log[1:], 1):
            await asyncio.gather(
                cluster.execute(LISTENERS, name),
                leader.append(DEFAULT_NAMESPACE, FIRST, sequence, [event], values={}),
            )
        await watching

    assert seen == [event.sequence for event in log]
