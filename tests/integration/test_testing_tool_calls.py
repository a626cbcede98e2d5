"""What authors of tools can ask of one call of their tool."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime

import pytest
from pydantic import BaseModel

from gql_app import TimeoutPolicy, ToolContext, ToolError, tool
from gql_app.core.errors import InvalidInputError, InvalidToolError, StepFailedError
from gql_app.core.values import Json
from gql_app.testing import (
    LogLine,
    NoOutputError,
    ProgressReport,
    ScriptedTool,
    ScriptError,
    call_tool,
    call_tool_async,
    on_virtual_time,
)
from gql_app.testing.virtual_time import NOON
from tests.support.tools import greet, greet_slowly


class Receipt(BaseModel):
    order: str
    at: datetime


@tool(timeout=TimeoutPolicy(attempt_seconds=30))
async def work(seconds: float, context: ToolContext) -> AsyncIterator[str]:
    """Show everything that a tool can show."""
    context.log("info", "begins", seconds=seconds)
    for part in range(2):
        context.progress(part / 2, f"part {part}")
        await asyncio.sleep(seconds / 2)
        context.heartbeat()
        yield f"[{part}]"


def test_everything_a_call_showed_is_told_piece_by_piece() -> None:
    result = call_tool(work, {"seconds": 4})

    assert result.output == "[0][1]"
    assert result.chunks == ("[0]", "[1]")
    assert result.logs == (LogLine(level="info", message="begins", fields={"seconds": 4.0}),)
    assert result.progress == (
        ProgressReport(fraction=0.0, message="part 0"),
        ProgressReport(fraction=0.5, message="part 1"),
    )
    assert result.heartbeats == 2
    assert (result.status, result.error, result.exception, result.seconds) == ("COMPLETED", None, None, 4.0)


def test_a_call_that_times_out_tells_so_and_what_it_showed() -> None:
    by_itself, sooner = call_tool(work, {"seconds": 100}), call_tool(work, {"seconds": 100}, timeout=3)

    assert [(result.error and result.error.type, result.seconds) for result in (by_itself, sooner)] == [
        ("AttemptTimeout", 30.0),
        ("AttemptTimeout", 3.0),
    ]
    assert [len(result.logs) for result in (by_itself, sooner)] == [1, 1]
    with pytest.raises(NoOutputError, match="it is FAILED, AttemptTimeout: The attempt did not end within 3 s"):
        _ = sooner.output


def test_a_call_is_told_its_attempt_and_deadline() -> None:
    @tool
    async def tell(context: ToolContext) -> list[Json]:
        assert context.deadline is not None
        return [context.attempt, (context.deadline - NOON).total_seconds(), context.idempotency_key.split("/")[1]]

    assert call_tool(tell, attempt=4, timeout=90).output == [4, 90.0, "call"]


def test_what_the_tool_raises_is_raised_again_where_its_output_is_wanted() -> None:
    @tool
    async def sell(item: str) -> str:
        raise ToolError(f"No {item} left.", type="OutOfStock", retryable=False, retry_after=5)

    result = call_tool(sell, {"item": "pen"})

    assert result.error is not None
    assert (result.error.type, result.error.message, result.error.retryable) == ("OutOfStock", "No pen left.", False)
    assert result.error.retry_after == 5
    with pytest.raises(ToolError, match="No pen left") as caught:
        _ = result.output
    assert caught.value is result.exception


def test_an_input_that_does_not_fit_is_refused_as_in_a_run() -> None:
    result = call_tool(greet, {"name": 5})

    assert result.error is not None
    assert result.error.type == "InvalidInput"
    with pytest.raises(InvalidInputError, match="`name`: Input should be a valid string, not 5"):
        _ = result.output
    assert call_tool(greet).error == call_tool(greet, {}).error


def test_an_input_is_data_even_if_it_looks_like_an_expression() -> None:
    assert call_tool(greet, {"name": "${ nodes.a.output }"}).output == "Hello, ${ nodes.a.output }!"


def test_an_output_is_what_json_makes_of_it() -> None:
    @tool
    async def sell() -> Receipt:
        return Receipt(order="7", at=NOON)

    @tool
    async def odd() -> Json:
        return {1, 2}

    assert call_tool(sell).output == {"order": "7", "at": "2026-01-01T12:00:00Z"}
    with pytest.raises(NoOutputError, match="it is FAILED, InvalidOutput: The tool's output is not JSON"):
        _ = call_tool(odd).output


def test_an_output_is_as_big_as_the_settings_let_it_be() -> None:
    @tool
    async def fill(size: int) -> str:
        return "x" * size

    small = call_tool(fill, {"size": 2_000}, settings={"maximum_output_bytes": 1_024})

    assert small.error is not None
    assert small.error.type == "InvalidOutput"
    assert len(call_tool(fill, {"size": 2_000}).output) == 2_000


def test_no_environment_variable_changes_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_APP_MAXIMUM_OUTPUT_BYTES", "1024")
    monkeypatch.setenv("GQL_APP_PORT", "nonsense")

    assert call_tool(greet, {"name": "x" * 2_000}).status == "COMPLETED"


def test_a_function_in_a_thread_takes_no_virtual_time_and_shows_what_it_does() -> None:
    @tool
    def crunch(count: int, context: ToolContext) -> Iterator[str]:
        context.log("debug", "in a thread", thread=threading.current_thread() is not threading.main_thread())
        for number in range(count):
            context.heartbeat()
            context.progress(number / count)
            yield str(number)

    result = call_tool(crunch, {"count": 3}, timeout=0.001)

    assert result.output == "012"
    assert (result.chunks, result.heartbeats, len(result.progress)) == (("0", "1", "2"), 3, 3)
    assert result.logs[0].fields == {"thread": True}
    assert result.seconds == 0


def test_a_function_that_hangs_in_a_thread_times_out_once_patience_has_run_out() -> None:
    freed = threading.Event()

    @tool
    def hang(context: ToolContext) -> None:
        while not context.cancelled():
            time.sleep(0.001)
        freed.set()

    result = call_tool(hang, timeout=60, patience=0.05)

    assert result.error is not None
    assert result.error.type == "AttemptTimeout"
    assert result.seconds == 60
    assert freed.wait(30)


def test_a_thread_of_the_loop_takes_no_virtual_time() -> None:
    @tool
    async def read() -> str:
        return await asyncio.to_thread(lambda: "read")

    assert call_tool(read, timeout=0.001).output == "read"


def test_a_tool_in_a_process_of_its_own_is_called_there() -> None:
    result = call_tool(greet_slowly, {"name": "pen", "unitPrice": 1.0})

    assert result.output["greeting"] == "Hello, pen!"
    assert result.output["process"] != os.getpid()


def test_a_call_can_be_cancelled_and_is_given_its_grace() -> None:
    ended: list[float] = []

    @tool
    async def patient() -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            await asyncio.sleep(1)
            ended.append(asyncio.get_running_loop().time())

    result = call_tool(patient, timeout=7_200, cancel_after=5)

    assert result.status == "CANCELLED"
    assert ended == [6.0]
    with pytest.raises(NoOutputError, match="it is CANCELLED"):
        _ = result.output


@on_virtual_time
async def test_an_async_test_awaits_the_call_on_its_own_loop() -> None:
    result = await call_tool_async(work, {"seconds": 20})

    assert result.seconds == 20
    assert asyncio.get_running_loop().time() >= 20


@pytest.mark.anyio
async def test_on_a_loop_in_real_time_a_call_takes_real_time() -> None:
    result = await call_tool_async(work, {"seconds": 0.02})

    assert result.output == "[0][1]"
    assert result.seconds >= 0.02


def test_real_time_is_there_for_what_waits_for_the_real_world() -> None:
    @tool
    async def ask_another_program() -> str:
        process = await asyncio.create_subprocess_exec("echo", "hello", stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        return out.decode().strip()

    assert call_tool(ask_another_program, real_time=True).output == "hello"


@pytest.mark.anyio
async def test_a_loop_in_a_loop_is_refused_with_the_way_out() -> None:
    with pytest.raises(RuntimeError, match="await the function whose name ends in `_async`"):
        call_tool(greet, {"name": "Ada"})


def test_the_steps_of_a_call_are_told_with_what_they_were_asked() -> None:
    @tool
    async def ask(question: str, context: ToolContext) -> Json:
        context.log("info", "asks")
        return await context.call_tool("ask", "work", {"question": question})

    scripted = ScriptedTool("work", [ToolError("no", retryable=False)])
    result = call_tool(ask, {"question": "why"}, tools=[scripted])

    [step] = result.steps
    assert (step.id, step.name, step.input, step.status) == ("ask", "work", {"question": "why"}, "FAILED")
    assert step.error is not None
    assert step.error.message == "no"
    with pytest.raises(StepFailedError, match="no"):
        _ = result.output


def test_a_tool_that_calls_itself_is_watched_from_outside_alone() -> None:
    @tool
    async def count_down(number: int, context: ToolContext) -> Json:
        context.heartbeat()
        return number and [context.attempt, await context.call_tool("less", "count_down", {"number": number - 1})]

    result = call_tool(count_down, {"number": 2}, attempt=7)

    assert result.output == [7, [1, 0]]
    assert result.heartbeats == 1
    assert [step.id for step in result.steps] == ["less", "less/less"]


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidToolError, match="two scripted tools named 'greet'"):
        call_tool(greet, {"name": "Ada"}, tools=[ScriptedTool("greet", ["Hi"])])


def test_settings_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="maximum_outputs"):
        call_tool(greet, {"name": "Ada"}, settings={"maximum_outputs": 5})


def test_a_script_error_is_one_of_the_test() -> None:
    assert issubclass(ScriptError, AssertionError)
    assert issubclass(NoOutputError, AssertionError)
