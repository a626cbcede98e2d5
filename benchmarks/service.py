"""How long the submit of a small document takes: through the service alone, and over HTTP on a real server."""

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import Final

import httpx

from benchmarks.figure import Figure
from gql_app.bootstrap import application
from gql_app.client.operations import load_operation
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.values import Json
from gql_app.engine.elected import ElectedExecutor
from gql_app.settings import Settings
from tests.support.server import server_process

DOCUMENT: Final[Json] = {
    "name": "three",
    "nodes": [
        {"id": "first", "tool": "echo", "input": {"value": "${ input.name }"}},
        {"id": "second", "tool": "echo", "input": {"value": "${ nodes.first.output }"}},
        {"id": "third", "tool": "echo", "input": {"value": "${ nodes.second.output }"}},
    ],
    "input": {"name": "world"},
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many are submitted, and by how many clients at once."""

    submits: int = 500
    clients: int = 16
    warm_up: int = 50


FULL: Final = Sizes()


def figures(sizes: Sizes = FULL) -> list[Figure]:
    """Measure. There are no targets: the figures are for information."""
    alone, ended = asyncio.run(submit_to_service(sizes))
    with server_process() as server:
        one, together = asyncio.run(submit_over_http(server.url, sizes))
    return [
        Figure(name="submit of 3 nodes to the service (median)", value=alone * 1e6, unit="µs"),
        Figure(name="runs of 3 nodes through the service, to their end", value=1 / ended, unit="runs/s"),
        Figure(name="submit of 3 nodes over HTTP (median)", value=one * 1e3, unit="ms"),
        Figure(name=f"submits over HTTP, {sizes.clients} clients at once", value=1 / together, unit="runs/s"),
    ]


async def submit_to_service(sizes: Sizes) -> tuple[float, float]:
    """Tell the seconds a submit takes, and those a run takes when all have ended."""
    async with application(Settings()) as opened:
        executor = opened.executor
        assert isinstance(executor, ElectedExecutor)
        for _ in range(sizes.warm_up):
            await opened.service.submit(DEFAULT_NAMESPACE, DOCUMENT)
        times, runs, started = [], [], time.perf_counter()
        for _ in range(sizes.submits):
            asked = time.perf_counter()
            runs.append(await opened.service.submit(DEFAULT_NAMESPACE, DOCUMENT))
            times.append(time.perf_counter() - asked)
        for run in runs:
            await executor.join(run.run_id)
        return statistics.median(times), (time.perf_counter() - started) / sizes.submits


async def submit_over_http(url: str, sizes: Sizes) -> tuple[float, float]:
    """Tell the seconds a submit takes for one client, and those for each of many clients' submits."""
    body = {"query": load_operation("SubmitWorkflow"), "variables": {"spec": DOCUMENT}}
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:

        async def submit() -> None:
            answer = (await client.post("/graphql", json=body)).json()
            assert answer["data"]["submitWorkflow"]["__typename"] == "SubmitWorkflowSuccess", answer

        async def submit_some(count: int) -> list[float]:
            times = []
            for _ in range(count):
                asked = time.perf_counter()
                await submit()
                times.append(time.perf_counter() - asked)
            return times

        await submit_some(sizes.warm_up)
        times = await submit_some(sizes.submits)
        each, started = max(1, sizes.submits // sizes.clients), time.perf_counter()
        await asyncio.gather(*(submit_some(each) for _ in range(sizes.clients)))
        return statistics.median(times), (time.perf_counter() - started) / (each * sizes.clients)
