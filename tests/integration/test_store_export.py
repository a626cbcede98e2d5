"""What leaves a store with `gql-app export` comes into another one with `gql-app import`, and goes on there."""

import asyncio
import json
import sqlite3
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing

import pytest

from gql_app.bootstrap import application
from gql_app.core.events import Usage
from gql_app.core.fold import fold
from gql_app.core.ids import DEFAULT_NAMESPACE, RunId
from gql_app.core.listing import RunQuery
from gql_app.core.run import RunStatus
from gql_app.core.signals import CancelRequested
from gql_app.ports import IdempotencyKey, RunRepository
from gql_app.settings import Settings
from gql_app.storage.sql.exporting import Choice, Exporter
from gql_app.storage.sql.importing import Importer
from gql_app.storage.sql.opening import make_wakeups, opened
from gql_app.storage.sql.upkeep import opened_database, upgrade
from tests.support.documents import document, echo
from tests.support.exports import OTHER, big_value, bring, export, fill, lines, try_export, write_every_kind
from tests.support.logs import ending, later, progress, run_id, submission
from tests.support.repositories import ManualClock
from tests.support.stores import EMPTY_STORES, EmptyStore
from tests.support.streams import StreamLog

pytestmark = pytest.mark.anyio

LONGEST_WAIT = 60.0


@pytest.fixture(params=EMPTY_STORES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[EmptyStore]:
    async with EMPTY_STORES[request.param]() as made:
        await upgrade(Settings(store=made.url))
        yield made


@pytest.fixture
async def source() -> AsyncIterator[EmptyStore]:
    async with EMPTY_STORES["sqlite"]() as made:
        yield made


async def test_what_attempts_showed_and_their_steps_go_with_a_run(store: EmptyStore, source: EmptyStore) -> None:
    (asked, asked_data), (answered, answered_data) = big_value(1), big_value(2)
    log = StreamLog(9)
    log.start()
    log.chunk("line\u2028 \x00 \u00e9")
    log.log("busy", left=3)
    log.progress(0.5)
    log.step("model-1", input=asked)
    log.complete_step("model-1", output=answered, usage=Usage(requests=1, input_tokens=2))
    log.queue_step("call-1", input=asked)

    async def write(repository: RunRepository) -> None:
        await repository.create(log.events[:3], values={})
        values = asked_data | answered_data
        await repository.append(DEFAULT_NAMESPACE, log.run_id, 3, log.events[3:], values=values)

    await fill(source, write)
    data = await export(source)
    imported = await bring(store, data)

    assert (imported.added, imported.problems) == (1, [])
    assert await export(store) == data
    async with opened(Settings(store=store.url), clock=ManualClock()) as repository:
        read = await repository.events(DEFAULT_NAMESPACE, log.run_id, after=0, limit=100)
        values = {
            value.sha256: await repository.value(DEFAULT_NAMESPACE, log.run_id, str(value.sha256))
            for value in (asked, answered)
        }
    assert fold(read) == fold(log.events)
    assert values == asked_data | answered_data


async def test_runs_go_from_sqlite_to_postgres_and_back_unchanged() -> None:
    async with AsyncExitStack() as stack:
        names = ("sqlite", "postgres", "sqlite")
        first, second, third = [await stack.enter_async_context(EMPTY_STORES[name]()) for name in names]
        await fill(first, write_every_kind)
        await upgrade(Settings(store=second.url))

        exports = [await export(first)]
        for store in (second, third):
            imported = await bring(store, exports[-1])
            assert (imported.added, imported.present, imported.problems) == (5, 0, [])
            exports.append(await export(store))

        assert exports[1] == exports[0]
        assert exports[2] == exports[0]
        assert lines(exports[0])[-1] == {"type": "footer", "runs": 5}


async def test_what_is_imported_is_listed_and_found_as_before(source: EmptyStore, store: EmptyStore) -> None:
    await fill(source, write_every_kind)
    await bring(store, await export(source))

    pages = []
    for each in (source, store):
        async with opened(Settings(store=each.url), clock=ManualClock()) as repository:
            pages.append([await repository.list(space, RunQuery(limit=100)) for space in (DEFAULT_NAMESPACE, OTHER)])
            again = submission(9)
            found = await repository.create([again], values={}, idempotency=IdempotencyKey("long", "1"))
            assert found == run_id(4)

    assert pages[0] == pages[1]
    assert len(pages[0][0].runs) == 3


async def test_runs_that_had_not_ended_go_on_where_they_are_imported(source: EmptyStore, store: EmptyStore) -> None:
    big = "x" * 5_000
    running = document(echo("a", big), {"id": "b", "tool": "delay", "input": {"seconds": 3600}, "dependsOn": ["a"]})
    async with application(Settings(store=source.url, shutdown_grace_seconds=0)) as opened_there:
        run = await opened_there.service.submit(DEFAULT_NAMESPACE, running, idempotency_key="one")
        async for update in opened_there.service.watch(DEFAULT_NAMESPACE, run.run_id, after=0):
            if update.run.nodes[1].attempts:
                break

    await bring(store, await export(source))

    async with application(Settings(store=store.url, shutdown_grace_seconds=0)) as opened_here:
        again = await opened_here.service.submit(DEFAULT_NAMESPACE, running, idempotency_key="one")
        assert again.run_id == run.run_id
        await opened_here.service.cancel(DEFAULT_NAMESPACE, run.run_id)
        ended = [update.run async for update in opened_here.service.watch(DEFAULT_NAMESPACE, run.run_id)][-1]
    assert ended.status is RunStatus.CANCELLED
    assert ended.nodes[0].output.size == len(json.dumps(big))


async def test_a_server_that_is_running_goes_on_with_what_is_imported(source: EmptyStore) -> None:
    async def begin(repository: RunRepository) -> None:
        for number in (1, 2):
            await repository.create([submission(number)], values={})
        await repository.send(DEFAULT_NAMESPACE, run_id(2), CancelRequested(reason="never mind"))

    await fill(source, begin)
    async with EMPTY_STORES["postgres"]() as store, application(Settings(store=store.url, migrate=True)) as opened_here:
        # Without an executor it is the letters that tell of them: it has taken over all there were before.
        before = await opened_here.service.submit(DEFAULT_NAMESPACE, document(echo("a", 1)))
        [_ async for _ in opened_here.service.watch(DEFAULT_NAMESPACE, before.run_id)]

        await bring(store, await export(source))

        async with asyncio.timeout(LONGEST_WAIT):
            for number in (1, 2):
                [_ async for _ in opened_here.service.watch(DEFAULT_NAMESPACE, run_id(number))]
        ended = [await opened_here.service.get(DEFAULT_NAMESPACE, run_id(number)) for number in (1, 2)]
    assert [run.status.final for run in ended] == [True, True]


async def test_runs_that_are_there_are_left_as_they_are(source: EmptyStore, store: EmptyStore) -> None:
    await fill(source, write_every_kind)
    data = await export(source)
    await bring(store, data)

    async def go_on(repository: RunRepository) -> None:
        await repository.append(OTHER, run_id(2), 1, [ending(2, at=later(20))], values={})

    await fill(store, go_on)
    after = await export(store)
    again = await bring(store, data)

    assert (again.added, again.present, again.problems) == (0, 5, [])
    assert await export(store) == after


async def test_another_log_under_the_same_id_is_named_and_the_rest_imported(
    source: EmptyStore, store: EmptyStore
) -> None:
    await fill(source, write_every_kind)

    async def differ(repository: RunRepository) -> None:
        await repository.create([submission(2, name="another", namespace=OTHER)], values={})
        await repository.create([submission(3, namespace=OTHER, at=later(3))], values={})
        await repository.create([submission(4)], values={}, idempotency=IdempotencyKey("mine", "1"))
        await repository.create([submission(77)], values={}, idempotency=IdempotencyKey("k\x00\x01", "2"))

    await fill(store, differ)
    imported = await bring(store, await export(source))

    assert (imported.added, imported.present) == (1, 0)
    told = "\n".join(imported.problems)
    assert told.count("the store has another log under this id") == 3
    assert all(str(run_id(number)) in told for number in (1, 2, 3, 4))
    assert f"its idempotency key 'k\\x00\\x01' belongs to run {run_id(77)}" in told


async def test_what_is_asked_for_is_exported(source: EmptyStore) -> None:
    await fill(source, write_every_kind)

    def exported(data: bytes) -> list[RunId]:
        return [line["run"] for line in lines(data) if line["type"] == "end"]

    assert exported(await export(source)) == [run_id(3), run_id(4), run_id(1), run_id(5), run_id(2)]
    assert exported(await export(source, Choice(namespace=OTHER))) == [run_id(3), run_id(2)]
    assert exported(await export(source, Choice(unfinished=True))) == [run_id(1), run_id(5), run_id(2)]
    assert exported(await export(source, Choice(run_ids=[run_id(4), run_id(1)]))) == [run_id(4), run_id(1)]
    _, nowhere = await try_export(source, Choice(run_ids=[run_id(4), run_id(99)]))
    assert (nowhere.runs, len(nowhere.problems)) == (1, 1)
    assert str(run_id(99)) in nowhere.problems[0]


async def test_a_run_that_goes_on_meanwhile_is_exported_as_it_was_at_one_moment(source: EmptyStore) -> None:
    async with opened(Settings(store=source.url), clock=ManualClock()) as repository:
        await repository.lead()
        await repository.create([submission(1)], values={})
        await repository.create([submission(2)], values={})
        begun: list[asyncio.Task[None]] = []

        def happen(line: bytes) -> None:
            if b'"type":"run"' in line and str(run_id(1)).encode() in line:
                value, values = big_value(1)
                events = [*progress(output=value), ending(5)]
                begun.append(
                    asyncio.create_task(repository.append(DEFAULT_NAMESPACE, run_id(1), 1, events, values=values))
                )

        data, exported = await try_export(source, write=happen)
        await asyncio.gather(*begun)

    assert exported.runs == 2
    async with EMPTY_STORES["sqlite"]() as store:
        assert (await bring(store, data)).problems == []
        async with opened(Settings(store=store.url), clock=ManualClock()) as copy:
            run = fold(await copy.events(DEFAULT_NAMESPACE, run_id(1), after=0, limit=100))
            assert run.sequence == 1


async def test_a_run_that_is_removed_meanwhile_is_left_out(source: EmptyStore) -> None:
    async with opened(Settings(store=source.url), clock=ManualClock()) as repository:
        await repository.lead()
        value, values = big_value(1)
        for number in (1, 2):
            log = [submission(number, input=value), ending(2)]
            await repository.create(log, values=values)

        def remove(line: bytes) -> None:
            if b'"type":"events"' in line and str(run_id(1)).encode() in line:
                with closing(sqlite3.connect(source.url.removeprefix("sqlite:///"))) as connection, connection:
                    for table in ("events", "run_values", "runs"):
                        connection.execute(f"DELETE FROM {table} WHERE run_id = '{run_id(1)}'")

        data, exported = await try_export(source, write=remove)

    assert (exported.runs, exported.problems) == (1, [])
    async with EMPTY_STORES["sqlite"]() as store:
        imported = await bring(store, data)
        assert (imported.added, imported.problems) == (1, [])


async def test_a_run_that_cannot_be_read_is_named_and_the_others_exported(store: EmptyStore) -> None:
    async def write(repository: RunRepository) -> None:
        value, values = big_value(1)
        for number in (1, 2, 3, 4):
            await repository.create([submission(number, input=value), ending(2)], values=values)

    await fill(store, write)
    await store.execute(f"DELETE FROM run_values WHERE run_id = '{run_id(1)}'")
    await store.execute(f"DELETE FROM events WHERE run_id = '{run_id(2)}' AND sequence = 1")
    await store.execute(f"DELETE FROM events WHERE run_id = '{run_id(3)}'")

    data, exported = await try_export(store)

    assert exported.runs == 1
    assert [str(run_id(number)) in problem for number, problem in enumerate(exported.problems, 1)] == [True] * 3
    async with EMPTY_STORES["sqlite"]() as other:
        imported = await bring(other, data)
        assert (imported.added, imported.problems) == (1, [])


async def test_a_big_run_is_never_whole_in_memory(source: EmptyStore) -> None:
    made = [big_value(number, 256 << 10) for number in range(160)]

    async def write(repository: RunRepository) -> None:
        await repository.create([submission(1, nodes=160)], values={})
        after = 1
        for number, (value, values) in enumerate(made):
            events = progress(160, output=value)[1 + 2 * number : 3 + 2 * number]
            if not number:
                events = progress(160, output=value)[:3]
            await repository.append(DEFAULT_NAMESPACE, run_id(1), after, events, values=values)
            after += len(events)

    await fill(source, write)
    size = sum(len(data) for _, values in made for data in values.values())
    made.clear()
    async with EMPTY_STORES["sqlite"]() as place:
        file = place.url.removeprefix("sqlite:///") + ".jsonl"
        with open(file, "w+b") as told:  # noqa: ASYNC230, PTH123 - a file of the test's own
            tracemalloc.start()
            try:
                async with opened_database(Settings(store=source.url), reads=True) as database:
                    await Exporter(database, told.write).export(Choice())
                told.seek(0)
                async with opened_database(Settings(store=place.url), makes=True) as database:
                    importer = Importer(database, make_wakeups(database))
                    await importer.read(told)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    assert size > 40 << 20
    assert importer.imported.added == 1
    assert peak < 24 << 20
