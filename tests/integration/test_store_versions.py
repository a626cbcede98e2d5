"""Stores of every version that ever was open with the code of today, and their runs come to their ends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gql_app.bootstrap import application
from gql_app.core.events import AttemptLost, NodeCompleted, RunEvent
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.listing import RunQuery
from gql_app.core.run import AttemptStatus, WorkflowRun
from gql_app.settings import Settings
from gql_app.storage.sql import versions
from gql_app.storage.sql.opening import make_database
from gql_app.storage.sql.upkeep import Upgraded, look, upgrade
from tests.support.old_stores import DIRECTORY, ENDS, ClockOfThen, OldStore, make_tools
from tests.support.stores import EMPTY_STORES

pytestmark = pytest.mark.anyio

LONGEST_WAIT = 60.0
WRITTEN = sorted(DIRECTORY.glob("*.json"))


@pytest.fixture(params=WRITTEN, ids=[path.stem for path in WRITTEN])
def old(request: pytest.FixtureRequest) -> OldStore:
    path: Path = request.param
    return OldStore(path)


@pytest.fixture(params=EMPTY_STORES)
async def settings(request: pytest.FixtureRequest, old: OldStore) -> AsyncIterator[Settings]:
    async with EMPTY_STORES[request.param]() as store:
        made = Settings(store=store.url, migrate=True, shutdown_grace_seconds=0, stop_grace_seconds=0)
        database = make_database(made)
        await database.write(lambda connection: old.make(connection, database.name))
        await database.close()
        yield made


def test_there_is_a_store_of_every_version() -> None:
    """When this fails, write one down before the migration that is new: see tests/support/old_stores.py."""
    assert [path.stem for path in WRITTEN] == versions.all_versions()


async def test_the_runs_of_an_old_store_come_to_their_ends(old: OldStore, settings: Settings) -> None:
    ended: dict[str, WorkflowRun] = {}
    async with (
        asyncio.timeout(LONGEST_WAIT),
        application(settings, tools=make_tools(then=False), clock=ClockOfThen(old.written_at)) as opened,
    ):
        for found in (await opened.service.list(DEFAULT_NAMESPACE, RunQuery(limit=100))).runs:
            events: list[RunEvent] = []
            async for update in opened.service.watch(DEFAULT_NAMESPACE, found.run_id, after=0):
                events += update.events
                ended[found.name] = update.run
            completed = [event.node for event in events if isinstance(event, NodeCompleted)]
            assert len(completed) == len(set(completed)), f"A node of {found.name!r} ran again."
            lost = sum(isinstance(event, AttemptLost) for event in events)
            assert lost == (found.name in {"in flight", "at most once", "has a big output", "to be cancelled"})

    assert {name: run.status.value for name, run in ended.items()} == ENDS
    assert [attempt.status for attempt in ended["in back-off"].nodes[-1].attempts] == [
        AttemptStatus.FAILED,
        AttemptStatus.COMPLETED,
    ]
    assert ended["has a big output"].nodes[-1].output.size > 3_000


async def test_an_old_store_is_upgraded_with_all_that_is_in_it(old: OldStore, settings: Settings) -> None:
    done = await upgrade(settings)

    status = await look(settings)
    assert done == Upgraded(old.version, versions.newest())
    assert sum(status.runs.values()) == len(ENDS)
    assert status.keys == 1
