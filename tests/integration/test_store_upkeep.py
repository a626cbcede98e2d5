"""What `gql-app db` does to stores of each kind."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from gql_app.cli.main import main
from gql_app.core.errors import InvalidStoreError, StoreInUseError, StoreUnavailableError
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.listing import RunQuery
from gql_app.settings import Settings
from gql_app.storage.sql import versions
from gql_app.storage.sql.opening import opened
from gql_app.storage.sql.tables import metadata
from gql_app.storage.sql.upkeep import Upgraded, look, opened_database, upgrade, vacuum
from tests.support.cli import command, environment
from tests.support.logs import finished_log, submission
from tests.support.repositories import ManualClock
from tests.support.stores import EMPTY_STORES, EmptyStore

pytestmark = pytest.mark.anyio

LONGEST_WAIT = 60.0
NOT_VACUUMED = "SELECT relname FROM pg_stat_user_tables WHERE last_vacuum IS NULL"


@pytest.fixture(params=EMPTY_STORES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[EmptyStore]:
    async with EMPTY_STORES[request.param]() as made:
        yield made


async def test_an_upgrade_tells_from_which_version_to_which(store: EmptyStore) -> None:
    settings = Settings(store=store.url)

    first, second = await upgrade(settings), await upgrade(settings)

    assert first == Upgraded(None, versions.newest())
    assert second == Upgraded(versions.newest(), versions.newest())


async def test_the_migrations_make_the_tables_that_the_code_knows(store: EmptyStore) -> None:
    await upgrade(Settings(store=store.url))

    def compare(connection: Connection) -> object:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return compare_metadata(context, metadata)

    async with opened_database(Settings(store=store.url)) as database:
        assert await database.read(compare) == []


async def test_a_store_of_a_newer_version_is_left_alone(store: EmptyStore) -> None:
    settings = Settings(store=store.url)
    await upgrade(settings)
    await store.execute("UPDATE alembic_version SET version_num = '9999'")

    for use in (upgrade, look, lambda settings: vacuum(settings, ManualClock())):
        with pytest.raises(InvalidStoreError, match=r"newer version of gql-app \(its tables are of version 9999"):
            await use(settings)
    with pytest.raises(InvalidStoreError, match="Install that version"):
        async with opened(settings, clock=ManualClock()):
            pass


async def test_processes_that_upgrade_at_once_do_it_once(store: EmptyStore) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            *command("db", "upgrade", "--store", store.url),
            env=environment(PYTHONPATH=os.pathsep.join(sys.path)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(3)
    ]

    async with asyncio.timeout(LONGEST_WAIT):
        outputs = [await process.communicate() for process in processes]

    told = sorted(out.decode().partition(":")[0] for out, _ in outputs)
    if store.url.startswith("postgres"):
        assert told == ["The tables are made", *["The tables are up to date"] * 2]
    else:
        # Who finds the file locked is told so.
        assert told.count("The tables are made") == 1
        refused = [err.decode() for _, err in outputs if err]
        assert all("is in use by process" in error for error in refused)
        assert len(refused) == told.count("")


async def test_what_is_due_is_removed_in_batches_and_its_space_given_back(store: EmptyStore) -> None:
    kept, clock = Settings(store=store.url, migrate=True), ManualClock()
    async with opened(kept, clock=clock) as repository:
        lease = await repository.lead()
        for number in range(1, 452):
            await repository.create(finished_log(number), values={"aa": b'"' + b"x" * 5_000 + b'"'})
        await repository.create([submission(999)], values={})
        await lease.release()

    done = await vacuum(kept.model_copy(update={"retention_runs": 1}), clock)

    status = await look(kept)
    assert done.runs == 450
    if store.url.startswith("sqlite"):
        assert done.after < done.before / 4
    else:
        # It keeps most of the space, for rows to come.
        assert [dict(row) for row in await store.execute(NOT_VACUUMED)] == [{"relname": "alembic_version"}]
    assert status.runs == {"COMPLETED": 1, "PENDING": 1}
    assert (status.bytes, status.epoch, status.executing) == (done.after, 1, False)


async def test_who_executes_is_told(store: EmptyStore) -> None:
    settings = Settings(store=store.url, migrate=True)

    async with opened(settings, clock=ManualClock()) as repository:
        lease = await repository.lead()
        executing = await look(settings)
        await lease.release()
    after = await look(settings)

    assert (executing.executing, after.executing) == (True, False)
    assert executing.holder == after.holder
    assert f"process {os.getpid()} " in executing.holder
    assert executing.version == versions.newest()


async def test_a_file_in_use_is_not_vacuumed() -> None:
    async with EMPTY_STORES["sqlite"]() as store, opened(Settings(store=store.url), clock=ManualClock()) as repository:
        await repository.lead()

        with pytest.raises(StoreInUseError, match=f"in use by process {os.getpid()} "):
            await vacuum(Settings(store=store.url), ManualClock())


async def test_whoever_executes_counts_anew_when_others_have_removed_runs() -> None:
    async with EMPTY_STORES["postgres"]() as store:
        kept = Settings(store=store.url, migrate=True, retention_runs=10)
        async with opened(kept, clock=ManualClock()) as repository:
            # From here on it hears of others; who begins to listen looks for letters once.
            await repository.wait_for_letters()
            await repository.letters()
            await repository.lead()
            for number in range(1, 11):
                await repository.create(finished_log(number), values={})

            await vacuum(kept.model_copy(update={"retention_runs": 5}), ManualClock())
            async with opened(kept, clock=ManualClock()) as other:
                await other.create(finished_log(11), values={})
            # Notices come in order: the one that removed runs was there before that of the letter.
            await repository.wait_for_letters()
            for number in range(12, 16):
                await repository.create(finished_log(number), values={})

            page = await repository.list(DEFAULT_NAMESPACE, RunQuery(limit=100))
            assert len(page.runs) == 10


async def test_a_store_that_is_not_there_is_not_made_by_looking_at_it() -> None:
    async with EMPTY_STORES["sqlite"]() as store:
        with pytest.raises(InvalidStoreError, match="There is no store"):
            await vacuum(Settings(store=store.url), ManualClock())
        with pytest.raises(InvalidStoreError, match="There is no store"):
            await look(Settings(store=store.url))


async def test_a_server_that_is_not_there_is_told_without_the_password() -> None:
    with pytest.raises(StoreUnavailableError) as refused:
        await look(Settings(store="postgresql://user:secret@127.0.0.1:1/runs"))

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("action", ["upgrade", "status", "vacuum"])
def test_a_command_names_what_is_wrong_with_the_store(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = main(["db", action])
    said_nothing = capsys.readouterr().err
    unreachable = main(["db", action, "--store", "postgresql://user:secret@127.0.0.1:1/runs"])
    refused = capsys.readouterr().err

    assert (nowhere, unreachable) == (2, 1)
    assert "--store" in said_nothing
    assert "not available" in refused
    assert "secret" not in refused
