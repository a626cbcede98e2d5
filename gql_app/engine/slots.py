"""Who may run: limits on attempts in flight, each with a line that takes turns between runs."""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from gql_app.core.events import SlotLimit
from gql_app.core.ids import Holder, NodeKey, StepKey
from gql_app.core.plan import ToolDefinition
from gql_app.core.signals import Signal, SlotGranted, SlotMoved, SlotWanted


class Line:
    """Holders that wait, first come first within a run, the runs in turn. Every operation takes constant time."""

    def __init__(self) -> None:
        self._runs: dict[RunSlots, dict[Holder, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._runs.values()))

    def push(self, run: "RunSlots", holder: Holder) -> None:
        """Let a holder stand at the end of its run's part of the line."""
        self._runs.setdefault(run, {})[holder] = None

    def pop(self) -> "tuple[RunSlots, Holder] | None":
        """Take the first holder of the run whose turn it is; that run's next turn comes after all others'."""
        for run, holders in self._runs.items():
            holder = next(iter(holders))
            del holders[holder], self._runs[run]
            if holders:
                self._runs[run] = holders
            return run, holder
        return None

    def remove(self, run: "RunSlots", holder: Holder) -> None:
        """Let a holder leave the line."""
        holders = self._runs[run]
        del holders[holder]
        if not holders:
            del self._runs[run]


class Limit:
    """At most `capacity` slots in use at once."""

    def __init__(self, kind: SlotLimit, capacity: int, name: str | None = None) -> None:
        self.wanted: Final = SlotWanted(kind, name)
        self.capacity = capacity
        self.in_use = 0
        self.line = Line()

    def take(self) -> bool:
        """Take a slot if one is free."""
        if self.in_use >= self.capacity:
            return False
        self.in_use += 1
        return True

    def give_back(self) -> None:
        """Hand a slot to whoever is next in line, if anybody is."""
        next_in_line = self.line.pop()
        if next_in_line is None:
            self.in_use -= 1
        else:
            run, holder = next_in_line
            run.granted(holder)


Chain: TypeAlias = tuple[Limit, ...]
"""The limits of a holder in the order in which they are taken."""


class SlotPool:
    """All limits of an executor.

    A slot is one of every limit of the tool, taken in a fixed order, the executor's last.
    """

    def __init__(self, *, attempts: int, processes: int) -> None:
        self.executor: Final = Limit(SlotLimit.EXECUTOR, attempts)
        self._processes = Limit(SlotLimit.PROCESSES, processes)
        self._chains: dict[str, Chain] = {}
        self._plain = (self.executor,)

    def configure(self, definitions: Mapping[str, ToolDefinition]) -> None:
        """Learn the limits of the tools."""
        for name, tool in definitions.items():
            limits = []
            if tool.max_concurrency is not None:
                limits.append(Limit(SlotLimit.TOOL, tool.max_concurrency, name))
            if tool.isolation == "process":
                limits.append(self._processes)
            if limits and name not in self._chains:
                self._chains[name] = (*limits, self.executor)

    def chain(self, tool: str, limits: tuple[str, ...] = ()) -> Chain:
        """Tell what an attempt takes that calls this tool and names these limits."""
        return self._chains.get(tool, self._plain)

    def queued(self) -> int:
        """Count the holders in all lines."""
        limits = {id(limit): limit for chain in (self._plain, *self._chains.values()) for limit in chain}
        return sum(len(limit.line) for limit in limits.values())


class RunSlots:
    """The slots of one run, as the machine sees them."""

    __slots__ = ("_held", "_pool", "_steps", "_tell", "_waiting")

    def __init__(self, pool: SlotPool, tell: Callable[[Signal], None]) -> None:
        self._pool = pool
        self._tell = tell
        self._held: dict[Holder, Chain] = {}
        self._waiting: dict[Holder, tuple[Chain, int]] = {}
        """For a holder in line: its chain, and how many of its limits it has already."""
        self._steps: dict[NodeKey, dict[StepKey, None]] = {}
        """For a node: its steps that have something or wait for it."""

    def acquire(self, holder: Holder, tool: str, limits: tuple[str, ...] = ()) -> SlotWanted | None:
        """Take a slot and say nothing, or stand in line (once) and say for which limit."""
        waiting = self._waiting.get(holder)
        if waiting is not None:
            return waiting[0][waiting[1]].wanted
        if holder in self._held:
            return None
        if isinstance(holder, StepKey):
            self._steps.setdefault(holder.node, {})[holder] = None
            return self._take(holder, self._step_chain(holder, tool, limits), 0)
        return self._take(holder, self._pool.chain(tool, limits), 0)

    def _step_chain(self, step: StepKey, tool: str, limits: tuple[str, ...]) -> Chain:
        """Leave out what the step runs under: the executor's slot, and limits that what it is part of holds."""
        held = {self._pool.executor}
        for holder in step.enclosing():
            held.update(self._held.get(holder, ()))
        return tuple(limit for limit in self._pool.chain(tool, limits) if limit not in held)

    def _take(self, holder: Holder, chain: Chain, start: int) -> SlotWanted | None:
        for i in range(start, len(chain)):
            limit = chain[i]
            if not limit.take():
                limit.line.push(self, holder)
                self._waiting[holder] = chain, i
                return limit.wanted
        self._held[holder] = chain
        return None

    def granted(self, holder: Holder) -> None:
        """Go on: the limit the holder waited for has given it a slot."""
        chain, i = self._waiting.pop(holder)
        wanted = self._take(holder, chain, i + 1)
        node, step = holder if isinstance(holder, StepKey) else (holder, None)
        if wanted is None:
            self._tell(SlotGranted(node=node, step=step))
        else:
            self._tell(SlotMoved(node=node, step=step, limit=wanted.limit, name=wanted.name))

    def release(self, holder: Holder) -> None:
        """Give back what the holder, and every step of it if it is a node, has or waits for."""
        if isinstance(holder, StepKey):
            steps = self._steps.get(holder.node)
            if steps is not None:
                steps.pop(holder, None)
        elif self._steps:
            for step in self._steps.pop(holder, ()):
                self._give_back(step)
        self._give_back(holder)

    def _give_back(self, holder: Holder) -> None:
        held = self._held.pop(holder, None)
        if held is None:
            waiting = self._waiting.pop(holder, None)
            if waiting is None:
                return
            chain, i = waiting
            chain[i].line.remove(self, holder)
            held = chain[:i]
        for limit in reversed(held):
            limit.give_back()

    def close(self) -> None:
        """Give back everything the run has and wants; nobody is told any more."""
        for holder in [*self._waiting, *self._held]:
            self._give_back(holder)
        self._steps.clear()
        self._tell = _tell_nobody


def _tell_nobody(signal: Signal) -> None:
    """Let a signal go unheard."""
