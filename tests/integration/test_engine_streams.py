"""What attempts show while they go on, through the real engine."""

import asyncio
import threading

import msgspec
import pytest

from gql_app.core.errors import ToolError
from gql_app.core.events import AttemptFailed, LogLevel, NodeLog, NodeOutputChunk, NodeProgress, RunEvent
from gql_app.core.run import NodeStatus, RunStatus
from gql_app.core.scope import decode
from gql_app.core.spec import RetryPolicy, TimeoutPolicy
from gql_app.core.values import Json
from gql_app.ports import ToolContext
from gql_app.testing.virtual_time import run_on_virtual_time
from tests.support.builders import ONCE, node
from tests.support.engine import engine, node_of, plain

TWICE = RetryPolicy(maximum_attempts=2, initial_interval_seconds=1.0)


def chunks(log: list[RunEvent], attempt: int = 1) -> list[NodeOutputChunk]:
    return [event for event in log if isinstance(event, NodeOutputChunk) and event.attempt == attempt]


def test_a_thousand_chunks_a_second_become_few_events_and_lose_nothing() -> None:
    async def counting(value: Json, context: ToolContext) -> Json:
        for number in range(1_000):
            context.emit(f"{number} ")
            await asyncio.sleep(0.001)
        return None

    async def story() -> None:
        async with engine(plain("counting", counting)) as e:
            run_id = await e.submit(node("a", tool="counting"))
            await e.finished(run_id)
            told = chunks(list(await e.log(run_id)))

        assert "".join(chunk.text for chunk in told) == "".join(f"{number} " for number in range(1_000))
        assert len(told) <= 25

    run_on_virtual_time(story())


def test_what_an_attempt_shows_stands_before_its_end_and_carries_its_number() -> None:
    async def stammering(value: Json, context: ToolContext) -> Json:
        context.emit(f"try {context.attempt}")
        if context.attempt == 1:
            raise ToolError("no")
        return "done"

    async def story() -> None:
        async with engine(plain("stammering", stammering)) as e:
            run_id = await e.submit(node("a", tool="stammering", retry=TWICE))
            run = await e.finished(run_id)
            log = list(await e.log(run_id))

        assert run.status is RunStatus.COMPLETED
        first, second = chunks(log, 1), chunks(log, 2)
        assert ([each.text for each in first], [each.text for each in second]) == (["try 1"], ["try 2"])
        [failed] = [event for event in log if isinstance(event, AttemptFailed)]
        assert first[0].sequence < failed.sequence < second[0].sequence

    run_on_virtual_time(story())


def test_a_stream_without_end_is_cut_off_and_says_so() -> None:
    async def flooding(value: Json, context: ToolContext) -> Json:
        for _ in range(10_000):
            context.emit("x" * 1_024)
        await asyncio.sleep(1)
        context.emit("late")
        return "done"

    async def story() -> None:
        async with engine(plain("flooding", flooding), maximum_stream_bytes=50_000) as e:
            run_id = await e.submit(node("a", tool="flooding"))
            run = await e.finished(run_id)
            told = chunks(list(await e.log(run_id)))

        assert sum(len(chunk.text) for chunk in told) == 50_000
        assert [chunk.truncated for chunk in told] == [False] * (len(told) - 1) + [True]
        assert node_of(run, "a").streamed_bytes == 50_000

    run_on_virtual_time(story())


def test_threads_stream_and_log_and_it_keeps_them_alive() -> None:
    done = threading.Event()

    def working(value: Json, context: ToolContext) -> Json:
        for number in range(100):
            context.emit(f"{number},")
        context.log("warning", "almost", left=1)
        context.progress(0.5, "half")
        done.set()
        return "done"

    async def story() -> None:
        async with engine(plain("working", working, isolation="thread")) as e:
            run_id = await e.submit(node("a", tool="working"))
            await e.finished(run_id)
            log = list(await e.log(run_id))

        assert "".join(chunk.text for chunk in chunks(log)) == "".join(f"{number}," for number in range(100))
        [line] = [event for event in log if isinstance(event, NodeLog)]
        assert (line.level, line.message, msgspec.json.decode(line.fields)) == (LogLevel.WARNING, "almost", {"left": 1})
        [progress] = [event for event in log if isinstance(event, NodeProgress)]
        assert (progress.fraction, progress.message) == (0.5, "half")

    run_on_virtual_time(story())


def test_progress_is_told_now_and_then_and_counts_until_the_attempt_ends() -> None:
    async def striding(value: Json, context: ToolContext) -> Json:
        for number in range(10_001):
            context.progress(number / 10_000)
            await asyncio.sleep(1)
        return None

    async def story() -> None:
        async with engine(plain("striding", striding)) as e:
            timeout = TimeoutPolicy(attempt_seconds=None)
            run_id = await e.submit(node("a", tool="striding", timeout=timeout), timeout_seconds=20_000.0)
            run = await e.until(run_id, lambda run: run.progressed > 500_000)
            assert node_of(run, "a").progress is not None
            run = await e.finished(run_id)
            told = [event for event in await e.log(run_id) if isinstance(event, NodeProgress)]

        assert (run.progressed, node_of(run, "a").progress) == (0, None)
        assert [event.fraction for event in told] == sorted(event.fraction or 0.0 for event in told)
        assert len(told) < 2_000

    run_on_virtual_time(story())


def test_a_sign_of_life_is_in_everything_that_is_shown() -> None:
    async def talking(value: Json, context: ToolContext) -> Json:
        for _ in range(10):
            await asyncio.sleep(3)
            context.emit(".")
        return "done"

    async def story() -> None:
        async with engine(plain("talking", talking)) as e:
            timeout = TimeoutPolicy(attempt_seconds=None, heartbeat_seconds=5.0)
            run = await e.perform(node("a", tool="talking", timeout=timeout, retry=ONCE))

        assert run.status is RunStatus.COMPLETED

    run_on_virtual_time(story())


def test_a_log_without_end_is_cut_off_and_says_so() -> None:
    async def chatting(value: Json, context: ToolContext) -> Json:
        for number in range(1_000):
            context.log("info", f"line {number}")
        return "done"

    async def story() -> None:
        async with engine(plain("chatting", chatting), maximum_log_lines=10) as e:
            run_id = await e.submit(node("a", tool="chatting"))
            await e.finished(run_id)
            lines = [event for event in await e.log(run_id) if isinstance(event, NodeLog)]

        assert [line.message for line in lines] == [f"line {number}" for number in range(10)]
        assert [line.truncated for line in lines] == [False] * 9 + [True]

    run_on_virtual_time(story())


def test_nothing_is_shown_of_an_attempt_that_has_timed_out() -> None:
    async def deaf(value: Json, context: ToolContext) -> Json:
        context.emit("before")
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            context.emit("after")
            await asyncio.sleep(1)
            context.emit("long after")
        return "done"

    async def story() -> None:
        async with engine(plain("deaf", deaf)) as e:
            timeout = TimeoutPolicy(attempt_seconds=10.0)
            run_id = await e.submit(node("a", tool="deaf", timeout=timeout, retry=ONCE))
            run = await e.finished(run_id)
            await e.no_leftovers()
            log = list(await e.log(run_id))

        assert node_of(run, "a").status is NodeStatus.FAILED
        assert [chunk.text for chunk in chunks(log)] == ["before"]

    run_on_virtual_time(story())


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_fraction_that_is_none_is_refused_where_it_is_told(fraction: float) -> None:
    async def wrong(value: Json, context: ToolContext) -> Json:
        context.progress(fraction)
        return "done"

    async def story() -> None:
        async with engine(plain("wrong", wrong)) as e:
            run = await e.perform(node("a", tool="wrong", retry=ONCE))

        error = node_of(run, "a").error
        assert error is not None
        assert (error.type, repr(fraction) in error.message) == ("ValueError", True)

    run_on_virtual_time(story())


def test_a_stream_counts_for_the_room_that_a_run_has() -> None:
    async def flooding(value: Json, context: ToolContext) -> Json:
        for _ in range(100):
            context.emit("x" * 1_024)
            await asyncio.sleep(0.1)
        return "y" * 2_000

    async def story() -> None:
        async with engine(plain("flooding", flooding), maximum_run_bytes=20_000) as e:
            run_id = await e.submit(node("a", tool="flooding", retry=ONCE))
            run = await e.finished(run_id)
            told = chunks(list(await e.log(run_id)))

        assert sum(len(chunk.text) for chunk in told) <= 20_000
        assert told[-1].truncated
        error = node_of(run, "a").error
        assert error is not None
        assert error.type == "InvalidOutput"
        assert decode(run.input, {}) is None

    run_on_virtual_time(story())
