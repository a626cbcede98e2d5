"""Several servers on one Postgres: one executes, the others answer, and take over when it is gone."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gql_app.core.values import Json
from gql_app.storage.sql.advisory import TRY_SECONDS
from tests.support.crash_promises import check, check_turns, lost, read_calls
from tests.support.crash_workload import Workload
from tests.support.effort import effort
from tests.support.instances import Instance, running
from tests.support.postgres import Cluster, own_cluster, shared_cluster

pytestmark = [pytest.mark.anyio, pytest.mark.crash]

KILLS = effort(here=3, ci=20, soak=100)
RESTARTS = effort(here=1, ci=5, soak=20)
SEED = int(os.environ.get("GQL_APP_CRASH_SEED", "4"))
LONGEST_WAIT = 60.0


async def holder(cluster: Cluster, name: str) -> tuple[int, str]:
    """Tell the epoch, and who executes."""
    (row,) = await cluster.execute("SELECT epoch, holder FROM leases", name)
    return row["epoch"], row["holder"]


async def until_held(cluster: Cluster, name: str, *servers: Instance) -> Instance:
    """Wait until one of these servers executes, and tell which."""
    async with asyncio.timeout(LONGEST_WAIT):
        while True:
            _, who = await holder(cluster, name)
            for server in servers:
                if who.startswith(f"process {server.pid} "):
                    return server
            await asyncio.sleep(0.02)


def serving(store: str, tmp_path: Path, *arguments: str) -> Instance:
    """Make a server; `arguments` are beside those that all have."""
    return Instance(store, tmp_path / "calls", "--migrate", *arguments, log=tmp_path / "log")


def pair(store: str, tmp_path: Path) -> tuple[Instance, Instance]:
    """Make two servers on one store."""
    return serving(store, tmp_path), serving(store, tmp_path)


seeded = pytest.mark.parametrize("seed", [SEED], ids="seed {}".format)


@seeded
async def test_the_other_server_takes_over_when_one_is_killed(seed: int, tmp_path: Path) -> None:
    cluster = shared_cluster()
    name = await cluster.create_database()
    servers = pair(cluster.url_of(name), tmp_path)
    workload, kills = Workload(seed, servers), random.Random(seed)

    async with running(*servers):
        for _ in range(KILLS):
            executing = await until_held(cluster, name, *servers)
            workload.submit(3)
            await workload.until_seen(workload.seen + kills.randint(1, 60))
            executing.kill()
            (other,) = (server for server in servers if server is not executing)
            assert await until_held(cluster, name, other) is other
            await executing.start()
        await workload.finished()
        epoch, _ = await holder(cluster, name)

    assert epoch == KILLS + 1
    assert lost(await check(workload, cluster.url_of(name), tmp_path / "calls"))
    assert check_turns(read_calls(tmp_path / "calls")) > KILLS / 2


@seeded
async def test_a_server_that_never_executes_answers_all_the_same(seed: int, tmp_path: Path) -> None:
    cluster = shared_cluster()
    name = await cluster.create_database()
    store = cluster.url_of(name)
    executing, answering = serving(store, tmp_path), serving(store, tmp_path, "--role", "api")
    workload = Workload(seed, [answering])

    async with running(executing, answering):
        executors = {executing.pid}
        workload.submit(10)
        await workload.finished()
        before = await holder(cluster, name)
        executing.kill()
        workload.submit(3)
        await workload.until_acknowledged()
        # Several times what one that stands by would need.
        await asyncio.sleep(3 * TRY_SECONDS)
        after = await holder(cluster, name)
        await executing.start()
        executors.add(executing.pid)
        await workload.finished()

    assert before == after
    assert {call["pid"] for call in read_calls(tmp_path / "calls")} <= executors
    await check(workload, cluster.url_of(name), tmp_path / "calls")


@seeded
async def test_a_server_that_stood_still_starts_nothing_that_another_has_taken_over(seed: int, tmp_path: Path) -> None:
    cluster = shared_cluster()
    name = await cluster.create_database()
    servers = pair(cluster.url_of(name), tmp_path)
    workload = Workload(seed, servers)

    async with running(*servers):
        stale = await until_held(cluster, name, *servers)
        (other,) = (server for server in servers if server is not stale)
        workload.servers = [other]
        workload.submit(30)
        await workload.until_seen(40)
        stale.freeze()
        before = len(starts(tmp_path / "calls", stale))
        try:
            await until_held(cluster, name, other)
        finally:
            stale.thaw()
        await until_told(stale, degraded=False)
        workload.servers = [stale]
        workload.submit(10)
        await workload.finished()
        late = starts(tmp_path / "calls", stale)[before:]
        _, who = await holder(cluster, name)
        took_over = f"process {other.pid} "

    logs = await check(workload, cluster.url_of(name), tmp_path / "calls")
    assert who.startswith(took_over)
    # What it had been allowed to do before it stood still; nothing of it counts.
    assert {(call["run"], call["node"], call["attempt"]) for call in late} <= lost(logs)


@seeded
async def test_subscribers_of_the_other_server_miss_nothing_when_its_listener_is_cut_off(
    seed: int, tmp_path: Path
) -> None:
    cluster = shared_cluster()
    name = await cluster.create_database()
    servers = pair(cluster.url_of(name), tmp_path)
    workload = Workload(seed, servers)

    async with running(*servers):
        executing = await until_held(cluster, name, *servers)
        (other,) = (server for server in servers if server is not executing)
        workload.servers = [other]
        for _ in range(10):
            workload.submit(3)
            await workload.until_seen(workload.seen + 10)
            await cut_listeners(cluster, name)
        await workload.finished()

    await check(workload, cluster.url_of(name), tmp_path / "calls")


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    with own_cluster() as made:
        yield made


@seeded
@pytest.mark.parametrize("count", [1, 2], ids=["one server", "two servers"])
async def test_a_database_that_is_restarted_costs_nothing_but_time(
    count: int, seed: int, cluster: Cluster, tmp_path: Path
) -> None:
    servers = [serving(cluster.url, tmp_path) for _ in range(count)]
    workload, choice = Workload(seed, servers), random.Random(seed)

    async with running(*servers):
        pids = [server.pid for server in servers]
        for _ in range(RESTARTS):
            workload.submit(4)
            await workload.until_seen(workload.seen + choice.randint(5, 40))
            await asyncio.to_thread(cluster.stop, mode=choice.choice(["fast", "immediate"]))
            told = [await until_told(server, degraded=True) for server in servers]
            refused = [await submit(server) for server in servers]
            await asyncio.to_thread(cluster.start)
            for server in servers:
                await until_told(server, degraded=False)
            assert all("store" in degraded(health) for health in told)
            assert refused == [503] * count
        await workload.finished()
        assert [server.pid for server in servers if server.process and server.process.poll() is None] == pids

    await check(workload, cluster.url, tmp_path / "calls")


async def cut_listeners(cluster: Cluster, name: str) -> None:
    """Cut off whoever listens to this database; wait for somebody who does."""
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{name}' AND query IN ('LISTEN \"gql_app\"', 'LISTEN gql_app', 'SELECT 1')"
    )
    async with asyncio.timeout(LONGEST_WAIT):
        while True:
            if await cluster.execute(cut):
                return
            await asyncio.sleep(0.02)


def starts(record: Path, server: Instance) -> list[Json]:
    """Tell which calls a server has begun."""
    return [call for call in read_calls(record) if call["what"] == "start" and call["pid"] == server.pid]


def degraded(health: Json) -> set[str]:
    """Name what is not as it should be."""
    return {check["name"] for check in health["checks"] if check["status"] == "degraded"}


async def submit(server: Instance) -> int:
    """Submit something small, and tell the status of the answer."""
    document = {"name": "refused", "nodes": [{"id": "a", "tool": "echo", "input": {"value": 1}}]}
    async with server.client() as client:
        return (await client.post("/workflows/", json=document)).status_code


async def until_told(server: Instance, *, degraded: bool) -> Json:
    """Wait until the service says how it is, in its health and as ready or not."""
    async with asyncio.timeout(LONGEST_WAIT), server.client() as client:
        while True:
            told = (await client.get("/health")).json()
            ready = (await client.get("/ready")).status_code
            if (told["status"] == "degraded") is degraded and (ready == 503) is degraded:
                return told
            await asyncio.sleep(0.02)
