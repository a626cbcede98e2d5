"""Slots: who gets which, in which order, and that nothing is kept."""

import asyncio

from gql_app.core.events import SlotLimit
from gql_app.core.ids import NodeKey, StepKey
from gql_app.core.named_limits import NamedLimit
from gql_app.core.plan import ToolDefinition
from gql_app.core.signals import Signal, SlotGranted, SlotWanted
from gql_app.core.spec import RateLimit
from gql_app.engine.slots import RunSlots, SlotPool
from gql_app.testing.virtual_time import run_on_virtual_time

A, B = NodeKey("a"), NodeKey("b")


class Run:
    """The slots of a run, and what it is told."""

    def __init__(self, pool: SlotPool) -> None:
        self.told: list[Signal] = []
        self.slots = RunSlots(pool, self.told.append)


def pool_of(*tools: ToolDefinition, attempts: int = 8, **named: NamedLimit) -> SlotPool:
    definitions = {tool.name: tool for tool in tools}
    return SlotPool(attempts=attempts, processes=4, named=named, definitions=lambda: definitions)


NARROW = ToolDefinition(name="narrow", max_concurrency=1)


def test_a_step_knows_what_it_is_part_of() -> None:
    assert list(StepKey(A, "call").enclosing()) == [A]
    assert list(StepKey(A, "outer/inner/call").enclosing()) == [StepKey(A, "outer/inner"), StepKey(A, "outer"), A]


def test_a_step_takes_no_slot_of_the_executor() -> None:
    run = Run(pool_of(attempts=1))

    assert run.slots.acquire(A, "plain") is None
    assert run.slots.acquire(StepKey(A, "call"), "plain") is None
    assert run.slots.acquire(B, "plain") == SlotWanted(SlotLimit.EXECUTOR)


def test_a_step_waits_for_its_tool_and_is_told_as_a_step() -> None:
    run, call = Run(pool_of(NARROW)), StepKey(A, "call")

    assert run.slots.acquire(A, "plain") is None
    assert run.slots.acquire(B, "narrow") is None
    assert run.slots.acquire(call, "narrow") == SlotWanted(SlotLimit.TOOL, "narrow")
    run.slots.release(B)

    assert run.told == [SlotGranted(node=A, step="call")]
    assert run.slots.acquire(call, "narrow") is None


def test_a_step_does_not_wait_for_what_it_runs_under() -> None:
    run = Run(pool_of(NARROW))

    assert run.slots.acquire(A, "narrow") is None
    assert run.slots.acquire(StepKey(A, "call"), "narrow") is None
    assert run.slots.acquire(StepKey(A, "call/again"), "narrow") is None
    run.slots.release(StepKey(A, "call"))

    assert run.slots.acquire(B, "narrow") == SlotWanted(SlotLimit.TOOL, "narrow")


def test_a_step_does_not_wait_for_what_the_step_around_it_holds() -> None:
    run = Run(pool_of(NARROW))

    assert run.slots.acquire(A, "plain") is None
    assert run.slots.acquire(StepKey(A, "call"), "narrow") is None
    assert run.slots.acquire(StepKey(A, "call/again"), "narrow") is None
    assert run.slots.acquire(StepKey(A, "other"), "narrow") == SlotWanted(SlotLimit.TOOL, "narrow")


def test_a_node_that_is_released_takes_its_steps_with_it() -> None:
    pool = pool_of(NARROW)
    run, other = Run(pool), Run(pool)
    assert run.slots.acquire(A, "plain") is None
    assert run.slots.acquire(StepKey(A, "one"), "narrow") is None
    assert run.slots.acquire(StepKey(A, "two"), "narrow") is not None
    assert other.slots.acquire(B, "narrow") is not None

    run.slots.release(A)

    assert other.told == [SlotGranted(node=B)]
    assert pool.executor.in_use == 1
    assert pool.queued() == 0


def test_a_run_that_is_closed_keeps_nothing() -> None:
    pool = pool_of(NARROW)
    run = Run(pool)
    assert run.slots.acquire(A, "narrow") is None
    assert run.slots.acquire(B, "narrow") is not None
    assert run.slots.acquire(StepKey(A, "call"), "narrow") is None

    run.slots.close()

    assert pool.executor.in_use == 0
    assert pool.queued() == 0
    assert Run(pool).slots.acquire(A, "narrow") is None


def test_a_step_takes_a_token_of_a_rate_that_its_node_took_one_of_too() -> None:
    async def story() -> None:
        run = Run(pool_of(key=NamedLimit(maximum_concurrency=1, rate_limit=RateLimit(count=1, per_seconds=5.0))))

        assert run.slots.acquire(A, "plain", ("key",)) is None
        assert run.slots.acquire(StepKey(A, "call"), "plain", ("key",)) == SlotWanted(SlotLimit.RATE, "key")
        await asyncio.sleep(5.5)

        assert run.told == [SlotGranted(node=A, step="call")]

    run_on_virtual_time(story())


def test_limits_are_taken_in_one_order_whoever_names_them_and_in_whichever() -> None:
    both = NamedLimit(maximum_concurrency=1, rate_limit=RateLimit(count=1))
    tool = ToolDefinition(
        name="t", max_concurrency=1, rate_limit=RateLimit(count=1), isolation="process", limits=("k",)
    )
    pool = pool_of(tool, a=both, k=both, t=both)

    chain = [(limit.wanted.limit, limit.wanted.name) for limit in pool.chain("t", ("k", "a", "nobody"))]

    assert chain == [
        (SlotLimit.TOOL, "t"),
        (SlotLimit.NAMED, "a"),
        (SlotLimit.NAMED, "k"),
        (SlotLimit.NAMED, "t"),
        (SlotLimit.PROCESSES, None),
        (SlotLimit.RATE, "a"),
        (SlotLimit.RATE, "k"),
        (SlotLimit.RATE, "t"),
        (SlotLimit.RATE, "t"),
        (SlotLimit.EXECUTOR, None),
    ]


def test_the_limits_of_a_tool_that_comes_later_are_learned_then() -> None:
    definitions: dict[str, ToolDefinition] = {}
    pool = SlotPool(attempts=8, processes=4, definitions=lambda: definitions)
    assert pool.chain("narrow") == (pool.executor,)

    definitions["narrow"] = NARROW

    assert [limit.wanted.limit for limit in pool.chain("narrow")] == [SlotLimit.TOOL, SlotLimit.EXECUTOR]
    assert pool.chain("narrow") is pool.chain("narrow")
