"""Tools that misbehave in every way known to us, and the runs that go on all the same."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.run import AttemptStatus, NodeStatus, RunStatus
from gql_app.core.signals import CancelRequested
from gql_app.core.spec import TimeoutPolicy
from gql_app.core.values import Json
from gql_app.engine.clock import SystemClock
from gql_app.ports import ToolContext
from gql_app.settings import Settings
from gql_app.testing.virtual_time import run_on_virtual_time
from tests.support import process_tools
from tests.support.builders import ONCE, node
from tests.support.engine import Engine, engine, node_of, plain


async def perform_one(work: Json, **options: Json) -> tuple[str | None, AttemptStatus]:
    """Run a tool once, on virtual time; tell its error's type and how the attempt ended."""
    timeout = options.pop("timeout", None)
    async with engine(plain("t", work, **options)) as e:
        run = await e.perform(node("a", tool="t", retry=ONCE, timeout=timeout))
        only = node_of(run, "a")
        return (only.error.type if only.error else None), only.attempts[0].status


async def cancels_itself(value: Json, context: ToolContext) -> Json:
    raise asyncio.CancelledError


async def cancels_its_task(value: Json, context: ToolContext) -> Json:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


async def raises_timeout(value: Json, context: ToolContext) -> Json:
    raise TimeoutError("mine")


async def exits(value: Json, context: ToolContext) -> Json:
    sys.exit(3)


async def interrupts(value: Json, context: ToolContext) -> Json:
    raise KeyboardInterrupt


async def stops_iterating(value: Json, context: ToolContext) -> Json:
    raise StopIteration


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


async def unspeakable(value: Json, context: ToolContext) -> Json:
    raise Unspeakable


@pytest.mark.parametrize(
    ("work", "error"),
    [
        (cancels_itself, "CancelledError"),
        (cancels_its_task, "CancelledError"),
        (raises_timeout, "TimeoutError"),
        (exits, "SystemExit"),
        (interrupts, "KeyboardInterrupt"),
        (stops_iterating, "RuntimeError"),
        (unspeakable, "Unspeakable"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_whatever_a_tool_raises_is_an_ordinary_failure(work: Json, error: str) -> None:
    assert run_on_virtual_time(perform_one(work)) == (error, AttemptStatus.FAILED)


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (object(), "not JSON"),
        ({1: "a"}, "not JSON"),
        (float("nan"), "not finite"),
        ([{"deep": float("inf")}], "not finite"),
        ("\ud800", "not JSON"),
        ({"a": {1, 2}}, "not JSON"),
        ("x" * (256 << 10), "the limit is 262144"),
        (2**70, "not JSON"),
    ],
    ids=["object", "key", "nan", "infinity", "surrogate", "set", "big", "integer"],
)
def test_an_output_that_is_not_json_or_too_big_fails_the_node_saying_so(output: Json, problem: str) -> None:
    async def story() -> None:
        async def work(value: Json, context: ToolContext) -> Json:
            return output

        async with engine(plain("t", work)) as e:
            failed = node_of(await e.perform(node("a", tool="t")), "a")

            assert failed.error is not None
            assert failed.error.type == "InvalidOutput"
            assert problem in failed.error.message
            assert len(failed.attempts) == 1

    run_on_virtual_time(story())


def test_outputs_that_are_json_with_null_in_them_are_fine() -> None:
    async def story() -> None:
        async def work(value: Json, context: ToolContext) -> Json:
            return {"nothing": None, "text": "null", "list": [None, 1.5]}

        async with engine(plain("t", work)) as e:
            assert (await e.perform(node("a", tool="t"))).status is RunStatus.COMPLETED

    run_on_virtual_time(story())


def test_the_outputs_of_a_run_together_have_a_limit() -> None:
    async def story() -> None:
        async def work(value: Json, context: ToolContext) -> Json:
            return "x" * 3_000

        async with engine(plain("t", work), maximum_run_bytes=4_096) as e:
            run = await e.perform(node("a", tool="t"), node("b", tool="t", after=["a"]))

            assert node_of(run, "a").status is NodeStatus.COMPLETED
            assert run.error is not None
            assert run.error.type == "InvalidOutput"

    run_on_virtual_time(story())


def test_a_tool_that_hangs_is_timed_out_on_time() -> None:
    async def hangs(value: Json, context: ToolContext) -> Json:
        await asyncio.Event().wait()

    ending = run_on_virtual_time(perform_one(hangs, timeout=TimeoutPolicy(attempt_seconds=5)))

    assert ending == ("AttemptTimeout", AttemptStatus.TIMED_OUT)


def test_a_tool_that_swallows_cancellation_is_timed_out_on_time_and_counted_until_it_ends() -> None:
    async def story() -> None:
        async def stubborn(value: Json, context: ToolContext) -> Json:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await asyncio.sleep(1_000)
            return "too late"

        async with engine(plain("t", stubborn)) as e:
            run = await e.perform(node("a", tool="t", retry=ONCE, timeout=TimeoutPolicy(attempt_seconds=5)))
            counted = e.executor.load()
            await asyncio.sleep(2_000)

            (attempt,) = node_of(run, "a").attempts
            assert attempt.finished_at is not None
            assert (attempt.finished_at - attempt.started_at).total_seconds() == pytest.approx(5)
            assert (counted.leftovers, counted.attempts) == (1, 0)
            assert e.executor.load().leftovers == 0
            assert await e.run(run.run_id) == run

    run_on_virtual_time(story())


def test_a_sign_of_life_keeps_an_attempt_alive_and_silence_ends_it() -> None:
    async def story() -> None:
        async def beats(value: Json, context: ToolContext) -> Json:
            for _ in range(5):
                await asyncio.sleep(3)
                context.heartbeat()
            await asyncio.sleep(100)

        async with engine(plain("t", beats)) as e:
            run = await e.perform(node("a", tool="t", retry=ONCE, timeout=TimeoutPolicy(heartbeat_seconds=4)))

            (attempt,) = node_of(run, "a").attempts
            assert attempt.error is not None
            assert attempt.error.type == "HeartbeatTimeout"
            assert attempt.finished_at is not None
            assert (attempt.finished_at - attempt.started_at).total_seconds() == pytest.approx(19)

    run_on_virtual_time(story())


def test_a_tool_that_completes_while_it_is_asked_to_stop_has_completed() -> None:
    async def story() -> None:
        async def tidy(value: Json, context: ToolContext) -> Json:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await asyncio.sleep(1)
            return "saved"

        async with engine(plain("t", tidy)) as e:
            run_id = await e.submit(node("a", tool="t"))
            await asyncio.sleep(1)
            await e.executor.signal(DEFAULT_NAMESPACE, run_id, CancelRequested())
            run = await e.finished(run_id)

            assert (run.status, node_of(run, "a").status) == (RunStatus.CANCELLED, NodeStatus.COMPLETED)

    run_on_virtual_time(story())


def test_a_tool_that_does_not_stop_within_the_grace_is_cancelled_and_counted() -> None:
    async def story() -> None:
        async def stubborn(value: Json, context: ToolContext) -> Json:
            while True:
                try:
                    await asyncio.sleep(60)
                    return "at last"
                except asyncio.CancelledError:
                    continue

        async with engine(plain("t", stubborn)) as e:
            run_id = await e.submit(node("a", tool="t"))
            await asyncio.sleep(1)
            await e.executor.signal(DEFAULT_NAMESPACE, run_id, CancelRequested())
            run = await e.finished(run_id)

            assert run.finished_at is not None
            assert (run.finished_at - run.created_at).total_seconds() == pytest.approx(11)
            assert node_of(run, "a").status is NodeStatus.CANCELLED
            assert e.executor.load().leftovers == 1
            await asyncio.sleep(100)
            assert e.executor.load().leftovers == 0

    run_on_virtual_time(story())


def test_an_attempt_cancelled_before_its_task_began_ends_too() -> None:
    async def story() -> None:
        async def never(value: Json, context: ToolContext) -> Json:
            raise AssertionError("it was to be stopped before it began")

        async with engine(plain("t", never)) as e:
            run_id = await e.submit(node("a", tool="t"))
            await e.executor.signal(DEFAULT_NAMESPACE, run_id, CancelRequested())
            run = await e.finished(run_id)

            assert node_of(run, "a").attempts[0].status is AttemptStatus.CANCELLED

    run_on_virtual_time(story())


def test_a_sync_tool_runs_in_a_thread_of_ours() -> None:
    async def story() -> None:
        def work(value: Json, context: ToolContext) -> Json:
            return threading.current_thread() is threading.main_thread()

        async with engine(plain("t", work, isolation="thread")) as e:
            run = await e.perform(node("a", tool="t"))

            assert bytes(node_of(run, "a").output.json) == b"false"

    run_on_virtual_time(story())


def test_a_sync_tool_that_exits_fails_its_node_only() -> None:
    def work(value: Json, context: ToolContext) -> Json:
        sys.exit(1)

    assert run_on_virtual_time(perform_one(work, isolation="thread")) == ("SystemExit", AttemptStatus.FAILED)


def real(*tools: Json, **settings: Json) -> Engine:
    """An engine on real time."""
    return Engine(*tools, clock=SystemClock(), settings=Settings(**settings))


def test_a_thread_that_outlives_its_timeout_is_abandoned_counted_and_told() -> None:
    let_go = threading.Event()
    seen: list[bool] = []

    def blocks(value: Json, context: ToolContext) -> Json:
        let_go.wait()
        seen.append(context.cancelled())

    async def story() -> None:
        e = real(plain("t", blocks, isolation="thread"))
        run = await e.perform(node("a", tool="t", retry=ONCE, timeout=TimeoutPolicy(attempt_seconds=0.05)))
        counted = e.executor.load()
        let_go.set()
        await e.no_leftovers()

        assert node_of(run, "a").attempts[0].status is AttemptStatus.TIMED_OUT
        assert (counted.leftovers, counted.attempts) == (1, 0)
        assert seen == [True]
        await e.executor.close()

    asyncio.run(story())


def test_too_many_leftovers_refuse_new_threads_with_a_retryable_error() -> None:
    let_go = threading.Event()

    def blocks(value: Json, context: ToolContext) -> Json:
        let_go.wait()

    async def story() -> None:
        e = real(plain("t", blocks, isolation="thread"), maximum_leftovers=2)
        quick = TimeoutPolicy(attempt_seconds=0.05)
        await e.perform(*(node(n, tool="t", retry=ONCE, timeout=quick, continue_on_failure=True) for n in "ab"))
        run = await e.perform(node("c", tool="t", retry=ONCE))
        let_go.set()

        assert run.error is not None
        assert run.error.type == "TooManyLeftovers"
        await e.executor.close()

    asyncio.run(story())


def test_a_tool_that_exhausts_the_loops_own_thread_pool_stops_nobody() -> None:
    let_go = threading.Event()

    async def greedy(value: Json, context: ToolContext) -> Json:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, let_go.wait) for _ in range(100)))

    def sync(value: Json, context: ToolContext) -> Json:
        return "done"

    async def story() -> None:
        e = real(plain("greedy", greedy), plain("sync", sync, isolation="thread"))
        hog = await e.submit(node("a", tool="greedy"))
        run = await e.perform(node("b", tool="sync"))
        let_go.set()
        await e.finished(hog)

        assert run.status is RunStatus.COMPLETED
        await e.executor.close()

    asyncio.run(story())


def test_a_tool_in_a_process_of_its_own_is_killed_at_its_timeout() -> None:
    async def story() -> None:
        e = real(process_tools.HANG, process_tools.ADD)
        timeout = TimeoutPolicy(attempt_seconds=3)
        run = await e.perform(node("a", tool="hang", retry=ONCE, timeout=timeout, continue_on_failure=True))
        added = await e.perform(node("b", tool="add", input=[1, 2]))

        assert node_of(run, "a").attempts[0].status is AttemptStatus.TIMED_OUT
        assert bytes(node_of(added, "b").output.json) == b"3"
        await e.no_leftovers()
        await e.executor.close()

    asyncio.run(story())


def test_a_tool_that_blocks_the_loop_is_timed_out_by_the_rules() -> None:
    async def blocks(value: Json, context: ToolContext) -> Json:
        time.sleep(0.2)  # noqa: ASYNC251 - it blocks the loop: that is the point
        return "too late"

    async def story() -> None:
        e = real(plain("t", blocks))
        run = await e.perform(node("a", tool="t", retry=ONCE, timeout=TimeoutPolicy(attempt_seconds=0.05)))

        assert node_of(run, "a").attempts[0].status is AttemptStatus.TIMED_OUT
        await e.executor.close()

    asyncio.run(story())


def test_a_process_with_a_blocked_thread_still_exits() -> None:
    script = """
import asyncio, threading
from tests.integration.test_engine_traps import real, plain, node, ONCE, TimeoutPolicy
def blocks(value, context):
    threading.Event().wait()
async def main():
    e = real(plain("t", blocks, isolation="thread"))
    await e.perform(node("a", tool="t", retry=ONCE, timeout=TimeoutPolicy(attempt_seconds=0.05)))
    await e.executor.close()
asyncio.run(main())
print("over")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (0, "over\n"), done.stderr
