"""Limits that steps fall under: theirs alone, fair between runs, and given back on every ending."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial

import pytest

from gql_app.core.events import SlotLimit, StepQueued, StepStarted
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.run import NodeStatus, RunStatus
from gql_app.core.signals import CancelRequested
from gql_app.core.spec import RateLimit, TimeoutPolicy
from gql_app.core.step_run import StepStatus
from gql_app.core.values import Json
from gql_app.engine.buckets import Bucket
from gql_app.engine.limits import Concurrency
from gql_app.ports import ToolContext
from gql_app.testing.virtual_time import NOON, run_on_virtual_time
from tests.support.builders import ONCE, node
from tests.support.engine import Engine, engine, plain

LIMITS: Json = {
    "key": {"maximumConcurrency": 1},
    "rate": {"rateLimit": {"count": 1, "perSeconds": 10}},
}


async def sleep(value: Json, context: ToolContext) -> Json:
    await asyncio.sleep(value["seconds"])


async def ask(value: Json, context: ToolContext) -> Json:
    """Take as many steps side by side as are asked for, each under these limits."""

    async def work(inner: ToolContext) -> Json:
        await asyncio.sleep(value["seconds"])

    step = partial(context.step, retry=ONCE, timeout=TimeoutPolicy(queue_seconds=value["patience"]))
    await asyncio.gather(*(step(f"s{n}", work, limits=tuple(value["limits"])) for n in range(value["steps"])))


async def call(value: Json, context: ToolContext) -> Json:
    await asyncio.gather(*(context.call_tool(f"c{n}", "nap", value) for n in range(value["calls"])))


TOOLS = (plain("ask", ask), plain("call", call), plain("nap", sleep, rate_limit=RateLimit(count=1, per_seconds=10.0)))
PATIENT = TimeoutPolicy(attempt_seconds=1_000.0)


def on_virtual_time(story: Callable[[], Coroutine[Json, Json, None]]) -> None:
    run_on_virtual_time(story())


def asking(
    name: str, steps: int, *limits: str, seconds: float = 1.0, patience: float | None = None, **fields: Json
) -> Json:
    work = {"steps": steps, "limits": limits, "seconds": seconds, "patience": patience}
    return node(name, tool="ask", input=work, **{"timeout": PATIENT, "retry": ONCE, **fields})


async def begins(e: Engine, run_id: Json) -> list[int]:
    """Tell in which seconds the steps of a run began."""
    return [round((each.at - NOON).total_seconds()) for each in await e.log(run_id) if isinstance(each, StepStarted)]


def idle(e: Engine) -> bool:
    limits = e.executor.pool.chain("nap", ("key", "rate"))
    in_use = [limit.in_use for limit in limits if isinstance(limit, Concurrency)]
    armed = [limit.armed for limit in limits if isinstance(limit, Bucket)]
    return (in_use, armed, e.executor.pool.queued()) == ([0, 0], [False, False], 0)


def test_steps_begin_no_more_often_than_the_rate_they_name() -> None:
    async def story() -> None:
        async with engine(*TOOLS, limits=LIMITS) as e:
            run_id = await e.submit(asking("a", 4, "rate"))
            await e.finished(run_id)

            queued = [(each.step, each.limit, each.name) for each in await e.log(run_id) if type(each) is StepQueued]
            assert await begins(e, run_id) == [0, 10, 20, 30]
            assert queued == [(f"s{number}", SlotLimit.RATE, "rate") for number in (1, 2, 3)]

    on_virtual_time(story)


def test_a_tool_that_is_called_as_a_step_has_its_own_rate() -> None:
    async def story() -> None:
        async with engine(*TOOLS) as e:
            calling = node("a", tool="call", input={"calls": 3, "seconds": 0}, timeout=PATIENT)
            run_id = await e.submit(calling)
            await e.finished(run_id)

            assert await begins(e, run_id) == [0, 10, 20]

    on_virtual_time(story)


def test_the_steps_of_runs_take_turns() -> None:
    async def story() -> None:
        async with engine(*TOOLS, limits=LIMITS) as e:
            big = await e.submit(asking("a", 20, "rate"))
            small = await e.submit(asking("a", 2, "rate"))
            await e.finished(small)

            assert await begins(e, small) == [20, 40]
            await e.finished(big)

    on_virtual_time(story)


def test_a_step_does_not_wait_for_a_slot_that_its_node_holds() -> None:
    async def story() -> None:
        async with engine(*TOOLS, limits=LIMITS, maximum_attempts_in_flight=1) as e:
            run = await e.perform(asking("a", 3, "key", limits=("key",)))

            assert run.status is RunStatus.COMPLETED
            assert run.finished_at is not None
            assert (run.finished_at - NOON).total_seconds() == pytest.approx(1.0)

    on_virtual_time(story)


@pytest.mark.parametrize("limit", ["key", "rate"])
@pytest.mark.parametrize("ending", ["attempt times out", "run is cancelled", "step waits too long"])
def test_steps_give_everything_back_however_they_end(limit: str, ending: str) -> None:
    async def story() -> None:
        async with engine(*TOOLS, limits=LIMITS) as e:
            hasty = TimeoutPolicy(attempt_seconds=5.0) if ending == "attempt times out" else PATIENT
            patience = 3.0 if ending == "step waits too long" else None
            run_id = await e.submit(asking("a", 3, limit, seconds=500.0, patience=patience, timeout=hasty))
            run = await e.until(run_id, lambda run: bool(run.nodes[0].steps))
            assert [step.status for step in run.nodes[0].steps].count(StepStatus.QUEUED) == 2
            if ending == "run is cancelled":
                await e.executor.signal(DEFAULT_NAMESPACE, run_id, CancelRequested())
            run = await e.finished(run_id)

            assert run.nodes[0].status in (NodeStatus.FAILED, NodeStatus.CANCELLED)
            assert idle(e)

    on_virtual_time(story)
