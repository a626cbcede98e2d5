"""The loop on virtual time that tests run on: it ends, whatever the tested code does."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest

from gql_app import tool
from gql_app.ports import Tool
from gql_app.testing import VirtualTimeLoop, call_tool, on_virtual_time, run_on_virtual_time, run_workflow
from tests.support.service import document


@tool
async def deaf() -> None:
    """Swallow every cancellation."""
    while True:
        try:
            await asyncio.sleep(1_000)
        except asyncio.CancelledError:
            continue


@tool
async def deaf_stream() -> AsyncIterator[str]:
    """Swallow every cancellation while streaming."""
    while True:
        try:
            yield "."
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


def test_an_hour_passes_in_a_moment_and_in_order() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        seen: list[float] = []
        loop.call_later(3_600, lambda: seen.append(loop.time()))
        await asyncio.sleep(7_200)
        return [*seen, loop.time()]

    began = time.monotonic()

    assert run_on_virtual_time(main()) == [3_600, 7_200]
    assert time.monotonic() - began < 3_600


@on_virtual_time
async def test_a_thread_of_the_loop_holds_virtual_time_until_it_is_back() -> None:
    loop = asyncio.get_running_loop()
    freed = threading.Event()
    out = loop.run_in_executor(None, freed.wait)
    timer = loop.create_task(asyncio.sleep(1))

    freed.set()
    await out

    assert loop.time() == 0
    await timer
    assert loop.time() == 1


def test_a_thread_that_does_not_come_back_holds_it_for_as_long_as_patience_lasts() -> None:
    freed = threading.Event()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        out = loop.run_in_executor(None, freed.wait)
        await asyncio.sleep(60)
        freed.set()
        await out
        return loop.time()

    assert run_on_virtual_time(main(), patience=0.05) == 60


def test_what_would_wait_for_ever_says_so() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match=r"no timer is set, and for 0\.05 real seconds nothing came from elsewhere"):
        run_on_virtual_time(main(), patience=0.05)


@pytest.mark.parametrize("made", [deaf, deaf_stream])
def test_a_tool_that_cannot_be_stopped_times_out_and_the_test_ends(made: Tool) -> None:
    result = call_tool(made, timeout=30)
    run = run_workflow(document({"id": "a", "tool": "deaf"}), tools=[deaf], cancel_after=5)

    assert result.error is not None
    assert result.error.type == "AttemptTimeout"
    assert run.status == "CANCELLED"


def test_a_tool_that_cannot_be_stopped_does_not_hold_up_a_test_in_real_time_for_long() -> None:
    settings = {"stop_grace_seconds": 0.01, "shutdown_grace_seconds": 0.01}

    assert call_tool(deaf, timeout=0.01, settings=settings, real_time=True).status == "FAILED"


def test_an_error_of_the_coroutine_is_raised_and_the_loop_is_closed() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        raise LookupError("gone")

    with pytest.raises(LookupError):
        run_on_virtual_time(main())
    assert isinstance(loops[0], VirtualTimeLoop)
    assert loops[0].is_closed()
