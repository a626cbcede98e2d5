"""A server is killed at any moment, again and again: nothing acknowledged is lost, and nothing is done twice."""

import asyncio
import os
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gql_app.core.values import Json
from tests.support.crash_promises import check, check_turns, lost, read_calls
from tests.support.crash_workload import Workload
from tests.support.documents import SUBMIT, document
from tests.support.effort import effort
from tests.support.instances import LONGEST_WAIT, Instance, running
from tests.support.postgres import shared_cluster
from tests.support.requirements import REPOSITORY

pytestmark = [pytest.mark.anyio, pytest.mark.crash]

KILLS = effort(here=3, ci=20, soak=200)
SEED = int(os.environ.get("GQL_APP_CRASH_SEED", "4"))
STATE = """
query State($id: ID!) { workflow(id: $id) { status nodes { status nextAttemptAt attempts { status } } } }
"""


async def make_store(kind: str, file: Path) -> str:
    if kind == "sqlite":
        return f"sqlite:///{file}"
    cluster = shared_cluster()
    return cluster.url_of(await cluster.create_database())


@pytest.mark.parametrize("seed", [SEED], ids="seed {}".format)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_server_that_is_killed_again_and_again_loses_nothing(kind: str, seed: int, tmp_path: Path) -> None:
    store, record = await make_store(kind, tmp_path / "runs.db"), tmp_path / "calls"
    server = Instance(store, record, "--migrate", log=tmp_path / "log")
    workload, kills = Workload(seed, [server]), random.Random(seed)

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
    assert lost(await check(workload, store, record, alone=kind == "sqlite"))
    assert check_turns(read_calls(record)) > KILLS / 2


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_time_goes_on_while_the_server_is_away(kind: str, tmp_path: Path) -> None:
    store, record = await make_store(kind, tmp_path / "runs.db"), tmp_path / "calls"
    server = Instance(store, record, "--migrate", log=tmp_path / "log")
    hanging = effect(hangs=1, retry={"initialIntervalSeconds": 0.01})
    failing = effect(failures=1, retry={"initialIntervalSeconds": 600, "maximumIntervalSeconds": 600})

    async with running(server):
        short = await submit(server, document(hanging, timeoutSeconds=1))
        patient = await submit(server, document(failing))
        await until(server, short, lambda run: run["nodes"][0]["attempts"])
        before = await until(server, patient, lambda run: run["nodes"][0]["status"] == "RETRYING")
        deadline = datetime.now(UTC) + timedelta(seconds=1)
        server.kill()
        await asyncio.sleep((deadline - datetime.now(UTC)).total_seconds())
        await server.start()
        ended = await until(server, short, lambda run: run["status"] == "TIMED_OUT")
        after = await until(server, patient, lambda run: True)

    assert [call["attempt"] for call in read_calls(record) if call["run"] == short] == [1]
    (attempt,) = ended["nodes"][0]["attempts"]
    # On a slow machine the time of the run is over before the server is killed, and what it does then is lost.
    assert attempt["status"] in {"LOST", "CANCELLED"}
    assert before["nodes"][0]["nextAttemptAt"] is not None
    assert after == before


async def test_a_second_server_on_one_file_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    store, record = await make_store("sqlite", tmp_path / "runs.db"), tmp_path / "calls"
    server = Instance(store, record, log=tmp_path / "log")
    second = [sys.executable, "-m", "gql_app", "serve", "--port", "0", "--store", store]

    async with running(server):
        refused = await asyncio.to_thread(
            subprocess.run, second, cwd=REPOSITORY, capture_output=True, text=True, timeout=LONGEST_WAIT, check=False
        )
        pid, run_id = server.pid, await submit(server, document(effect()))
        await until(server, run_id, lambda run: run["status"] == "COMPLETED")

    assert refused.returncode != 0
    assert f"process {pid} " in refused.stderr
    assert "Traceback" not in refused.stderr


def effect(*, retry: Json = None, **values: Json) -> Json:
    return {"id": "a", "tool": "effect", "input": values, "retry": {"jitter": "NONE", **(retry or {})}}


async def submit(server: Instance, spec: Json) -> str:
    result = (await server.execute(SUBMIT, spec=spec))["submitWorkflow"]
    assert result["__typename"] == "SubmitWorkflowSuccess", result
    return str(result["workflow"]["id"])


async def until(server: Instance, run_id: str, holds: Json) -> Json:
    """Wait until this holds for the state of a run, and give it."""
    async with asyncio.timeout(LONGEST_WAIT):
        while True:
            run = (await server.execute(STATE, id=run_id))["workflow"]
            if holds(run):
                return run
            await asyncio.sleep(0.02)
