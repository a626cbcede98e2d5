"""Who may run: limits on attempts in flight, each with a line that takes turns between runs."""

from collections.abc import Callable, Mapping
from typing import Final

from gql_app.core.events import SlotLimit
from gql_app.core.ids import NodeKey
from gql_app.core.plan import ToolDefinition
from gql_app.core.signals import Signal, SlotGranted, SlotMoved


class Line:
    """Nodes that wait, first come first within a run, the runs in turn. Every operation takes constant time."""

    def __init__(self) -> None:
        self._runs: dict[RunSlots, dict[NodeKey, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._runs.values()))

    def push(self, run: "RunSlots", node: NodeKey) -> None:
        """Let a node stand at the end of its run's part of the line."""
        self._runs.setdefault(run, {})[node] = None

    def pop(self) -> "tuple[RunSlots, NodeKey] | None":
        """Take the first node of the run whose turn it is; that run's next turn comes after all others'."""
        for run, nodes in self._runs.items():
            node = next(iter(nodes))
            del nodes[node], self._runs[run]
            if nodes:
                self._runs[run] = nodes
            return run, node
        return None

    def remove(self, run: "RunSlots", node: NodeKey) -> None:
        """Let a node leave the line."""
        nodes = self._runs[run]
        del nodes[node]
        if not nodes:
            del self._runs[run]


class Limit:
    """At most `capacity` slots in use at once."""

    def __init__(self, kind: SlotLimit, capacity: int) -> None:
        self.kind = kind
        self.capacity = capacity
        self.in_use = 0
        self.line = Line()


class SlotPool:
    """All limits of an executor.

    A slot is one of every limit of the tool, taken in a fixed order, the executor's last.
    """

    def __init__(self, *, attempts: int, processes: int) -> None:
        self.executor: Final = Limit(SlotLimit.EXECUTOR, attempts)
        self._processes = Limit(SlotLimit.PROCESSES, processes)
        self._chains: dict[str, tuple[Limit, ...]] = {}
        self._plain = (self.executor,)

    def configure(self, definitions: Mapping[str, ToolDefinition]) -> None:
        """Learn the limits of the tools."""
        for name, tool in definitions.items():
            limits = []
            if tool.max_concurrency is not None:
                limits.append(Limit(SlotLimit.TOOL, tool.max_concurrency))
            if tool.isolation == "process":
                limits.append(self._processes)
            if limits and name not in self._chains:
                self._chains[name] = (*limits, self.executor)

    def chain(self, tool: str) -> tuple[Limit, ...]:
        """Tell a tool's limits in the order in which they are taken."""
        return self._chains.get(tool, self._plain)

    def queued(self) -> int:
        """Count the nodes in all lines."""
        limits = {id(limit): limit for chain in (self._plain, *self._chains.values()) for limit in chain}
        return sum(len(limit.line) for limit in limits.values())


class RunSlots:
    """The slots of one run, as the machine sees them."""

    __slots__ = ("_held", "_pool", "_tell", "_waiting")

    def __init__(self, pool: SlotPool, tell: Callable[[Signal], None]) -> None:
        self._pool = pool
        self._tell = tell
        self._held: dict[NodeKey, tuple[Limit, ...]] = {}
        self._waiting: dict[NodeKey, tuple[tuple[Limit, ...], int]] = {}
        """For a node in line: its chain, and how many of its limits it has already."""

    def acquire(self, node: NodeKey, tool: str) -> SlotLimit | None:
        """Take a slot and say nothing, or stand in line (once) and say for which limit."""
        waiting = self._waiting.get(node)
        if waiting is not None:
            return waiting[0][waiting[1]].kind
        if node in self._held:
            return None
        chain = self._pool.chain(tool)
        if len(chain) == 1 and chain[0].in_use < chain[0].capacity:
            chain[0].in_use += 1
            self._held[node] = chain
            return None
        return self._take(node, chain, 0)

    def _take(self, node: NodeKey, chain: tuple[Limit, ...], start: int) -> SlotLimit | None:
        for i in range(start, len(chain)):
            limit = chain[i]
            if limit.in_use >= limit.capacity:
                limit.line.push(self, node)
                self._waiting[node] = chain, i
                return limit.kind
            limit.in_use += 1
        self._held[node] = chain
        return None

    def granted(self, node: NodeKey) -> None:
        """Go on: the limit the node waited for has given it a slot."""
        chain, i = self._waiting.pop(node)
        limit = self._take(node, chain, i + 1)
        self._tell(SlotGranted(node=node) if limit is None else SlotMoved(node=node, limit=limit))

    def release(self, node: NodeKey) -> None:
        """Give back the node's slot, or leave the line."""
        held = self._held.pop(node, None)
        if held is None:
            waiting = self._waiting.pop(node, None)
            if waiting is None:
                return
            chain, i = waiting
            chain[i].line.remove(self, node)
            held = chain[:i]
        for limit in reversed(held):
            give_back(limit)

    def close(self) -> None:
        """Give back everything the run has and wants; nobody is told any more."""
        for node in [*self._waiting, *self._held]:
            self.release(node)
        self._tell = _tell_nobody


def _tell_nobody(signal: Signal) -> None:
    """Let a signal go unheard."""


def give_back(limit: Limit) -> None:
    """Hand a slot to whoever is next in line, if anybody is."""
    next_in_line = limit.line.pop()
    if next_in_line is None:
        limit.in_use -= 1
    else:
        run, node = next_in_line
        run.granted(node)
