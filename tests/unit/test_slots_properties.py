"""Whatever is taken and given back in whichever order: no limit is exceeded, nobody waits for what is free."""

from collections import Counter
from collections.abc import Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from gql_app.core.ids import Holder, NodeKey, StepKey
from gql_app.core.named_limits import NamedLimit
from gql_app.core.plan import ToolDefinition
from gql_app.core.signals import Signal, SlotGranted, SlotMoved, SlotWanted
from gql_app.engine.limits import Concurrency, Limit
from gql_app.engine.slots import RunSlots, SlotPool

TOOLS = {
    "plain": ToolDefinition(name="plain"),
    "narrow": ToolDefinition(name="narrow", max_concurrency=1),
    "apart": ToolDefinition(name="apart", max_concurrency=3, isolation="process", limits=("a",)),
}
NODES = [NodeKey(name) for name in "abc"]
HOLDERS: Sequence[Holder] = [*NODES, *(StepKey(node, step) for node in NODES for step in ("s", "s/t"))]

actions = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(HOLDERS),
        st.sampled_from(["take"] * 12 + ["give back"] * 6 + ["close"]),
        st.sampled_from(sorted(TOOLS)),
        st.lists(st.sampled_from("ab"), unique=True, max_size=2).map(tuple),
    ),
    min_size=30,
    max_size=90,
)


class Run:
    """A run as the machine has it: who has slots, and who waits for them."""

    def __init__(self, pool: SlotPool) -> None:
        self.pool = pool
        self.slots = RunSlots(pool, self.hear)
        self.chains: dict[Holder, tuple[Limit, ...]] = {}
        self.has: set[Holder] = set()
        self.waits: dict[Holder, SlotWanted] = {}

    def hear(self, signal: Signal) -> None:
        assert isinstance(signal, SlotGranted | SlotMoved)
        holder = signal.node if signal.step is None else StepKey(signal.node, signal.step)
        assert holder in self.chains
        assert holder not in self.has
        if isinstance(signal, SlotGranted):
            self.has.add(holder)
            del self.waits[holder]
        else:
            self.waits[holder] = SlotWanted(signal.limit, signal.name)

    def take(self, holder: Holder, tool: str, limits: tuple[str, ...]) -> None:
        if holder in self.chains:
            return
        chain = self.pool.chain(tool, limits)
        if isinstance(holder, StepKey):
            around = list(holder.enclosing())
            if not self.has.issuperset(around):
                return
            kept = {limit for outer in around for limit in self.chains[outer]}
            chain = tuple(limit for limit in chain if limit not in kept and limit is not self.pool.executor)
        self.chains[holder] = chain
        wanted = self.slots.acquire(holder, tool, limits)
        if wanted is None:
            self.has.add(holder)
        else:
            self.waits[holder] = wanted

    def give_back(self, holder: Holder) -> None:
        gone = [other for other in self.chains if other == holder]
        if isinstance(holder, NodeKey):
            gone += [other for other in self.chains if isinstance(other, StepKey) and other.node == holder]
        elif any(isinstance(other, StepKey) and holder in other.enclosing() for other in self.chains):
            return  # The machine lets go of inner steps first.
        for other in gone:
            del self.chains[other]
            self.has.discard(other)
            self.waits.pop(other, None)
        self.slots.release(holder)

    def in_use(self) -> Iterator[Limit]:
        """Tell what the run has: all that a holder wants, or all before what it waits for."""
        for holder, chain in self.chains.items():
            told = [limit.wanted for limit in chain]
            wanted = self.waits.get(holder)
            yield from chain[: None if wanted is None else told.index(wanted)]

    def close(self) -> None:
        self.chains.clear()
        self.has.clear()
        self.waits.clear()
        self.slots.close()
        self.slots = RunSlots(self.pool, self.hear)


@given(actions)
def test_no_limit_is_exceeded_and_nobody_waits_for_what_is_free(
    what: list[tuple[int, Holder, str, str, tuple[str, ...]]],
) -> None:
    named = {"a": NamedLimit(maximum_concurrency=2), "b": NamedLimit(maximum_concurrency=1)}
    pool = SlotPool(attempts=4, processes=2, named=named, definitions=lambda: TOOLS)
    limits = {limit for tool in TOOLS for limit in pool.chain(tool, ("a", "b")) if isinstance(limit, Concurrency)}
    runs = [Run(pool) for _ in range(3)]
    for who, holder, action, tool, names in what:
        if action == "take":
            runs[who].take(holder, tool, names)
        elif action == "close":
            runs[who].close()
        else:
            runs[who].give_back(holder)

        for limit in limits:
            assert 0 <= limit.in_use <= limit.capacity
            assert not limit.line or limit.in_use == limit.capacity
        assert pool.queued() == sum(len(run.waits) for run in runs)
        used = Counter(limit for run in runs for limit in run.in_use())
        assert [limit.in_use for limit in limits] == [used[limit] for limit in limits]

    for run in runs:
        run.close()
    assert [limit.in_use for limit in limits] == [0] * len(limits)
    assert pool.queued() == 0
