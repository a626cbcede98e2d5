"""A server process that is killed and started again, at the same address."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx

from gql_app.core.values import Json
from tests.support.recording_tools import RECORD
from tests.support.requirements import REPOSITORY
from tests.support.reserved_port import ReservedPort

LONGEST_WAIT = 120.0


class Instance:
    """`gql-app serve` on a port of its own, which is the same each time it is started."""

    def __init__(self, store: str, record: Path, *arguments: str, log: Path) -> None:
        self._port = ReservedPort()
        self.url = f"http://127.0.0.1:{self._port.number}"
        self._arguments = ("--store", store, "--tools", "tests.support.recording_tools", *arguments)
        self._environment = {RECORD: str(record), "GQL_APP_LOG_LEVEL": "warning", "PYTHONFAULTHANDLER": "1"}
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process."""
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = process = self._run()
        async with asyncio.timeout(LONGEST_WAIT), self.client() as client:
            while True:
                assert process.poll() is None, f"The server ended: {self._log.read_text()[-3000:]}"
                with suppress(httpx.HTTPError):
                    await client.get("/health")
                    return
                await asyncio.sleep(0.01)

    def client(self) -> httpx.AsyncClient:
        """Make an HTTP client that talks to it and to nothing in between."""
        return httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=LONGEST_WAIT)

    async def execute(self, query: str, **variables: Json) -> Json:
        """Carry out an operation that works and give its data."""
        async with self.client() as client:
            body = (await client.post("/graphql", json={"query": query, "variables": variables})).json()
        assert "errors" not in body, body
        return body["data"]

    def _run(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "gql_app", "serve", "--port", str(self._port.number), *self._arguments],
                cwd=REPOSITORY,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """End it as a crash would, at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def explain(self) -> str:
        """Tell how it is, for a test that has waited in vain: all it does at the moment. That is its end."""
        if self.process is None:
            return f"{self.url}: killed by the test"
        ended = self.process.poll()
        if ended is None:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(LONGEST_WAIT)
        return f"{self.url}: exit code {ended}; {self._log.read_text()[-6000:]}"

    def freeze(self) -> None:
        """Let it stand still from now on, until it is told to `thaw`."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    async def stop(self) -> int:
        """Tell it to stop, and wait until it has."""
        assert self.process is not None
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, LONGEST_WAIT)

    def close(self) -> None:
        """Leave nothing behind."""
        self.kill()
        self._port.close()


@asynccontextmanager
async def running(*servers: Instance) -> AsyncIterator[None]:
    """Start servers, and leave none behind."""
    try:
        for server in servers:
            await server.start()
        yield
    finally:
        for server in servers:
            server.close()
