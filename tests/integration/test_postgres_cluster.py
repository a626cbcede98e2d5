"""The Postgres that the tests bring: it is theirs alone, keeps what it was given, and leaves nothing behind."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.postgres import LONGEST_WAIT, Cluster, own_cluster, shared_cluster
from tests.support.requirements import REPOSITORY, require_postgres

OWNER = """
import sys
from tests.support.postgres import Cluster
cluster = Cluster()
print(cluster.directory, cluster.port, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with own_cluster() as made:
        yield made


@pytest.mark.anyio
async def test_it_keeps_what_was_committed_when_it_crashes_and_stays_where_it_was(cluster: Cluster) -> None:
    await cluster.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    url = cluster.url

    cluster.restart(mode="immediate")

    assert cluster.url == url
    assert [tuple(row) for row in await cluster.execute("SELECT answer FROM kept")] == [(42,)]


@pytest.mark.anyio
async def test_it_writes_to_the_disk_and_listens_on_this_machine_only() -> None:
    cluster = shared_cluster()

    (fsync,) = await cluster.execute("SHOW fsync")
    (addresses,) = await cluster.execute("SHOW listen_addresses")

    assert (fsync[0], addresses[0]) == ("on", "127.0.0.1")


@pytest.mark.anyio
async def test_each_database_is_apart_and_gone_once_it_is_dropped() -> None:
    cluster = shared_cluster()
    first, second = await cluster.create_database(), await cluster.create_database()
    await cluster.execute("CREATE TABLE mine (id int)", first)

    (seen,) = await cluster.execute("SELECT to_regclass('mine') AS name", second)
    await cluster.drop_database(first)
    await cluster.drop_database(second)
    left = await cluster.execute(f"SELECT 1 FROM pg_database WHERE datname IN ('{first}', '{second}')")

    assert seen["name"] is None
    assert left == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_its_process_however_that_one_ends(number: signal.Signals) -> None:
    require_postgres()
    with owner() as (process, directory, port):
        there = is_there(port)
        process.send_signal(number)
        process.communicate(timeout=LONGEST_WAIT)

        wait_until_gone(directory)

    assert there
    assert not is_there(port)


@contextmanager
def owner() -> Iterator[tuple["subprocess.Popen[str]", Path, int]]:
    """Start another process that has a cluster of its own; tell where that is."""
    command = [sys.executable, "-c", OWNER]
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        directory, port = process.stdout.readline().split()
        yield process, Path(directory), int(port)
    finally:
        process.kill()
        process.communicate(timeout=LONGEST_WAIT)


def wait_until_gone(directory: Path) -> None:
    deadline = time.monotonic() + LONGEST_WAIT
    while directory.exists():
        assert time.monotonic() < deadline, "It was left behind."
        time.sleep(0.02)


def is_there(port: int) -> bool:
    """Tell whether somebody listens."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
