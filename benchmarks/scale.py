"""A store that holds much: how long a server needs to be ready, what it takes, and how long lists take."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

import msgspec

from benchmarks.durable import chain, executor_of, perform
from benchmarks.figure import Figure
from benchmarks.resident import resident_bytes
from benchmarks.stores import KINDS, store
from gql_app.bootstrap import application
from gql_app.core.events import WorkflowSubmitted
from gql_app.core.ids import DEFAULT_NAMESPACE, RunId, make_run_id
from gql_app.core.listing import RunFilter, RunQuery
from gql_app.core.run import RunStatus
from gql_app.core.values import Json
from gql_app.engine.clock import SystemClock
from gql_app.ports import RunRepository
from gql_app.settings import Settings
from gql_app.storage.sql.opening import opened
from tests.support.server import server_process

LABEL: Final = {"team": "a"}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many runs there are, and how often a list is asked for."""

    finished: int = 100_000
    unfinished: int = 1_000
    together: int = 1_000
    lists: int = 50


FULL: Final = Sizes()


def figures(sizes: Sizes = FULL) -> list[Figure]:
    """Measure, and tell what became of the targets."""
    return [figure for kind in KINDS for figure in asyncio.run(_measure(kind, sizes))]


async def _measure(kind: str, sizes: Sizes) -> list[Figure]:
    async with store(kind) as empty, store(kind) as full:
        await _fill(full, sizes)
        before = await _time_lists(empty, sizes)
        after = await _time_lists(full, sizes)
        ready, megabytes = await asyncio.to_thread(_open, full)
    worst = max(after, key=lambda name: after[name] / before[name])
    what = f"{kind}, {sizes.finished:,} finished and {sizes.unfinished:,} unfinished runs"
    return [
        Figure(name=f"{what}: ready after", value=ready, unit="s", at_most=5),
        Figure(name=f"{what}: the process takes", value=megabytes, unit="MB", at_most=300),
        Figure(name=f"{kind}: a list of an empty store (median)", value=before["all"] * 1e3, unit="ms"),
        Figure(
            name=f"{kind}: the slowest filter ({worst}) / an empty store",
            value=after[worst] / before[worst],
            unit="x",
            at_most=3,
        ),
    ]


async def _fill(address: str, sizes: Sizes) -> None:
    """Write copies of two runs, one that has finished and one that has not."""
    settings = Settings(store=address, migrate=True)
    async with application(settings) as running:
        await executor_of(running).leading.wait()
        finished = await perform(running, {**chain(1), "labels": LABEL})
        log = await running.repository.events(DEFAULT_NAMESPACE, finished, after=0, limit=100)
    begun = log[:3]
    async with opened(settings, clock=SystemClock()) as repository:
        await repository.lead()
        for events, count in ((log, sizes.finished), (begun, sizes.unfinished)):
            for start in range(0, count, sizes.together):
                numbers = range(start, min(start + sizes.together, count))
                await asyncio.gather(*(_copy(repository, events, number) for number in numbers))


async def _copy(repository: RunRepository, log: Sequence[Json], number: int) -> None:
    first: WorkflowSubmitted = log[0]
    name = "chain" if number % 1_000 else "rare"
    labels = LABEL if number % 1_000 == 1 else {"team": "b"}
    at = datetime.now(UTC) - timedelta(seconds=100_000 - number / 2)
    run_id = RunId(make_run_id(int(at.timestamp() * 1e3), (number + (len(log) << 40)).to_bytes(10, "big")))
    plan = msgspec.structs.replace(first.plan, name=name)
    copy = msgspec.structs.replace(first, run_id=run_id, plan=plan, labels=labels)
    await repository.create([copy, *log[1:]], values={})


async def _time_lists(address: str, sizes: Sizes) -> dict[str, float]:
    """Tell the median of the seconds that a page takes with each filter."""
    now = datetime.now(UTC)
    filters = {
        "all": RunFilter(),
        "status": RunFilter(statuses=frozenset({RunStatus.FAILED})),
        "several statuses": RunFilter(statuses=frozenset({RunStatus.FAILED, RunStatus.RUNNING, RunStatus.CANCELLED})),
        "name": RunFilter(name="rare"),
        "label": RunFilter(labels=LABEL),
        "created after": RunFilter(created_after=now - timedelta(days=365)),
        "created before": RunFilter(created_before=now - timedelta(days=365)),
    }
    async with opened(Settings(store=address, migrate=True), clock=SystemClock()) as repository:
        return {
            name: await _time(repository, RunQuery(limit=20, filter=wanted), sizes.lists)
            for name, wanted in filters.items()
        }


async def _time(repository: RunRepository, query: RunQuery, count: int) -> float:
    times = []
    for _ in range(count):
        started = time.perf_counter()
        await repository.list(DEFAULT_NAMESPACE, query)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _open(address: str) -> tuple[float, float]:
    """Start a server; tell the seconds until it takes runs, and its megabytes once it has taken all over."""
    started = time.perf_counter()
    query = "{ workflows(first: 1, filter: {statuses: [RUNNING]}) { nodes { id } } }"
    with server_process("--store", address) as server:
        with server.client() as client:
            while client.get("/ready").status_code != HTTPStatus.OK:
                time.sleep(0.02)
            ready = time.perf_counter() - started
        while server.execute(query)["workflows"]["nodes"]:
            time.sleep(0.2)
        return ready, resident_bytes(server.process.pid) / (1 << 20)
