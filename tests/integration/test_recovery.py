"""Runs that are taken over from their logs: nothing begins anew, and nothing is done twice that may be done once."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from gql_app.core.events import AttemptLost, AttemptStarted, RetryState, WorkflowTimedOut
from gql_app.core.ids import DEFAULT_NAMESPACE, RunId
from gql_app.core.run import NodeStatus, RunStatus
from gql_app.core.spec import Jitter, RetryPolicy, TimeoutPolicy
from gql_app.core.values import Json
from gql_app.engine.elected import ElectedExecutor
from gql_app.ports import ToolContext
from gql_app.settings import Settings
from gql_app.testing.virtual_time import NOON, VirtualClock, run_on_virtual_time
from tests.support.builders import ONCE, kinds, node
from tests.support.engine import Engine, PlainTool, node_of, plain
from tests.support.troubled_repository import TroubledRepository

IN_TEN_SECONDS = RetryPolicy(maximum_attempts=3, initial_interval_seconds=10.0, jitter=Jitter.NONE)


def in_turn(*tools: PlainTool, **settings: Json) -> Callable[[], Engine]:
    """Let processes follow each other on one store: each call makes the next one."""
    repository = TroubledRepository()
    return lambda: Engine(*tools, clock=VirtualClock(), settings=Settings(**settings), repository=repository)


async def take_over(made: Engine, run_id: RunId) -> None:
    await made.executor.start(DEFAULT_NAMESPACE, run_id)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


async def fail_once(value: Json, context: ToolContext) -> Json:
    if context.attempt == 1:
        raise ValueError("Not yet.")
    return context.attempt


async def hang(value: Json, context: ToolContext) -> Json:
    await asyncio.sleep(3_600)


@pytest.mark.parametrize(("down_until", "tried_at"), [(4.0, 10.0), (30.0, 30.0)])
def test_a_back_off_goes_on_to_its_recorded_end_and_is_over_if_that_has_passed(
    down_until: float, tried_at: float
) -> None:
    async def scene() -> None:
        process = in_turn(plain("fails once", fail_once))
        first = process()
        run_id = await first.submit(node("a", tool="fails once", retry=IN_TEN_SECONDS))
        await asyncio.sleep(3.0)
        await first.executor.abandon()
        await asyncio.sleep(down_until - 3.0)
        second = process()

        await take_over(second, run_id)
        run = await second.finished(run_id)

        assert run.status is RunStatus.COMPLETED
        assert [attempt.started_at - NOON for attempt in node_of(run, "a").attempts] == [seconds(0), seconds(tried_at)]

    run_on_virtual_time(scene())


@pytest.mark.parametrize(("down_until", "over_at"), [(10.0, 20.0), (50.0, 50.0)])
def test_the_timeout_of_a_run_counts_from_its_start_and_is_honoured_at_once_if_it_has_passed(
    down_until: float, over_at: float
) -> None:
    async def scene() -> None:
        process = in_turn(plain("hangs", hang))
        first = process()
        run_id = await first.submit(node("a", tool="hangs", retry=IN_TEN_SECONDS), timeout_seconds=20.0)
        await asyncio.sleep(5.0)
        await first.executor.abandon()
        await asyncio.sleep(down_until - 5.0)
        second = process()

        await take_over(second, run_id)
        run = await second.finished(run_id)

        assert run.finished_at == NOON + seconds(over_at)
        assert kinds(await second.log(run_id))[-1] is WorkflowTimedOut
        assert len(node_of(run, "a").attempts) == 1

    run_on_virtual_time(scene())


def test_the_total_timeout_of_a_node_counts_from_its_first_attempt_in_whatever_process() -> None:
    async def scene() -> None:
        process = in_turn(plain("hangs", hang))
        first = process()
        twice = RetryPolicy(maximum_attempts=5, initial_interval_seconds=0.1)
        run_id = await first.submit(node("a", tool="hangs", retry=twice, timeout=TimeoutPolicy(total_seconds=15.0)))
        await asyncio.sleep(5.0)
        await first.executor.abandon()
        second = process()

        await take_over(second, run_id)
        run = await second.finished(run_id)

        assert node_of(run, "a").finished_at == NOON + seconds(15.0)
        assert node_of(run, "a").retry_state is RetryState.TIMEOUT
        assert len(node_of(run, "a").attempts) == 2

    run_on_virtual_time(scene())


def test_a_node_that_may_be_tried_once_is_called_at_most_once() -> None:
    async def scene() -> None:
        called = []

        async def work(value: Json, context: ToolContext) -> Json:
            called.append(context.attempt)
            await asyncio.sleep(10.0)

        process = in_turn(plain("works", work))
        first = process()
        run_id = await first.submit(node("a", tool="works", retry=ONCE))
        await asyncio.sleep(5.0)
        await first.executor.abandon()
        second = process()

        await take_over(second, run_id)
        run = await second.finished(run_id)

        assert called == [1]
        error = node_of(run, "a").error
        assert error is not None
        assert error.type == "WorkerLost"
        assert run.status is RunStatus.FAILED

    run_on_virtual_time(scene())


def test_every_attempt_in_every_process_has_the_same_idempotency_key() -> None:
    async def scene() -> None:
        keys = []

        async def work(value: Json, context: ToolContext) -> Json:
            keys.append(context.idempotency_key)
            await asyncio.sleep(10.0)

        process = in_turn(plain("works", work))
        first = process()
        run_id = await first.submit(node("a", tool="works"), node("b", tool="works"))
        await asyncio.sleep(5.0)
        await first.executor.abandon()
        second = process()

        await take_over(second, run_id)
        await second.finished(run_id)

        assert len(keys) == 4
        assert set(keys) == {f"{run_id}/a", f"{run_id}/b"}

    run_on_virtual_time(scene())


def test_taking_a_run_over_again_and_again_does_no_harm() -> None:
    async def scene() -> None:
        process = in_turn(plain("fails once", fail_once))
        first = process()
        run_id = await first.submit(node("a", tool="fails once", retry=IN_TEN_SECONDS))
        await asyncio.sleep(1.0)
        await first.executor.abandon()
        second = process()

        await asyncio.gather(*(take_over(second, run_id) for _ in range(3)))
        await second.executor.abandon()
        third = process()
        await take_over(third, run_id)
        run = await third.finished(run_id)
        await take_over(third, run_id)

        assert [attempt.started_at - NOON for attempt in node_of(run, "a").attempts] == [seconds(0), seconds(10)]
        assert third.executor.load().runs == 0

    run_on_virtual_time(scene())


def test_an_executor_can_be_abandoned_again_and_again_and_counts_what_goes_on_until_it_ends() -> None:
    async def scene() -> None:
        async def refuse_to_stop(value: Json, context: ToolContext) -> Json:
            for _ in range(3):
                await heedless(asyncio.sleep(5.0))

        process = in_turn(plain("refuses", refuse_to_stop))
        made = process()
        run_id = await made.submit(node("a", tool="refuses"))
        await asyncio.sleep(1.0)
        before = kinds(await made.log(run_id))

        for _ in range(3):
            await made.executor.abandon()
        left = made.executor.load()
        await asyncio.sleep(20.0)

        assert (left.runs, left.attempts, left.leftovers) == (0, 0, 1)
        assert made.executor.load().leftovers == 0
        assert kinds(await made.log(run_id)) == before
        second = process()
        await take_over(second, run_id)
        await second.until(run_id, lambda run: run.sequence > len(before))
        assert kinds(await second.log(run_id))[len(before)] is AttemptLost
        await second.executor.abandon()
        await second.executor.abandon()

    run_on_virtual_time(scene())


async def heedless(work: Awaitable[None]) -> None:
    """Wait, whoever says not to."""
    waiting = asyncio.ensure_future(work)
    while not waiting.done():
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError:
            continue


def test_a_thousand_runs_are_taken_over_by_and_by_and_wait_in_line_for_their_places() -> None:
    async def scene() -> None:
        process = in_turn(plain("hangs", hang), maximum_active_runs=100, maximum_active_runs_per_namespace=100)
        first = process()
        runs = [await first.submit(node("a", tool="hangs", retry=IN_TEN_SECONDS)) for _ in range(1_000)]
        await asyncio.sleep(1.0)
        await first.executor.abandon()
        begun = await first.run(runs[0])
        executor = ElectedExecutor(first.repository, lambda: process().executor)
        turns = 0

        await executor.open(stands_by=False)
        while executor.load().runs + executor.load().queued_runs < len(runs):
            await asyncio.sleep(0)
            turns += 1

        load = executor.load()
        assert node_of(begun, "a").status is NodeStatus.RUNNING
        assert (load.runs, load.queued_runs) == (100, 900)
        assert turns >= 500
        await asyncio.sleep(0.1)
        assert kinds(await first.log(runs[0])).count(AttemptStarted) == 1
        await executor.close()

    run_on_virtual_time(scene())
