"""A Postgres of the tests' own: a cluster in a temporary directory, on a free port of this machine."""

import atexit
import os
import pwd
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import asyncpg

from gql_app.core.values import Json
from tests.support.requirements import require_postgres
from tests.support.reserved_port import ReservedPort

LONGEST_WAIT = 60
_CONFIGURATION = """
listen_addresses = '127.0.0.1'
max_connections = 60
shared_buffers = 32MB
fsync = on
"""


_GUARD = 'cat; "$0" stop --pgdata "$1/data" --mode immediate --wait; rm -rf "$1"'
"""A script that stops a server and removes its directory (`$1`) once nobody can write to it any more."""


class Cluster:
    """A server and its databases. Postgres does not run as root: then its own user runs it.

    It ends with the process that made it, however that one ends.
    """

    def __init__(self) -> None:
        self._programs = require_postgres()
        self._user = "postgres" if os.geteuid() == 0 else None
        self._directory = Path(tempfile.mkdtemp(prefix="gql_app-postgres-", dir=_short_temporary_directory()))
        self._data = self._directory / "data"
        if self._user is not None:
            owner = pwd.getpwnam(self._user)
            os.chown(self._directory, owner.pw_uid, owner.pw_gid)
        self._guard = self._set_guard()
        self._run("initdb", "--pgdata", str(self._data), "--auth", "trust", "--username", "postgres", "--no-sync")
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(f"{_CONFIGURATION}unix_socket_directories = '{self._directory}'\n")
        self._port = ReservedPort()
        self.running = False
        self.start()

    @property
    def port(self) -> int:
        """Where it listens, now and after it was stopped and started."""
        return self._port.number

    @property
    def directory(self) -> Path:
        """What there is of it on the disk."""
        return self._directory

    @property
    def url(self) -> str:
        """The address of the cluster's own database."""
        return self.url_of("postgres")

    def url_of(self, name: str) -> str:
        """The address of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        log = str(self._directory / "log")
        self._run("pg_ctl", "start", "--pgdata", str(self._data), "--log", log, "--wait", "-o", f"-p {self.port}")
        self.running = True

    def stop(self, *, mode: str = "fast") -> None:
        """Stop it; `immediate` is what a crash does."""
        if self.running:
            self._run("pg_ctl", "stop", "--pgdata", str(self._data), "--mode", mode, "--wait")
            self.running = False

    def restart(self, *, mode: str = "fast") -> None:
        """Stop it and start it again."""
        self.stop(mode=mode)
        self.start()

    def close(self) -> None:
        """Stop it and remove everything."""
        self._guard.communicate(timeout=LONGEST_WAIT)
        self._port.close()
        self.running = False

    async def execute(self, statement: str, database: str = "postgres") -> Json:
        """Let it do something, and give the rows."""
        connection = await asyncpg.connect(self.url_of(database), timeout=LONGEST_WAIT)  # type: ignore[no-untyped-call] # the driver has no types
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    async def create_database(self, *, template: str = "template1") -> str:
        """Make a database and tell its name."""
        name = f"test_{uuid.uuid4().hex}"
        await self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    async def drop_database(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        await self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _set_guard(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            ["sh", "-c", _GUARD, self._programs / "pg_ctl", self._directory],
            user=self._user,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # What interrupts the tests is for them alone.
            start_new_session=True,
        )

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            user=self._user,
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            # The server inherits what it is given: a pipe would never end.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LONGEST_WAIT,
            check=False,
        )
        assert done.returncode == 0, f"{program} failed: {done.returncode} {self._read_log()}"

    def _read_log(self) -> str:
        log = self._directory / "log"
        return log.read_text()[-3000:] if log.exists() else ""


@cache
def shared_cluster() -> Cluster:
    """Give the cluster that all tests of this process share; it goes with the process."""
    cluster = Cluster()
    atexit.register(cluster.close)
    return cluster


@contextmanager
def own_cluster() -> Iterator[Cluster]:
    """Give a cluster that may be stopped and started."""
    cluster = Cluster()
    try:
        yield cluster
    finally:
        cluster.close()


def _short_temporary_directory() -> str | None:
    """Name a directory that the server's user can reach, with a path short enough for a socket."""
    return "/tmp" if Path("/tmp").is_dir() else None
