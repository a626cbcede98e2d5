"""Durable runs beside DBOS: the same chains of three on the same database, from as many clients at once.

DBOS has an environment and a process of its own, and a round of it alternates with one of ours.
"""

import asyncio
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.durable import chain, executor_of, perform
from benchmarks.environments import DIRECTORY, prepare
from benchmarks.figure import CannotMeasureError, Figure
from benchmarks.stores import KINDS, store
from gql_app.bootstrap import Application, application
from gql_app.settings import Settings

ANSWER_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many runs each has to do, from how many clients, and how often."""

    ours: int = 2_000
    theirs: int = 200
    clients: int = 20
    rounds: int = 3


FULL: Final = Sizes()


def figures(sizes: Sizes = FULL) -> list[Figure]:
    """Measure, and tell what became of the targets."""
    python = prepare("dbos")
    return [figure for kind in KINDS for figure in asyncio.run(_measure(kind, sizes, python))]


async def _measure(kind: str, sizes: Sizes, python: Path) -> list[Figure]:
    ours, theirs = 0.0, 0.0
    async with (
        store(kind) as address,
        store(kind) as other,
        application(Settings(store=address, migrate=True)) as opened,
    ):
        await executor_of(opened).leading.wait()
        await _perform(opened, sizes.clients, sizes.clients)
        for _ in range(sizes.rounds):
            ours = max(ours, await _perform(opened, sizes.ours, sizes.clients))
            theirs = max(theirs, await asyncio.to_thread(_let_perform, python, other, sizes))
    what = f"chains of 3 from {sizes.clients} clients"
    return [
        Figure(name=f"{kind}: {what}, DBOS", value=theirs, unit="runs/s"),
        Figure(name=f"{kind}: {what}, ours", value=ours, unit="runs/s"),
        Figure(name=f"{kind}: ours / DBOS, {what}", value=ours / theirs, unit="x", at_least=10),
    ]


async def _perform(opened: Application, runs: int, clients: int) -> float:
    """Perform runs, each client one after the other; tell how many ended in a second."""
    document = chain(3)

    async def client() -> None:
        for _ in range(runs // clients):
            await perform(opened, document)

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return runs // clients * clients / (time.perf_counter() - started)


def _let_perform(python: Path, address: str, sizes: Sizes) -> float:
    worker = str(DIRECTORY / "dbos_worker.py")
    # Isolated: the module beside the worker must not be taken for the library of the same name.
    command = [str(python), "-I", worker, address, str(sizes.theirs), str(sizes.clients)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=ANSWER_SECONDS)
    except subprocess.CalledProcessError as error:
        raise CannotMeasureError(f"DBOS failed: {error.stderr[-500:]}") from None
    return float(done.stdout.split()[-1])
