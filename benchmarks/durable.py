"""What durability costs: beside inserting the same rows with nothing around it, and beside a bare commit."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.figure import Figure
from benchmarks.stores import KINDS, Row, bare, in_batches, store
from gql_app.bootstrap import Application, application
from gql_app.core.codec import encode_event
from gql_app.core.ids import DEFAULT_NAMESPACE, RunId
from gql_app.core.values import Json
from gql_app.engine.elected import ElectedExecutor
from gql_app.settings import Settings


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is run, and how often."""

    runs: int = 100
    nodes: int = 10
    batch: int = 100
    rounds: int = 5
    commits: int = 300


FULL: Final = Sizes()


def figures(sizes: Sizes = FULL) -> list[Figure]:
    """Measure, and tell what became of the targets."""
    return asyncio.run(_measure(sizes))


async def _measure(sizes: Sizes) -> list[Figure]:
    async with application(Settings()) as opened:
        memory = await one_after_another(opened, sizes)
    found: list[Figure] = []
    for kind in KINDS:
        found += await _measure_store(kind, memory, sizes)
    return found


async def _measure_store(kind: str, memory: float, sizes: Sizes) -> list[Figure]:
    """Alternate rounds of the store and of the bare driver on the same disk."""
    ours, theirs = [], []
    async with (
        store(kind) as address,
        bare(address) as insert,
        application(Settings(store=address, migrate=True)) as opened,
    ):
        await executor_of(opened).leading.wait()
        await together(opened, sizes)
        for number in range(sizes.rounds):
            seconds, runs = await together(opened, sizes)
            ours.append(seconds)
            rows = [(f"{number}-{run_id}", sequence, data) for run_id, sequence, data in await _rows(opened, runs)]
            theirs.append(await in_batches(insert, rows, sizes.batch))
        one_node = await one_after_another(opened, sizes)
        commits = [await in_batches(insert, [("commit", n, b"x" * 200)], 1) for n in range(sizes.commits)]
    commit = statistics.median(commits)
    nodes = sizes.runs * sizes.nodes
    what = f"{sizes.runs} runs of {sizes.nodes} nodes at once"
    return [
        Figure(name=f"{kind}: {what}", value=nodes / min(ours), unit="nodes/s"),
        Figure(name=f"{kind}: the same rows in batches of {sizes.batch}", value=nodes / min(theirs), unit="nodes/s"),
        Figure(name=f"{kind} / the same rows in batches", value=min(ours) / min(theirs), unit="x", at_most=3),
        Figure(name=f"{kind}: a bare commit (median)", value=commit * 1e3, unit="ms"),
        Figure(name=f"{kind}: a run of 1 node (median)", value=one_node * 1e3, unit="ms"),
        Figure(
            name=f"{kind}: added to a run of 1 node / commit", value=(one_node - memory) / commit, unit="x", at_most=4
        ),
    ]


async def together(opened: Application, sizes: Sizes) -> tuple[float, list[RunId]]:
    """Perform runs at once; tell the seconds it took, and the runs."""
    document = chain(sizes.nodes)
    started = time.perf_counter()
    runs = await asyncio.gather(*(perform(opened, document) for _ in range(sizes.runs)))
    return time.perf_counter() - started, runs


async def one_after_another(opened: Application, sizes: Sizes) -> float:
    """Perform runs of one node; tell the median of the seconds each took."""
    document, times = chain(1), []
    for _ in range(sizes.commits):
        started = time.perf_counter()
        await perform(opened, document)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


async def perform(opened: Application, document: Json) -> RunId:
    """Submit a run and wait until it has ended and is stored."""
    run = await opened.service.submit(DEFAULT_NAMESPACE, document)
    await executor_of(opened).join(run.run_id)
    return run.run_id


def executor_of(opened: Application) -> ElectedExecutor:
    """Give the executor itself."""
    assert isinstance(opened.executor, ElectedExecutor)
    return opened.executor


async def _rows(opened: Application, runs: Sequence[RunId]) -> list[Row]:
    """Tell the rows that were stored for these runs, a round of all runs after the other, as they were written."""
    logs = [await opened.repository.events(DEFAULT_NAMESPACE, run_id, after=0, limit=10_000) for run_id in runs]
    longest = max(map(len, logs))
    return [
        (run_id, log[place].sequence, encode_event(log[place]))
        for place in range(longest)
        for run_id, log in zip(runs, logs, strict=True)
        if place < len(log)
    ]


def chain(nodes: int) -> Json:
    """Write a chain of small nodes."""
    return {
        "name": "chain",
        "nodes": [
            {"id": f"n{i}", "tool": "echo", "input": {"value": i}, "dependsOn": [f"n{i - 1}"] if i else []}
            for i in range(nodes)
        ],
    }
