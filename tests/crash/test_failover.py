"""Several servers on one Postgres: one executes, the others answer, and take over when it is gone."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gql_app.core.values import Json
from gql_app.settings import Settings
from tests.support.crashing import Instance, Workload, check, read_calls, running
from tests.support.postgres import Cluster, own_cluster, shared_cluster

pytestmark = [pytest.mark.anyio, pytest.mark.crash]

KILLS = 100 if os.environ.get("GQL_APP_SOAK") == "1" else 20
RESTARTS = 5
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


def pair(store: str, tmp_path: Path, *arguments: str) -> tuple[Instance, Instance]:
    """Make two servers on one store."""
    record = tmp_path / "calls"
    first = Instance(store, record, "--migrate", log=tmp_path / "first")
    return first, Instance(store, record, "--migrate", *arguments, log=tmp_path / "second")


async def test_the_other_server_takes_over_when_one_is_killed(tmp_path: Path) -> None:
    cluster = shared_cluster()
    name = await cluster.create_database()
    servers = pair(cluster.url_of(name), tmp_path)
    workload, kills = Workload(SEED, servers), random.Random(SEED)

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

    assert await check(workload, Settings(store=cluster.url_of(name)), tmp_path / "calls") > 0


async def test_a_server_that_never_executes_answers_all_the_same(tmp_path: Path) -> None:
    cluster = shared_cluster()
    name = await cluster.create_database()
    executing, answering = pair(cluster.url_of(name), tmp_path, "--role", "api")
    workload = Workload(SEED, [answering])

    async with running(executing, answering):
        workload.submit(10)
        await workload.finished()
        executing.kill()
        workload.submit(3)
        await asyncio.sleep(2.0)
        _, who = await holder(cluster, name)
        calls = read_calls(tmp_path / "calls")
        await executing.start()
        await workload.finished()

    assert f"process {answering.process and answering.process.pid} " not in who
    assert {call["pid"] for call in calls} != set()
    await check(workload, Settings(store=cluster.url_of(name)), tmp_path / "calls")


async def test_a_server_that_stood_still_finishes_nothing_that_another_has_taken_over(tmp_path: Path) -> None:
    cluster = shared_cluster()
    name = await cluster.create_database()
    servers = pair(cluster.url_of(name), tmp_path)
    workload = Workload(SEED, servers)

    async with running(*servers):
        stale = await until_held(cluster, name, *servers)
        (other,) = (server for server in servers if server is not stale)
        pid = stale.pid
        workload.servers = [other]
        workload.submit(30)
        await workload.until_seen(40)
        os.kill(pid, signal.SIGSTOP)
        try:
            before = len([call for call in read_calls(tmp_path / "calls") if call["pid"] == pid])
            await until_held(cluster, name, other)
        finally:
            os.kill(pid, signal.SIGCONT)
        workload.servers = list(servers)
        workload.submit(10)
        await workload.finished()
        after = [call for call in read_calls(tmp_path / "calls") if call["pid"] == pid]
        answer = await health(stale)

    started_after = [call for call in after[before:] if call["what"] == "start"]
    assert started_after == []
    assert answer["status"] == "ok"
    await check(workload, Settings(store=cluster.url_of(name)), tmp_path / "calls")


async def test_subscribers_of_the_other_server_miss_nothing_when_its_listener_is_cut_off(tmp_path: Path) -> None:
    cluster = shared_cluster()
    name = await cluster.create_database()
    servers = pair(cluster.url_of(name), tmp_path)
    workload = Workload(SEED, servers)
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{name}' AND pid <> pg_backend_pid() AND query LIKE 'LISTEN%'"
    )

    async with running(*servers):
        executing = await until_held(cluster, name, *servers)
        (other,) = (server for server in servers if server is not executing)
        workload.servers = [other]
        for _ in range(10):
            workload.submit(3)
            await workload.until_seen(workload.seen + 10)
            await cluster.execute(cut)
        await workload.finished()

    await check(workload, Settings(store=cluster.url_of(name)), tmp_path / "calls")


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    with own_cluster() as made:
        yield made


async def test_a_database_that_is_restarted_costs_nothing_but_time(cluster: Cluster, tmp_path: Path) -> None:
    server = Instance(cluster.url_of("postgres"), tmp_path / "calls", "--migrate", log=tmp_path / "log")
    workload, choice = Workload(SEED, [server]), random.Random(SEED)

    async with running(server):
        for _ in range(RESTARTS):
            workload.submit(4)
            await workload.until_seen(workload.seen + choice.randint(5, 40))
            await asyncio.to_thread(cluster.stop, mode=choice.choice(["fast", "immediate"]))
            told = await until_told(server, degraded=True)
            refused = await submit(server)
            await asyncio.to_thread(cluster.start)
            await until_told(server, degraded=False)
            assert "store" in {check["name"] for check in told["checks"] if check["status"] == "degraded"}
            assert refused == 503
        await workload.finished()

    await check(workload, Settings(store=cluster.url_of("postgres")), tmp_path / "calls")


async def health(server: Instance) -> Json:
    async with httpx.AsyncClient(trust_env=False, timeout=LONGEST_WAIT) as client:
        return (await client.get(f"{server.url}/health")).json()


async def submit(server: Instance) -> int:
    document = {"name": "refused", "nodes": [{"id": "a", "tool": "echo", "input": {"value": 1}}]}
    async with httpx.AsyncClient(trust_env=False, timeout=LONGEST_WAIT) as client:
        return (await client.post(f"{server.url}/workflows/", json=document)).status_code


async def until_told(server: Instance, *, degraded: bool) -> Json:
    """Wait until the service says how it is, in its health and as ready or not."""
    async with asyncio.timeout(LONGEST_WAIT), httpx.AsyncClient(trust_env=False, timeout=LONGEST_WAIT) as client:
        while True:
            told = (await client.get(f"{server.url}/health")).json()
            ready = (await client.get(f"{server.url}/ready")).status_code
            if (told["status"] == "degraded") is degraded and (ready == 503) is degraded:
                return told
            await asyncio.sleep(0.02)
