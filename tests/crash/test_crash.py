"""A server is killed at any moment, again and again: nothing acknowledged is lost, and nothing is done twice."""

import os
import random
from pathlib import Path

import pytest

from gql_app.settings import Settings
from tests.support.crashing import Instance, Workload, check, running
from tests.support.postgres import shared_cluster

pytestmark = [pytest.mark.anyio, pytest.mark.crash]

KILLS = 200 if os.environ.get("GQL_APP_SOAK") == "1" else 20
SEED = int(os.environ.get("GQL_APP_CRASH_SEED", "4"))


async def make_store(kind: str, file: Path) -> str:
    if kind == "sqlite":
        return f"sqlite:///{file}"
    cluster = shared_cluster()
    return cluster.url_of(await cluster.create_database())


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_server_that_is_killed_again_and_again_loses_nothing(kind: str, tmp_path: Path) -> None:
    store, record = await make_store(kind, tmp_path / "runs.db"), tmp_path / "calls"
    server = Instance(store, record, "--migrate", log=tmp_path / "log")
    workload = Workload(SEED, [server])
    kills = random.Random(SEED)

    async with running(server):
        for _ in range(KILLS):
            workload.submit(3)
            await workload.until_seen(workload.seen + kills.randint(1, 60))
            server.kill()
            await server.start()
        await workload.finished()
        code = await server.stop()

    assert code == 0
    assert len(workload.acknowledged) == 3 * KILLS
    assert await check(workload, Settings(store=store), record) > 0
