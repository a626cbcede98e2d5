"""Real servers: one in a thread of the test's process, one in a process of its own."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx

from gql_app.core.values import Json
from gql_app.ports import Tool
from gql_app.settings import Settings
from gql_app.web.app import create_app
from gql_app.web.server import Server, address, listen
from tests.support.requirements import REPOSITORY
from tests.support.socket_client import SocketClient, connect

LONGEST_WAIT = 60.0
"""Nothing here takes long; a wait that ends here is a failure, however slow the machine."""


@dataclass(frozen=True)
class RunningServer:
    """Where a server listens."""

    url: str

    @property
    def graphql_url(self) -> str:
        return f"{self.url}/graphql"

    @property
    def ws_url(self) -> str:
        return f"ws{self.url.removeprefix('http')}/graphql"

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def client(self, **options: Json) -> httpx.Client:
        """Make an HTTP client that talks to the server and to nothing in between."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=LONGEST_WAIT, **options)

    def socket(self, **options: Json) -> AbstractAsyncContextManager[SocketClient]:
        """Open a websocket that has introduced itself."""
        return connect(self.ws_url, **options)

    def execute(self, query: str, **variables: Json) -> Json:
        """Carry out an operation that works and give its data."""
        with self.client() as client:
            answer = client.post("/graphql", json={"query": query, "variables": variables})
        body = answer.json()
        assert answer.status_code == HTTPStatus.OK, body
        assert "errors" not in body, body
        return body["data"]


@dataclass(frozen=True)
class ThreadServer(RunningServer):
    """A server in a thread of this process."""

    server: Server
    thread: threading.Thread
    loops: list[asyncio.AbstractEventLoop]

    def wait_until_idle(self) -> None:
        """Wait until every request and every websocket that is there now has ended."""

        async def wait() -> None:
            if tasks := set(self.server.server_state.tasks):
                await asyncio.wait(tasks)

        asyncio.run_coroutine_threadsafe(wait(), self.loops[0]).result(LONGEST_WAIT)

    def wait_until_alone(self) -> None:
        """Wait until no connection is left."""
        deadline = time.monotonic() + LONGEST_WAIT
        while self.server.server_state.connections:
            assert time.monotonic() < deadline, "There are connections left."
            time.sleep(0.001)

    def stop(self) -> None:
        """Tell it to stop, as a signal does, and wait until it has."""
        self.server.should_exit = True
        self.thread.join(LONGEST_WAIT)
        assert not self.thread.is_alive()


@contextmanager
def live_server(settings: Settings | None = None, *, tools: Sequence[Tool] = ()) -> Iterator[ThreadServer]:
    """Serve on a free port until the end of the block. Attempts in flight get no grace, unless `settings` say so."""
    settings = settings or Settings(shutdown_grace_seconds=0)
    started = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    def note() -> None:
        loops.append(asyncio.get_running_loop())
        started.set()

    server = Server(create_app(settings, tools=tools), on_started=note)

    def run() -> None:
        try:
            server.run([listener])
        finally:
            started.set()

    with listen("127.0.0.1", 0) as listener:
        url = address("127.0.0.1", listener.getsockname()[1])
        thread = threading.Thread(target=run, name="server")
        running = ThreadServer(url, server, thread, loops)
        thread.start()
        try:
            assert started.wait(LONGEST_WAIT)
            assert server.started, "The server did not start; its log says why."
            yield running
        finally:
            running.stop()


@dataclass(frozen=True)
class ProcessServer(RunningServer):
    """A server in a process of its own; `greeting` is what it printed until it listened."""

    process: subprocess.Popen[str]
    greeting: str

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and tell the exit code."""
        self.process.send_signal(number)
        return self.process.wait(LONGEST_WAIT)


@contextmanager
def server_process(*arguments: str, directory: Path = REPOSITORY, **environment: str) -> Iterator[ProcessServer]:
    """Run `gql-app serve` on a free port until the end of the block."""
    with start("--port", "0", *arguments, directory=directory, **environment) as process:
        try:
            greeting = _read_greeting(process)
            found = re.search(r"http://\S+:\d+", greeting)
            assert found, f"The server did not start: {greeting!r} {process.communicate(timeout=LONGEST_WAIT)}"
            yield ProcessServer(found.group(), process, greeting)
        finally:
            process.kill()


def start(*arguments: str, directory: Path = REPOSITORY, **environment: str) -> "subprocess.Popen[str]":
    """Run `gql-app serve` without waiting for anything."""
    return subprocess.Popen(
        [sys.executable, "-m", "gql_app", "serve", *arguments],
        cwd=directory,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _read_greeting(process: "subprocess.Popen[str]") -> str:
    """Read what a server prints once it listens, to its last line; all it printed if it ends before."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    return "".join(lines)
