"""What the metrics say of runs on the real engine."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from gql_app.core.event_parts import StepKind
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.signals import CancelRequested
from gql_app.core.spec import RetryPolicy, TimeoutPolicy
from gql_app.core.values import Json
from gql_app.ports import Tool, ToolContext
from gql_app.settings import Settings
from gql_app.telemetry.metrics import Metrics
from gql_app.telemetry.runs import OTHER
from gql_app.testing.virtual_time import run_on_virtual_time
from tests.support.builders import ONCE, node
from tests.support.engine import Engine, engine, plain
from tests.support.metrics import Samples

STEADY = RetryPolicy(maximum_attempts=3, initial_interval_seconds=10.0)


async def echo(value: Json, context: ToolContext) -> Json:
    return value


async def fail_twice(value: Json, context: ToolContext) -> Json:
    if context.attempt <= 2:
        raise ValueError("not yet")


async def stall(value: Json, context: ToolContext) -> Json:
    await asyncio.sleep(1_000)


def samples_after(story: Callable[[Engine], Coroutine[None, None, None]], *more: Tool, **settings: Json) -> Samples:
    """Let something happen on an engine, and read the metrics then."""
    metrics = Metrics(Settings(**settings))

    async def watched() -> Samples:
        tools = [plain("echo", echo), plain("flaky", fail_twice), plain("stall", stall), *more]
        async with engine(*tools, monitor=metrics.runs, **settings) as e:
            metrics.observe(load=e.executor.load, is_tool={"echo", "flaky", "stall"}.__contains__)
            await story(e)
            return Samples(metrics.expose()[0].decode())

    return run_on_virtual_time(watched())


def test_attempts_are_counted_by_tool_and_outcome_and_so_are_retries() -> None:
    async def story(e: Engine) -> None:
        await e.perform(node("a"), node("b", tool="flaky", retry=STEADY))

    samples = samples_after(story)

    assert samples.value("attempts_total", tool="echo", outcome="COMPLETED") == 1
    assert samples.value("attempts_total", tool="flaky", outcome="FAILED") == 2
    assert samples.value("attempts_total", tool="flaky", outcome="COMPLETED") == 1
    assert samples.value("attempt_retries_total", tool="flaky") == 2
    assert samples.value("attempt_retries_total", tool="echo") == 0
    assert samples.value("runs_ended_total", outcome="COMPLETED") == 1


def test_tries_of_steps_what_models_used_and_what_was_streamed_are_counted() -> None:
    async def agent(value: Json, context: ToolContext) -> Json:
        async def ask(inner: ToolContext) -> Json:
            inner.report_usage(requests=1, input_tokens=10, output_tokens=2, cost_usd=0.25)
            inner.emit("h\u00e9")
            if inner.attempt == 1:
                raise ValueError("not yet")
            return "hello"

        await context.step("model-1", ask, kind=StepKind.MODEL, name="test")
        return await context.call_tool("call-1", "echo", 1)

    async def story(e: Engine) -> None:
        await e.perform(node("a", tool="agent", retry=ONCE))

    samples = samples_after(story, plain("agent", agent))

    assert samples.value("steps_total", kind="MODEL", outcome="RETRIED") == 1
    assert samples.value("steps_total", kind="MODEL", outcome="COMPLETED") == 1
    assert samples.value("steps_total", kind="TOOL", outcome="COMPLETED") == 1
    assert samples.value("steps_total", kind="OTHER", outcome="FAILED") == 0
    assert samples.value("model_requests_total") == 2
    assert samples.value("model_tokens_total", direction="input") == 20
    assert samples.value("model_tokens_total", direction="output") == 4
    assert samples.value("model_cost_usd_total") == pytest.approx(0.5)
    assert samples.value("streamed_bytes_total") == 6


def test_an_attempt_that_times_out_is_counted_with_what_it_took() -> None:
    async def story(e: Engine) -> None:
        await e.perform(node("a", tool="stall", retry=ONCE, timeout=TimeoutPolicy(attempt_seconds=20)))

    samples = samples_after(story)

    assert samples.value("attempts_total", tool="stall", outcome="TIMED_OUT") == 1
    assert samples.value("attempt_duration_seconds_sum", tool="stall") == pytest.approx(20)
    assert samples.value("attempt_duration_seconds_bucket", tool="stall", le="10.0") == 0
    assert samples.value("attempt_duration_seconds_bucket", tool="stall", le="30.0") == 1
    assert samples.value("runs_ended_total", outcome="FAILED") == 1
    assert samples.value("run_duration_seconds_sum", outcome="FAILED") == pytest.approx(20)


def test_a_run_that_is_cancelled_is_counted_as_such_and_so_is_its_attempt() -> None:
    async def story(e: Engine) -> None:
        run_id = await e.submit(node("a", tool="stall"))
        await e.until(run_id, lambda run: run.running == 1)
        await e.executor.signal(DEFAULT_NAMESPACE, run_id, CancelRequested())
        await e.finished(run_id)

    samples = samples_after(story)

    assert samples.value("attempts_total", tool="stall", outcome="CANCELLED") == 1
    assert samples.value("runs_ended_total", outcome="CANCELLED") == 1


def test_a_run_that_takes_too_long_is_counted_as_timed_out() -> None:
    async def story(e: Engine) -> None:
        await e.perform(node("a", tool="stall"), timeout_seconds=30)

    samples = samples_after(story)

    assert samples.value("runs_ended_total", outcome="TIMED_OUT") == 1
    assert samples.value("run_duration_seconds_count", outcome="TIMED_OUT") == 1


def test_what_runs_and_waits_is_told_as_it_is_now() -> None:
    async def story(e: Engine) -> None:
        run_id = await e.submit(*(node(f"n{i}", tool="stall") for i in range(5)))
        await e.until(run_id, lambda run: run.running == 2)

    samples = samples_after(story, maximum_attempts_in_flight=2)

    assert samples.value("runs_active") == 1
    assert samples.value("nodes_queued") == 3
    assert samples.value("slots_in_use") == 2
    assert samples.value("slots_limit") == 2


def test_gauges_return_to_nothing_once_all_has_ended() -> None:
    async def story(e: Engine) -> None:
        await e.executor.join(await e.submit(*(node(f"n{i}") for i in range(5))))

    samples = samples_after(story, maximum_attempts_in_flight=2)

    assert [samples.value(name) for name in ("runs_active", "nodes_queued", "slots_in_use", "leftovers")] == [
        0,
        0,
        0,
        0,
    ]


def test_tools_that_nobody_knows_share_a_name() -> None:
    async def story(e: Engine) -> None:
        await e.perform(*(node(f"n{i}", tool=f"made.up{i}", retry=ONCE, continue_on_failure=True) for i in range(50)))

    samples = samples_after(story)

    assert samples.labels("attempts_total", "tool") == {OTHER}
    assert samples.value("attempts_total", tool=OTHER, outcome="FAILED") == 50
