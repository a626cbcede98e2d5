"""What finished runs take of memory, in a fresh process that submits them to the real service."""

import asyncio
import gc
import json
import subprocess
import sys
from dataclasses import astuple, dataclass
from typing import Final

from benchmarks.figure import CannotMeasureError, Figure
from benchmarks.resident import resident_bytes
from gql_app.bootstrap import Application, application
from gql_app.core.ids import DEFAULT_NAMESPACE, RunId
from gql_app.core.run import RunStatus
from gql_app.core.values import Json
from gql_app.engine.elected import ElectedExecutor
from gql_app.settings import Settings

LONGEST_SECONDS: Final = 600
AT_ONCE: Final = 100
MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many runs of how many nodes, and how many runs warm the process up."""

    runs: int = 10_000
    nodes: int = 10
    warm_up: int = 500


FULL: Final = Sizes()


def figures(sizes: Sizes = FULL) -> list[Figure]:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", *map(str, astuple(sizes))]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=LONGEST_SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise CannotMeasureError(f"The process that finishes runs failed: {error}") from None
    added = json.loads(done.stdout)
    name = f"{sizes.runs:,} finished runs of {sizes.nodes} nodes, memory"
    return [
        Figure(name=name, value=added / MEGABYTE, unit="MB", at_most=250),
        Figure(name=f"{name} of each", value=added / sizes.runs / 1024, unit="KiB"),
    ]


async def measure(sizes: Sizes) -> int:
    """Finish the runs, and tell by how many bytes they made the process grow; all of them are kept."""
    settings = Settings(retention_runs=sizes.warm_up + sizes.runs)
    async with application(settings) as opened:
        first = await finish(opened, sizes.warm_up, sizes.nodes)
        before = _settled()
        last = await finish(opened, sizes.runs, sizes.nodes)
        added = _settled() - before
        for run_id in (*first[:1], *last[-1:]):
            assert (await opened.service.get(DEFAULT_NAMESPACE, run_id)).status is RunStatus.COMPLETED
    return added


async def finish(opened: Application, runs: int, nodes: int) -> list[RunId]:
    """Submit runs, some at once, and wait until they have ended."""
    spec = document(nodes)
    ended: list[RunId] = []
    executor = opened.executor
    assert isinstance(executor, ElectedExecutor)
    while len(ended) < runs:
        batch = [
            (await opened.service.submit(DEFAULT_NAMESPACE, spec)).run_id
            for _ in range(min(AT_ONCE, runs - len(ended)))
        ]
        for run_id in batch:
            await executor.join(run_id)
        ended += batch
    return ended


def document(nodes: int) -> Json:
    """Write a chain of nodes with null outputs."""
    return {
        "name": "memory",
        "nodes": [
            {"id": f"node{i}", "tool": "echo", "input": {"value": None}, "dependsOn": [f"node{i - 1}"] if i else []}
            for i in range(nodes)
        ],
    }


def _settled() -> int:
    gc.collect()
    return resident_bytes()


if __name__ == "__main__":
    print(asyncio.run(measure(Sizes(*map(int, sys.argv[1:])))))
