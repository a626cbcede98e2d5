"""No-op nodes through the whole engine with its event log, beside bare asyncio doing the same.

Every figure is the best of several rounds; the rounds of what is compared alternate, so that both meet the same machine.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from gql_app.core.events import WorkflowSubmitted
from gql_app.core.ids import DEFAULT_NAMESPACE, NodeKey, RunId, make_run_id
from gql_app.core.plan import NodePlan, Plan
from gql_app.engine.clock import SystemClock
from gql_app.engine.executor import AsyncioExecutor
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from gql_app.tools.decorator import tool
from gql_app.tools.registry import ToolRegistry

TIMEOUT_SECONDS = 60.0
CHAINS, CHAIN_NODES = 300, 3


@tool
async def noop() -> None:
    """Do nothing."""


class Engine:
    """The engine on the store in memory, and nothing around it."""

    def __init__(self) -> None:
        clock = SystemClock()
        settings = Settings(maximum_attempts_in_flight=20_000)
        self.repository = MemoryRunRepository(clock=clock, settings=settings)
        tools = ToolRegistry([noop])
        self.executor = AsyncioExecutor(repository=self.repository, tools=tools, clock=clock, settings=settings)
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
    async with asyncio.timeout(TIMEOUT_SECONDS):
        return


async def bare_fan_out(nodes: int) -> None:
    """Start a task for each node, with a timeout in it, and await them all."""
    for task in [asyncio.create_task(_bare_node()) for _ in range(nodes)]:
        await task


async def _bare_chain() -> None:
    for _ in range(CHAIN_NODES):
        await asyncio.create_task(_bare_node())


async def bare_chains() -> None:
    """Run all chains at once, a task for each and one for each of its nodes."""
    await asyncio.gather(*(_bare_chain() for _ in range(CHAINS)))


async def chains(engine: Engine) -> None:
    """Run all chains at once, a run for each."""
    await engine.perform(chain(CHAIN_NODES), CHAINS)


async def best(rounds: int, cases: Sequence[tuple[str, int, Callable[[], Awaitable[None]]]]) -> dict[str, float]:
    """Tell the microseconds a node takes in each case's best round."""
    times: dict[str, float] = {}
    for _ in range(rounds):
        for name, nodes, case in cases:
            gc.collect()
            started = time.perf_counter()
            await case()
            taken = (time.perf_counter() - started) / nodes * 1e6
            times[name] = min(taken, times.get(name, taken))
    return times


async def measure(rounds: int = 15) -> dict[str, float]:
    """Measure all cases; microseconds a node."""
    engine = Engine()
    plans = {nodes: fan_out(nodes) for nodes in (100, 200, 5_000, 10_000)}
    cases: list[tuple[str, int, Callable[[], Awaitable[None]]]] = [
        ("bare fan-out of 5,000", 5_000, lambda: bare_fan_out(5_000)),
        ("fan-out of 5,000", 5_000, lambda: engine.perform(plans[5_000])),
        ("bare 300 chains of 3", CHAINS * CHAIN_NODES, bare_chains),
        ("300 chains of 3", CHAINS * CHAIN_NODES, lambda: chains(engine)),
        ("fan-out of 100", 100, lambda: engine.perform(plans[100])),
        ("fan-out of 200", 200, lambda: engine.perform(plans[200])),
        ("fan-out of 10,000", 10_000, lambda: engine.perform(plans[10_000])),
    ]
    times = await best(rounds, cases)
    await engine.executor.close()
    return times


def main() -> dict[str, float]:
    """Measure and print; tells microseconds a node by case."""
    times = asyncio.run(measure())
    for name, taken in times.items():
        print(f"  {name:<26}{taken:8.1f} µs a node")
    fan = times["fan-out of 5,000"] / times["bare fan-out of 5,000"]
    chained = times["300 chains of 3"] / times["bare 300 chains of 3"]
    scale = times["fan-out of 10,000"] / times["fan-out of 100"]
    print(f"  fan-out of 5,000: {fan:.2f} × bare asyncio (at most 5, aim 3.5)")
    print(f"  300 chains of 3: {chained:.2f} × bare asyncio (at most 5, aim 3.5)")
    print(f"  a node of 10,000 costs {scale:.2f} × one of 100 (at most 1.5)")
    return times


if __name__ == "__main__":
    main()
