"""The engine beside LangGraph with its in-memory checkpointer, on the same graphs.

LangGraph has an environment and a process of its own, and a round of it alternates with one of ours.
"""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.engine import CHAIN_NODES, Case, Engine, best, chains_case, fan_out_case
from benchmarks.environments import DIRECTORY, prepare
from benchmarks.figure import CannotMeasureError, Figure

ANSWER_SECONDS: Final = 60.0

Perform = Callable[[str], Awaitable[float]]
"""Runs a case, and tells the seconds it took."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is run, and how often."""

    chains: int = 300
    fan_out: int = 200
    rounds: int = 10


FULL: Final = Sizes()


def figures() -> list[Figure]:
    """Measure, and tell what became of the targets."""
    return asyncio.run(_measure_both(FULL, prepare("langgraph")))


async def measure(sizes: Sizes, peer: Perform) -> dict[str, float]:
    """Alternate rounds of ours and of the peer; microseconds a node in the best of each."""
    engine = Engine()
    ours = [chains_case("chains", engine, sizes.chains), fan_out_case("fan-out", engine, sizes.fan_out)]
    times: dict[str, float] = {}
    try:
        for _ in range(sizes.rounds):
            for case in ours:
                mine = (await best(1, [case]))[case.name]
                theirs = await peer(case.name) / case.nodes * 1e6
                _keep_best(times, case, mine, theirs)
    finally:
        await engine.executor.close()
    return times


def compare(sizes: Sizes, times: dict[str, float]) -> list[Figure]:
    """Make figures of the times."""
    cases = (("chains", f"{sizes.chains} chains of {CHAIN_NODES}", 10), ("fan-out", f"fan-out of {sizes.fan_out}", 4))
    found = []
    for case, words, target in cases:
        ours, theirs = times[case], times[f"LangGraph {case}"]
        found += [
            Figure(name=f"LangGraph, {words}", value=1e6 / theirs, unit="nodes/s"),
            Figure(name=f"engine, {words}", value=1e6 / ours, unit="nodes/s"),
            Figure(name=f"engine / LangGraph, {words}", value=theirs / ours, unit="x", at_least=target),
        ]
    return found


def _keep_best(times: dict[str, float], case: Case, mine: float, theirs: float) -> None:
    for name, taken in ((case.name, mine), (f"LangGraph {case.name}", theirs)):
        times[name] = min(taken, times.get(name, taken))


async def _measure_both(sizes: Sizes, python: Path) -> list[Figure]:
    async with _langgraph(sizes, python) as peer:
        return compare(sizes, await measure(sizes, peer))


@asynccontextmanager
async def _langgraph(sizes: Sizes, python: Path) -> AsyncIterator[Perform]:
    """Start the process that runs LangGraph; it ends with the block."""
    worker = DIRECTORY / "langgraph_worker.py"
    process = await asyncio.create_subprocess_exec(
        # Isolated: the module beside the worker must not be taken for the library of the same name.
        *(python, "-I", worker, str(sizes.chains), str(CHAIN_NODES), str(sizes.fan_out)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    requests, answers = process.stdin, process.stdout

    async def answer() -> float:
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await answers.readline()
        if not line:
            raise CannotMeasureError("LangGraph's process ended; what it wrote above says why.")
        return float(json.loads(line))

    async def perform(case: str) -> float:
        requests.write(json.dumps(case).encode() + b"\n")
        return await answer()

    try:
        await answer()
        yield perform
    finally:
        requests.close()
        if process.returncode is None:
            process.kill()
        await process.wait()
