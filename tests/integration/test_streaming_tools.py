"""Tools that stream, in the real engine: until they end, fail, are stopped, or are too much."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gql_app import RetryPolicy, TimeoutPolicy, ToolContext, ToolError, tool
from gql_app.core.values import Json
from gql_app.testing import RunResult, call_tool, run_workflow
from tests.support.service import document

PIECES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=30)


@tool
async def on_the_loop(pieces: list[str], failures: int = 0, context: ToolContext | None = None) -> AsyncIterator[str]:
    """Stream pieces, a while apart, and fail halfway in the first attempts."""
    assert context is not None
    for number, piece in enumerate(pieces):
        if number == len(pieces) // 2 and context.attempt <= failures:
            raise ToolError("halfway")
        await asyncio.sleep(0.02 * (number % 3))
        yield piece


@tool
def in_a_thread(pieces: list[str], failures: int = 0, context: ToolContext | None = None) -> Iterator[str]:
    """Do the same in a thread, and show everything else, too."""
    assert context is not None
    for number, piece in enumerate(pieces):
        if number == len(pieces) // 2 and context.attempt <= failures:
            raise ToolError("halfway")
        context.log("info", "piece", number=number)
        context.progress(number / len(pieces))
        context.heartbeat()
        yield piece


def run(name: str, **value: Json) -> RunResult:
    """Run a document whose one node calls a tool."""
    node = {"id": "a", "tool": name, "input": value, "retry": {"maximumAttempts": 3}}
    return run_workflow(document(node), tools=[on_the_loop, in_a_thread])


@given(pieces=PIECES, failures=st.integers(0, 2), name=st.sampled_from(["on_the_loop", "in_a_thread"]))
@settings(max_examples=40, deadline=None)
def test_what_the_last_attempt_showed_is_the_output(pieces: list[str], failures: int, name: str) -> None:
    node = run(name, pieces=pieces, failures=failures).nodes["a"]

    assert node.output == "".join(pieces)
    assert node.streamed == node.output
    assert len(node.attempts) == (failures + 1 if pieces else 1)


def test_a_function_in_a_thread_shows_its_log_in_order_and_its_last_progress() -> None:
    node = run("in_a_thread", pieces=["x"] * 20).nodes["a"]

    assert [line.fields["number"] for line in node.logs] == list(range(20))
    assert node.progress[-1].fraction == 0.95


@pytest.mark.parametrize("kind", ["loop", "thread"])
def test_a_stream_of_ten_megabytes_ends_the_attempt_at_the_limit_of_outputs(kind: str) -> None:
    taken = 0
    closed = threading.Event()

    def pieces() -> Iterator[str]:
        nonlocal taken
        for _ in range(10_000):
            taken += 1
            yield "x" * 1_024

    @tool
    async def loop() -> AsyncIterator[str]:
        try:
            for piece in pieces():
                yield piece
        finally:
            closed.set()

    @tool
    def thread() -> Iterator[str]:
        try:
            yield from pieces()
        finally:
            closed.set()

    result = call_tool(loop if kind == "loop" else thread)

    assert result.error is not None
    assert (result.error.type, result.error.retryable) == ("InvalidOutput", False)
    assert "streamed more than the 262144 bytes that an output may take" in result.error.message
    assert taken == 256
    assert closed.is_set()


def test_a_stream_that_never_ends_and_says_nothing_times_out() -> None:
    @tool
    async def silent() -> AsyncIterator[str]:
        while True:
            await asyncio.sleep(1)
            yield ""

    result = call_tool(silent, timeout=30)

    assert result.error is not None
    assert result.error.type == "AttemptTimeout"


def test_a_generator_that_never_waits_does_not_hold_up_the_service() -> None:
    ended: list[str] = []

    @tool
    async def busy() -> AsyncIterator[str]:
        while not ended:
            yield ""
        yield "at last"

    @tool
    async def other() -> None:
        await asyncio.sleep(0)
        ended.append("other")

    nodes = [{"id": name, "tool": name} for name in ("busy", "other")]

    assert run_workflow({"name": "two", "nodes": nodes}, tools=[busy, other]).nodes["busy"].output == "at last"


def test_a_cancelled_run_closes_the_generator_in_a_thread_at_its_next_piece() -> None:
    closed = threading.Event()
    begun = threading.Event()

    @tool(retry=RetryPolicy(maximum_attempts=1))
    def endless(context: ToolContext) -> Iterator[str]:
        try:
            while True:
                begun.set()
                yield "." if context.cancelled() else ""
        finally:
            closed.set()

    result = call_tool(endless, timeout=60, cancel_after=5, patience=0.05)

    assert begun.is_set()
    assert result.status == "CANCELLED"
    assert closed.wait(30)


@pytest.mark.parametrize("sign", ["heartbeat", "emit", "log", "progress", "none"])
def test_whatever_a_tool_shows_is_a_sign_of_life(sign: str) -> None:
    @tool(timeout=TimeoutPolicy(attempt_seconds=600, heartbeat_seconds=8))
    async def slow(context: ToolContext) -> None:
        shows: dict[str, Callable[[], None]] = {
            "heartbeat": context.heartbeat,
            "emit": lambda: context.emit("."),
            "log": lambda: context.log("debug", "still here"),
            "progress": lambda: context.progress(message="still here"),
            "none": lambda: None,
        }
        for _ in range(12):
            await asyncio.sleep(5)
            shows[sign]()

    result = call_tool(slow)

    if sign == "none":
        assert result.error is not None
        assert (result.error.type, result.seconds) == ("HeartbeatTimeout", 8.0)
    else:
        assert (result.status, result.seconds) == ("COMPLETED", 60.0)
