"""One node that streams a thousand chunks a second to many websockets, beside bare queues that fan out the same.

That the text of a subscriber differs from the output is an error.
"""

import asyncio
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import orjson

from benchmarks.audience import PROTOCOL, Crowd
from benchmarks.figure import Figure
from benchmarks.processor import processor_seconds
from benchmarks.resident import allow_open_files
from benchmarks.subscribers import submit
from gql_app.client.operations import load_operation
from gql_app.core.values import Json
from tests.support.server import ProcessServer, server_process

LONGEST_SECONDS: Final = 120.0
RUN: Final = "query Run($id: ID!) { workflow(id: $id) { sequence nodes { output } } }"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many chunks there are altogether and in a second, how many listen, and how often it is done."""

    chunks: int = 5_000
    per_second: int = 1_000
    subscribers: int = 100
    rounds: int = 2


FULL: Final = Sizes()


@dataclass(slots=True)
class Heard:
    """What came of a node that streamed."""

    seconds: float
    delays: list[float]
    rows: int
    messages: int
    processor_seconds: float


class Listeners(Crowd):
    """All who listen to one run, each to what its nodes stream and nothing else."""

    def __init__(self, url: str, run_id: str, count: int) -> None:
        super().__init__(url, count)
        self.texts: list[str] = []
        """What each of them has put together, once it knows that the run has ended."""
        self._variables = {"id": run_id, "after": 0, "only": ["OUTPUT"]}

    async def listen(self) -> None:
        """Listen as one more, to the end."""
        async with await self.connect([PROTOCOL]) as connection:
            await connection.send('{"type":"connection_init"}')
            assert orjson.loads(await connection.recv())["type"] == "connection_ack"
            payload = {"query": load_operation("WorkflowUpdates"), "variables": self._variables}
            await connection.send(orjson.dumps({"id": "1", "type": "subscribe", "payload": payload}).decode())
            text, last = [], 0
            async for raw in connection:
                message = orjson.loads(raw)
                if message["type"] == "complete":
                    break
                if message["type"] == "ping":
                    await connection.send('{"type":"pong"}')
                    continue
                self.received += 1
                update = message["payload"]["data"]["workflowUpdates"]
                assert update["sequence"] > last, f"After {last} came {update['sequence']}."
                last = update["sequence"]
                text += [event["text"] for event in update["events"] if event["__typename"] == "NodeOutputChunk"]
        self.texts.append("".join(text))


def figures(sizes: Sizes = FULL) -> list[Figure]:
    """Measure with the log in memory and in a file, and the bare queues between the rounds."""
    allow_open_files(4 * sizes.subscribers + 200)
    found: list[Figure] = []
    for kind in ("memory", "SQLite"):
        heard, bare = [], []
        with _server(kind) as (server, database):
            for _ in range(sizes.rounds):
                bare.append(asyncio.run(fan_out(sizes)))
                heard.append(asyncio.run(_perform(server, database, sizes)))
        found += _lay_out(kind, sizes, heard, min(bare))
    return found


def _lay_out(kind: str, sizes: Sizes, heard: list[Heard], bare: float) -> list[Figure]:
    ours = min(each.processor_seconds for each in heard) / sizes.chunks
    rate = statistics.median(sizes.chunks / each.seconds for each in heard)
    late = statistics.median(statistics.quantiles(each.delays, n=100)[-1] for each in heard)
    rows = max(each.rows for each in heard)
    many = f"{kind}, {sizes.subscribers} subscribers"
    return [
        Figure(name=f"{many}, chunks streamed", value=rate, unit="chunks/s"),
        Figure(name=f"{many}, messages to each", value=heard[-1].messages / sizes.subscribers, unit="messages"),
        Figure(name=f"{many}, delay of the engine's loop (99 %)", value=late * 1e3, unit="ms"),
        Figure(name=f"{kind}, rows for 1,000 chunks", value=rows / sizes.chunks * 1e3, unit="rows", at_most=50),
        Figure(name="bare queues, processor time of a chunk", value=bare * 1e6, unit="µs"),
        Figure(name=f"{many}, processor time of a chunk", value=ours * 1e6, unit="µs"),
        Figure(name=f"{many} / bare queues", value=ours / bare, unit="x", at_most=2),
    ]


@contextmanager
def _server(kind: str) -> Iterator[tuple[ProcessServer, Path | None]]:
    with TemporaryDirectory() as directory:
        database = None if kind == "memory" else Path(directory, "runs.db")
        address = "memory" if database is None else f"sqlite:///{database}"
        with server_process("--tools", "benchmarks.speaker", GQL_APP_STORE=address) as server:
            yield server, database


async def _perform(server: ProcessServer, database: Path | None, sizes: Sizes) -> Heard:
    """Let a node stream to all subscribers, and compare what each of them heard with what it returned."""
    # The first second is for those who come to listen.
    wait = {"id": "wait", "tool": "delay", "input": {"seconds": 1}}
    what = {"chunks": sizes.chunks, "per_second": sizes.per_second}
    speak = {"id": "speak", "tool": "speaker.speak", "input": what, "dependsOn": ["wait"]}
    run_id = submit(server, {"name": "streamed", "nodes": [wait, speak]})
    listeners = Listeners(server.ws_url, run_id, sizes.subscribers)
    async with asyncio.timeout(LONGEST_SECONDS), asyncio.TaskGroup() as tasks:
        for _ in range(sizes.subscribers):
            tasks.create_task(listeners.listen())
        await listeners.all_connected()
        before = processor_seconds(server.process.pid)
    took = processor_seconds(server.process.pid) - before
    with server.client() as client:
        answer = client.post("/graphql", json={"query": RUN, "variables": {"id": run_id}}).json()["data"]["workflow"]
    output = answer["nodes"][1]["output"]
    assert listeners.texts == [output["text"]] * sizes.subscribers, "A subscriber heard something else."
    rows = answer["sequence"] if database is None else _rows(database, run_id)
    assert rows == answer["sequence"], f"{rows} rows hold {answer['sequence']} events."
    return Heard(output["seconds"], output["delays"], rows, listeners.received, took)


def _rows(database: Path, run_id: str) -> int:
    connection = sqlite3.connect(database)
    try:
        (count,) = connection.execute("SELECT count(*) FROM events WHERE run_id = ?", (run_id,)).fetchone()
    finally:
        connection.close()
    return int(count)


async def fan_out(sizes: Sizes) -> float:
    """Put every chunk into a queue of each listener, which takes it out; tells the processor seconds of a chunk."""
    queues: list[asyncio.Queue[str | None]] = [asyncio.Queue() for _ in range(sizes.subscribers)]

    async def listen(queue: "asyncio.Queue[str | None]") -> str:
        heard = []
        while (chunk := await queue.get()) is not None:
            heard.append(chunk)
        return "".join(heard)

    listening = [asyncio.create_task(listen(queue)) for queue in queues]
    began = time.process_time()
    for number in range(sizes.chunks):
        chunk = f"word-{number} "
        for queue in queues:
            queue.put_nowait(chunk)
        await asyncio.sleep(0)
    for queue in queues:
        queue.put_nowait(None)
    texts: Json = await asyncio.gather(*listening)
    took = time.process_time() - began
    assert len(set(texts)) == 1
    return took / sizes.chunks
