"""Runs graphs on LangGraph: reads one name a line, runs that case, and writes the seconds it took.

It runs in an environment of its own, isolated (`python -I`), and imports nothing of ours.
"""

import asyncio
import gc
import json
import sys
import time
from typing import TypedDict

# LangGraph is in the environment of the benchmark, not in the one that is checked.
from langgraph.checkpoint.memory import InMemorySaver  # type: ignore[import-not-found]
from langgraph.graph import END, START, StateGraph  # type: ignore[import-not-found]


class State(TypedDict):
    """What the nodes share: they leave it as it is."""

    value: None


async def noop(_: State) -> None:
    """Do nothing."""


class Graphs:
    """The graphs of the comparison. Every round begins with an empty checkpointer."""

    def __init__(self, chains: int, chain_nodes: int, fan_out: int) -> None:
        self._chains = chains
        self._steps = chain_nodes
        names = [f"n{i}" for i in range(chain_nodes)]
        self._chain = StateGraph(State)
        for name in names:
            self._chain.add_node(name, noop)
        for source, target in zip([START, *names], [*names, END], strict=True):
            self._chain.add_edge(source, target)
        self._fan_out = StateGraph(State)
        for i in range(fan_out):
            self._fan_out.add_node(f"n{i}", noop)
            self._fan_out.add_edge(START, f"n{i}")
            self._fan_out.add_edge(f"n{i}", END)

    async def run(self, case: str) -> float:
        """Run a case once and tell the seconds it took. Every thread stores a checkpoint after each step."""
        many = case == "chains"
        source, threads, steps = (self._chain, self._chains, self._steps) if many else (self._fan_out, 1, 1)
        saver = InMemorySaver()
        graph = source.compile(checkpointer=saver)
        configs = [{"configurable": {"thread_id": str(i)}} for i in range(threads)]
        gc.collect()
        started = time.perf_counter()
        await asyncio.gather(*(graph.ainvoke({"value": None}, config) for config in configs))
        taken = time.perf_counter() - started
        assert all(len(list(saver.list(config))) >= steps for config in configs)
        return taken


async def main() -> None:
    """Say that all is ready, then answer line by line until there are no more."""
    graphs = Graphs(*map(int, sys.argv[1:]))
    print(json.dumps(0), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await graphs.run(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
