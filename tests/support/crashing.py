"""A server process that is killed and started again, the work it is given, and those who watch it."""

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from gql_app.core.events import AttemptLost, AttemptStarted, Event, NodeCompleted, RunEvent
from gql_app.core.fold import fold
from gql_app.core.ids import DEFAULT_NAMESPACE, RunId
from gql_app.core.run import WorkflowRun
from gql_app.core.values import Json
from gql_app.engine.clock import SystemClock
from gql_app.ports import RunRepository
from gql_app.settings import Settings
from gql_app.storage.sql.opening import opened
from tests.support.recording_tools import RECORD
from tests.support.requirements import REPOSITORY
from tests.support.socket_client import connect

LONGEST_WAIT = 120.0
SUBMIT = """
mutation Submit($spec: WorkflowSpecInput!, $key: String!) {
  submitWorkflow(spec: $spec, idempotencyKey: $key) {
    __typename ... on SubmitWorkflowSuccess { workflow { id } } ... on Error { message }
  }
}
"""
CANCEL = "mutation Cancel($id: ID!) { cancelWorkflow(id: $id) { __typename } }"
WATCH = """
subscription Watch($id: ID!, $after: Int!) {
  workflowUpdates(id: $id, after: $after) { sequence events { sequence } workflow { status } }
}
"""
_AWAY = (OSError, ConnectionClosed, InvalidHandshake, InvalidMessage, EOFError, httpx.HTTPError, TimeoutError)


class Instance:
    """`gql-app serve` on a port of its own, which is the same each time it is started."""

    def __init__(self, store: str, record: Path, *arguments: str, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._arguments = ("--store", store, "--tools", "tests.support.recording_tools", *arguments)
        self._environment = {RECORD: str(record), "GQL_APP_LOG_LEVEL": "warning"}
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
        async with asyncio.timeout(LONGEST_WAIT), httpx.AsyncClient(trust_env=False) as client:
            while True:
                assert process.poll() is None, f"The server ended: {self._log.read_text()[-3000:]}"
                with suppress(*_AWAY):
                    await client.get(f"{self.url}/health")
                    return
                await asyncio.sleep(0.01)

    def _run(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "gql_app", "serve", "--port", str(self.port), *self._arguments],
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

    async def stop(self) -> int:
        """Tell it to stop, and wait until it has."""
        assert self.process is not None
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, LONGEST_WAIT)


@dataclass
class Watched:
    """What a subscriber was told of a run: the sequences of its events, in the order in which they came."""

    sequences: list[int] = field(default_factory=list)
    ended: bool = False


class Workload:
    """Clients of some servers: they submit until it is acknowledged, watch to the end, and cancel now and then."""

    def __init__(self, seed: int, servers: Sequence[Instance]) -> None:
        self.random = random.Random(seed)
        self.servers = servers
        self.acknowledged: dict[str, RunId] = {}
        """The runs by their idempotency keys."""
        self.documents: dict[RunId, Json] = {}
        self.watched: dict[RunId, Watched] = defaultdict(Watched)
        self.cancelled: set[RunId] = set()
        self.seen = 0
        """How many events all subscribers together have been told of."""
        self._progress = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._count = 0

    def submit(self, count: int) -> None:
        """Let so many more runs be submitted and watched."""
        for _ in range(count):
            self._count += 1
            document = make_document(self.random, self._count)
            self._go(self._carry(f"key-{self._count}", document, cancel=self.random.random() < 0.1))

    async def until_seen(self, count: int) -> None:
        """Wait until subscribers have been told of so many events, or nothing is left to come."""
        async with asyncio.timeout(LONGEST_WAIT), self._progress:
            await self._progress.wait_for(lambda: self.seen >= count or not self._tasks or bool(self._failures))
        self._check()

    async def finished(self) -> None:
        """Wait until every run has ended and every subscriber knows."""
        async with asyncio.timeout(LONGEST_WAIT):
            while self._tasks:
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
                self._check()

    def _check(self) -> None:
        if self._failures:
            raise self._failures[0]

    def _go(self, work: Json) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._has_ended)

    def _has_ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.append(error)
        self._told = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        async with self._progress:
            self._progress.notify_all()

    async def _carry(self, key: str, document: Json, *, cancel: bool) -> None:
        run_id = RunId(await self._until_it_works(SUBMIT, {"spec": document, "key": key}, read_submit))
        self.acknowledged[key] = run_id
        self.documents[run_id] = document
        if cancel:
            self.cancelled.add(run_id)
            self._go(self._cancel(run_id))
        while not self.watched[run_id].ended:
            with suppress(*_AWAY):
                await self._watch(run_id)
            await asyncio.sleep(0.01)

    async def _cancel(self, run_id: RunId) -> None:
        await self._until_it_works(CANCEL, {"id": run_id}, read_cancel)

    async def _until_it_works(self, query: str, variables: Json, read: Json) -> str:
        """Ask one server or another until one of them answers as it should."""
        while True:
            server = self._any()
            with suppress(*_AWAY):
                async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                    answer = await client.post(f"{server.url}/graphql", json={"query": query, "variables": variables})
                    result = read(answer.json())
                    if result is not None:
                        return str(result)
            await asyncio.sleep(0.02)

    def _any(self) -> Instance:
        alive = [server for server in self.servers if server.process is not None]
        return self.random.choice(alive or list(self.servers))

    async def _watch(self, run_id: RunId) -> None:
        watched = self.watched[run_id]
        url = f"ws{self._any().url.removeprefix('http')}/graphql"
        async with connect(url) as client:
            await client.subscribe(WATCH, {"id": run_id, "after": len(watched.sequences)})
            while (message := await client.receive())["type"] != "complete":
                check_available(message)
                update = message["payload"]["data"]["workflowUpdates"]
                watched.sequences += [event["sequence"] for event in update["events"]]
                self.seen += len(update["events"])
                await self._tell()
        watched.ended = True


class AwayError(OSError):
    """The service cannot answer at the moment, and says so."""


def check_available(message: Json) -> None:
    """Check that a message tells data. Raises `AwayError` where it says to come back later."""
    errors = message["payload"] if message["type"] == "error" else message["payload"].get("errors")
    if errors:
        assert {error["extensions"]["code"] for error in errors} <= {"UNAVAILABLE", "OVERLOADED"}, errors
        raise AwayError


def read_submit(body: Json) -> str | None:
    """Give the id of the run that was submitted; None if the service could not take it now."""
    result = (body.get("data") or {}).get("submitWorkflow")
    if result is None or result["__typename"] == "Overloaded":
        return None
    assert result["__typename"] == "SubmitWorkflowSuccess", body
    return str(result["workflow"]["id"])


def read_cancel(body: Json) -> str | None:
    """Say that a cancel was taken, or came too late."""
    result = (body.get("data") or {}).get("cancelWorkflow")
    return None if result is None or result["__typename"] == "Overloaded" else str(result["__typename"])


def make_document(random: random.Random, number: int) -> Json:
    """Make a small graph of nodes that fail, hang, wait, return much, or may run only once."""
    nodes: list[Json] = []
    for index in range(random.randint(1, 5)):
        once = random.random() < 0.25
        failures = 0 if once else random.choice([0, 0, 0, 1, 2])
        hangs = 0 if once else random.choice([0, 0, 0, 0, 1])
        nodes.append(
            {
                "id": f"n{index}",
                "tool": "effect",
                "input": {
                    "seconds": random.choice([0, 0, 0.02, 0.1, 0.3]),
                    "failures": failures,
                    "hangs": hangs,
                    "size": random.choice([0, 10, 3_000]),
                },
                "dependsOn": [f"n{other}" for other in range(index) if random.random() < 0.4],
                "retry": {
                    "maximumAttempts": 1 if once else 50,
                    "initialIntervalSeconds": 0.05,
                    "maximumIntervalSeconds": 0.2,
                },
                "timeout": {"attemptSeconds": 1.0},
                "continueOnFailure": True,
            }
        )
    return {"name": f"crash-{number}", "nodes": nodes}


# What must hold in the end


async def check(workload: Workload, settings: Settings, record: Path) -> int:
    """Check everything that was promised, by the store, what subscribers saw, and what the tools have written.

    Tells how many attempts were lost.
    """
    lost = 0
    calls = read_calls(record)
    async with opened(settings, clock=SystemClock()) as repository:
        for run_id in workload.acknowledged.values():
            log = await read_log(repository, run_id)
            check_log(log, workload.documents[run_id])
            check_calls(run_id, log, calls, workload.documents[run_id])
            lost += sum(isinstance(event, AttemptLost) for event in log)
            watched = workload.watched[run_id].sequences
            assert watched == list(range(1, len(log) + 1)), f"the subscriber of {run_id} saw {watched}"
        assert await repository.unfinished() == []
    assert len(set(workload.acknowledged.values())) == len(workload.acknowledged)
    return lost


async def read_log(repository: RunRepository, run_id: RunId) -> list[RunEvent]:
    """Read a whole log."""
    return list(await repository.events(DEFAULT_NAMESPACE, run_id, after=0, limit=100_000))


def check_log(log: Sequence[RunEvent], document: Json) -> WorkflowRun:
    """Check that a log is dense and ends, and that nothing happens to a node after its end."""
    assert [event.sequence for event in log] == list(range(1, len(log) + 1))
    assert all(earlier.at <= later.at for earlier, later in pairwise(log))
    run = fold(log)
    assert run.status.final, f"{run.run_id} is {run.status}"
    assert all(node.status.final for node in run.nodes)
    completed: set[str] = set()
    for event in log:
        if isinstance(event, NodeCompleted):
            completed.add(event.node.id)
        assert not (isinstance(event, AttemptStarted) and event.node.id in completed), f"{event} after its node's end"
    assert len(run.nodes) == len(document["nodes"])
    return run


def check_calls(run_id: RunId, log: Sequence[Event], calls: Sequence[Json], document: Json) -> None:
    """Check that no tool was called but for an attempt that was stored before, and none of them twice."""
    started = {(event.node.id, event.attempt) for event in log if isinstance(event, AttemptStarted)}
    made = Counter(
        (call["node"], call["attempt"]) for call in calls if call["run"] == run_id and call["what"] == "start"
    )
    assert made.keys() <= started
    assert all(count == 1 for count in made.values()), f"{run_id}: an attempt was called twice: {made}"
    once = {node["id"] for node in document["nodes"] if node["retry"]["maximumAttempts"] == 1}
    for name in once:
        assert sum(count for (node, _), count in made.items() if node == name) <= 1
    keys = {(call["node"], call["key"]) for call in calls if call["run"] == run_id}
    assert len(keys) == len({node for node, _ in keys}), "the idempotency key of a node changed"


def read_calls(record: Path) -> list[Json]:
    """Read what the tools have written."""
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def running(*servers: Instance) -> AsyncIterator[None]:
    """Start servers, and leave none behind."""
    try:
        for server in servers:
            await server.start()
        yield
    finally:
        for server in servers:
            server.kill()
