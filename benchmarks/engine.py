"""No-op nodes through the whole engine with its event log, beside bare asyncio doing the same.

Every figure is the best of several rounds; the rounds of what is compared alternate, so that both meet the same
machine.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from benchmarks.figure import Figure
from gql_app.core.events import WorkflowSubmitted
from gql_app.core.ids import DEFAULT_NAMESPACE, NodeKey, RunId, make_run_id
from gql_app.core.plan import NodePlan, Plan
from gql_app.engine.clock import SystemClock
from gql_app.engine.executor import AsyncioExecutor
from gql_app.sandbox.sandbox import Sandbox
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from gql_app.telemetry.instruments import Instruments
from gql_app.tools.decorator import tool
from gql_app.tools.registry import ToolRegistry

TIMEOUT_SECONDS: Final = 60.0
CHAIN_NODES: Final = 3


@tool
async def noop() -> None:
    """Do nothing."""


class Engine:
    """The engine on the store in memory, with its metrics and log, and nothing around it."""

    def __init__(self) -> None:
        clock = SystemClock()
        settings = Settings(maximum_attempts_in_flight=20_000, maximum_active_runs_per_namespace=1_000)
        self.repository = MemoryRunRepository(clock=clock, settings=settings)
        tools = ToolRegistry([noop])
        instruments = Instruments(settings)
        self.executor = AsyncioExecutor(
            repository=self.repository,
            tools=tools,
            evaluator=Sandbox(settings),
            clock=clock,
            settings=settings,
            monitor=instruments.monitor,
        )
        instruments.observe(load=self.executor.load, is_tool=lambda name: tools.find(name) is not None)
        self._clock = clock
        self._count = 0

    async def perform(self, plan: Plan, runs: int = 1) -> None:
        """Store and start runs, and wait until all have ended."""
        for run_id in [await self._start(plan) for _ in range(runs)]:
            await self.executor.join(run_id)

    async def _start(self, plan: Plan) -> RunId:
        self._count += 1
        run_id = make_run_id(self._count, bytes(10))
        submitted = WorkflowSubmitted(
            sequence=1,
            at=self._clock.now(),
            run_id=run_id,
            namespace=DEFAULT_NAMESPACE,
            plan=plan,
            document=msgspec.Raw(b"{}"),
        )
        await self.repository.create([submitted], values={})
        await self.executor.start(DEFAULT_NAMESPACE, run_id)
        return run_id


def fan_out(nodes: int) -> Plan:
    """Plan nodes that do not depend on each other."""
    return Plan(
        name="fan-out", nodes=tuple(NodePlan(key=NodeKey(f"n{i}"), tool="noop", input={}) for i in range(nodes))
    )


def chain(nodes: int) -> Plan:
    """Plan nodes that depend each on the one before."""
    return Plan(
        name="chain",
        nodes=tuple(
            NodePlan(key=NodeKey(f"n{i}"), tool="noop", input={}, depends_on=(f"n{i - 1}",) if i else ())
            for i in range(nodes)
        ),
    )


async def _bare_node() -> None:
    # What a timer costs is what is measured; nothing is waited for.
    async with asyncio.timeout(TIMEOUT_SECONDS):  # noqa: ASYNC100
        return


async def bare_fan_out(nodes: int) -> None:
    """Start a task for each node, with a timeout in it, and await them all."""
    for task in [asyncio.create_task(_bare_node()) for _ in range(nodes)]:
        await task


async def _bare_chain() -> None:
    for _ in range(CHAIN_NODES):
        await asyncio.create_task(_bare_node())


async def bare_chains(count: int) -> None:
    """Run all chains at once, a task for each and one for each of its nodes."""
    await asyncio.gather(*(_bare_chain() for _ in range(count)))


@dataclass(frozen=True, slots=True)
class Case:
    """What is timed, and how many nodes it runs."""

    name: str
    nodes: int
    perform: Callable[[], Awaitable[None]]


def fan_out_case(name: str, engine: Engine, nodes: int) -> Case:
    """Run one fan-out on the engine."""
    plan = fan_out(nodes)
    return Case(name, nodes, lambda: engine.perform(plan))


def chains_case(name: str, engine: Engine, count: int) -> Case:
    """Run chains on the engine, a run for each, all at once."""
    plan = chain(CHAIN_NODES)
    return Case(name, count * CHAIN_NODES, lambda: engine.perform(plan, count))


async def best(rounds: int, cases: Sequence[Case]) -> dict[str, float]:
    """Tell the microseconds a node takes in each case's best round."""
    times: dict[str, float] = {}
    for _ in range(rounds):
        for case in cases:
            gc.collect()
            started = time.perf_counter()
            await case.perform()
            taken = (time.perf_counter() - started) / case.nodes * 1e6
            times[case.name] = min(taken, times.get(case.name, taken))
    return times


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is run: the nodes of fan-outs, how many chains, and how often."""

    fan_out: int = 5_000
    small: int = 100
    large: int = 10_000
    chains: int = 300
    rounds: int = 15


FULL: Final = Sizes()


async def measure(sizes: Sizes) -> dict[str, float]:
    """Measure all cases; microseconds a node."""
    engine = Engine()
    cases = [
        Case("bare fan-out", sizes.fan_out, lambda: bare_fan_out(sizes.fan_out)),
        fan_out_case("fan-out", engine, sizes.fan_out),
        Case("bare chains", sizes.chains * CHAIN_NODES, lambda: bare_chains(sizes.chains)),
        chains_case("chains", engine, sizes.chains),
        fan_out_case("small fan-out", engine, sizes.small),
        fan_out_case("large fan-out", engine, sizes.large),
    ]
    try:
        return await best(sizes.rounds, cases)
    finally:
        await engine.executor.close()


def figures(sizes: Sizes = FULL) -> list[Figure]:
    """Measure, and tell what became of the targets."""
    times = asyncio.run(measure(sizes))
    return [
        *_beside_bare(times, "fan-out", f"fan-out of {sizes.fan_out:,}"),
        *_beside_bare(times, "chains", f"{sizes.chains} chains of {CHAIN_NODES}"),
        Figure(
            name=f"a node of {sizes.large:,} / a node of {sizes.small}",
            value=times["large fan-out"] / times["small fan-out"],
            unit="x",
            at_most=1.5,
        ),
    ]


def _beside_bare(times: Mapping[str, float], case: str, words: str) -> list[Figure]:
    ours, bare = times[case], times[f"bare {case}"]
    return [
        Figure(name=f"bare asyncio, {words}", value=bare, unit="µs a node"),
        Figure(name=f"engine, {words}", value=ours, unit="µs a node"),
        Figure(name=f"engine / bare asyncio, {words} (aim 3.5)", value=ours / bare, unit="x", at_most=5),
    ]
