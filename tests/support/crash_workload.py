"""Clients that give some servers work and watch it, however often those are killed."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from gql_app.core.ids import RunId
from gql_app.core.values import Json
from tests.support.instances import LONGEST_WAIT, Instance
from tests.support.socket_client import connect

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


@dataclass
class Watched:
    """What a subscriber was told of a run: the sequences of its events, in the order in which they came."""

    sequences: list[int] = field(default_factory=list)
    ended: bool = False


class Workload:
    """Clients of some servers: they submit until it is acknowledged, watch to the end, and cancel now and then."""

    def __init__(self, seed: int, servers: Sequence[Instance]) -> None:
        self._documents = random.Random(f"{seed} documents")
        self._clients = random.Random(f"{seed} clients")
        self.servers = servers
        self.acknowledged: dict[str, RunId] = {}
        """The runs by their idempotency keys."""
        self.documents: dict[RunId, Json] = {}
        self.watched: dict[RunId, Watched] = defaultdict(Watched)
        self.cancelled: set[RunId] = set()
        """The runs whose cancel was taken."""
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
            document = make_document(self._documents, self._count)
            self._go(self._carry(f"key-{self._count}", document, cancel=self._documents.random() < 0.1))

    async def until_seen(self, count: int) -> None:
        """Wait until subscribers have been told of so many events, or nothing is left to come."""
        with self._explained():
            async with asyncio.timeout(LONGEST_WAIT), self._progress:
                await self._progress.wait_for(lambda: self.seen >= count or not self._tasks or bool(self._failures))
        self._check()

    async def until_acknowledged(self) -> None:
        """Wait until everything that was submitted so far has been acknowledged."""
        async with asyncio.timeout(LONGEST_WAIT), self._progress:
            await self._progress.wait_for(lambda: len(self.acknowledged) == self._count or bool(self._failures))
        self._check()

    async def finished(self) -> None:
        """Wait until every run has ended and every subscriber knows."""
        with self._explained():
            async with asyncio.timeout(LONGEST_WAIT):
                while self._tasks:
                    await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
                    self._check()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what the servers are doing if what is waited for does not come."""
        try:
            yield
        except TimeoutError as error:
            for server in self.servers:
                error.add_note(server.explain())
            raise

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
        await self._tell()
        if cancel:
            self._go(self._cancel(run_id))
        while not self.watched[run_id].ended:
            with suppress(*_AWAY):
                await self._watch(run_id)
            await asyncio.sleep(0.01)

    async def _cancel(self, run_id: RunId) -> None:
        if await self._until_it_works(CANCEL, {"id": run_id}, read_cancel) == "CancelWorkflowSuccess":
            self.cancelled.add(run_id)

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
        return self._clients.choice(alive or list(self.servers))

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
    """Make a small graph of nodes that fail, hang, wait, stream, take steps, return much, or may run only once."""
    nodes: list[Json] = []
    for index in range(random.randint(1, 5)):
        once = random.random() < 0.25
        failures = 0 if once else random.choice([0, 0, 0, 1, 2])
        hangs = 0 if once else random.choice([0, 0, 0, 0, 1])
        nodes.append(
            {
                "id": f"n{index}",
                "tool": random.choice(["effect", "effect", "chatter", "agent_like"]),
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
                "timeout": {"attemptSeconds": 2.0},
                "continueOnFailure": True,
            }
        )
    return {"name": f"crash-{number}", "nodes": nodes}
