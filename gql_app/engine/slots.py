"""Who may run: what an attempt takes of which limit, and what of it a run has or waits for."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Self, TypeAlias

from gql_app.core.events import SlotLimit
from gql_app.core.ids import Holder, NodeKey, StepKey
from gql_app.core.named_limits import NamedLimit
from gql_app.core.plan import ToolDefinition
from gql_app.core.signals import Signal, SlotGranted, SlotMoved, SlotWanted
from gql_app.engine.buckets import Bucket
from gql_app.engine.limits import Concurrency, Limit
from gql_app.settings import Settings

Chain: TypeAlias = tuple[Limit, ...]
"""The limits of a holder in the order in which they are taken."""

ORDER: Final = (SlotLimit.TOOL, SlotLimit.NAMED, SlotLimit.PROCESSES, SlotLimit.RATE, SlotLimit.EXECUTOR)
"""In which order limits are taken, those of a kind by their names: the same for all, so that none wait in a circle.

Tokens come late, because they are gone even if something else is in the way then; the executor's slot, which everybody
needs, comes last.
"""


class SlotPool:
    """All limits of an executor. An attempt takes one of each that it falls under, in a fixed order."""

    def __init__(
        self,
        *,
        attempts: int,
        processes: int,
        named: Mapping[str, NamedLimit] | None = None,
        definitions: Callable[[], Mapping[str, ToolDefinition]] = dict,
    ) -> None:
        self.executor: Final = Concurrency(SlotLimit.EXECUTOR, attempts)
        self._processes = Concurrency(SlotLimit.PROCESSES, processes)
        self._named = {name: _named_limits(name, limit) for name, limit in (named or {}).items()}
        self._patterns = [(name[:-1], limits) for name, limits in self._named.items() if name.endswith("*")]
        self._definitions = definitions
        self._chains: dict[str, Chain] = {}

    @classmethod
    def of(cls, settings: Settings, definitions: Callable[[], Mapping[str, ToolDefinition]]) -> Self:
        """Make the limits that the settings say, and the tools as far as they are known when they are called."""
        return cls(
            attempts=settings.maximum_attempts_in_flight,
            processes=settings.maximum_processes,
            named=settings.limits,
            definitions=definitions,
        )

    def chain(self, tool: str, limits: Iterable[str] = ()) -> Chain:
        """Tell what an attempt takes that calls this tool and names these limits; those that are not there are none."""
        chain = self._chains.get(tool)
        if chain is None:
            chain = self._learn(tool)
        return _in_order(*chain, *self._named_in(limits)) if limits else chain

    def queued(self) -> int:
        """Count the holders in all lines."""
        chains = (*self._chains.values(), *self._named.values(), (self.executor, self._processes))
        return sum(len(limit.line) for limit in {limit for chain in chains for limit in chain})

    def _learn(self, tool: str) -> Chain:
        shared = [limit for prefix, chain in self._patterns if tool.startswith(prefix) for limit in chain]
        definition = self._definitions().get(tool)
        if definition is None:
            return _in_order(*self._named_in((tool,)), *shared, self.executor)
        own = _limits_of(definition)
        processes = (self._processes,) if definition.isolation == "process" else ()
        named = self._named_in((tool, *definition.limits))
        chain = self._chains[tool] = _in_order(*own, *named, *shared, *processes, self.executor)
        return chain

    def _named_in(self, names: Iterable[str]) -> Iterable[Limit]:
        return [limit for name in names for limit in self._named.get(name, ())]


def _limits_of(tool: ToolDefinition) -> Chain:
    """Make the limits that a tool sets itself."""
    limits: list[Limit] = []
    if tool.max_concurrency is not None:
        limits.append(Concurrency(SlotLimit.TOOL, tool.max_concurrency, tool.name))
    if tool.rate_limit is not None:
        limits.append(Bucket(tool.rate_limit, tool.name))
    return tuple(limits)


def _named_limits(name: str, limit: NamedLimit) -> Chain:
    """Make a limit of the settings: up to two, under one name."""
    limits: list[Limit] = []
    if limit.maximum_concurrency is not None:
        limits.append(Concurrency(SlotLimit.NAMED, limit.maximum_concurrency, name))
    if limit.rate_limit is not None:
        limits.append(Bucket(limit.rate_limit, name))
    return tuple(limits)


def _in_order(*limits: Limit) -> Chain:
    """Put limits into everybody's order, each once."""
    return tuple(sorted(dict.fromkeys(limits), key=_place))


def _place(limit: Limit) -> tuple[int, str]:
    return ORDER.index(limit.wanted.limit), limit.wanted.name or ""


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
        """Leave out what the step runs under: the executor's slot, and what those keep that it is part of.

        A token of a rate is not kept: every beginning takes its own.
        """
        kept: set[Limit] = {self._pool.executor}
        for holder in step.enclosing():
            kept.update(limit for limit in self._held.get(holder, ()) if limit.kept)
        return tuple(limit for limit in self._pool.chain(tool, limits) if limit not in kept)

    def _take(self, holder: Holder, chain: Chain, start: int) -> SlotWanted | None:
        for i in range(start, len(chain)):
            limit = chain[i]
            if not limit.take():
                limit.wait(self, holder)
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
            chain[i].leave(self, holder)
            held = chain[:i]
        for limit in reversed(held):
            limit.give_back()

    def close(self) -> None:
        """Give back everything the run has and wants; nobody is told any more."""
        self._tell = _tell_nobody
        for holder in [*self._waiting, *self._held]:
            self._give_back(holder)
        self._steps.clear()


def _tell_nobody(signal: Signal) -> None:
    """Let a signal go unheard."""
