"""The tools that ship, and those of a process of their own, called as the engine calls them."""

import asyncio
import os
from contextlib import suppress

import anyio.to_process
import pytest

from gql_app import ToolError
from gql_app.core.errors import InvalidInputError
from gql_app.core.plan import ToolDefinition
from gql_app.core.values import Json
from gql_app.ports import Tool, ToolContext
from gql_app.testing.virtual_time import run_on_virtual_time
from gql_app.tools.delay import delay
from gql_app.tools.echo import echo
from gql_app.tools.fail import fail
from gql_app.tools.registry import ToolRegistry
from tests.support.tools import CONTEXT, context_of, greet_renamed, greet_slowly, tools_that_ship


async def call_fail(attempt: int, **options: Json) -> Json:
    return await fail.call(fail.parse(options), context_of(attempt=attempt))


@pytest.mark.anyio
@pytest.mark.parametrize("value", [None, 0, 1.5, "x", [1, {"a": None}], {"b": True}])
async def test_echo_returns_its_value(value: Json) -> None:
    assert await echo.call(echo.parse({"value": value}), CONTEXT) == value


def test_delay_waits_as_long_as_it_says() -> None:
    async def timed() -> tuple[Json, float]:
        loop = asyncio.get_running_loop()
        return await delay.call(delay.parse({"seconds": 3_600}), CONTEXT), loop.time()

    assert run_on_virtual_time(timed()) == ({"seconds": 3_600.0}, 3_600.0)


def test_delay_is_not_cut_short_by_the_usual_timeout() -> None:
    assert delay.definition.timeout.model_dump(exclude_unset=True) == {"attempt_seconds": None}


@pytest.mark.parametrize("seconds", [-1, 86_401, "5", None])
def test_delay_takes_up_to_a_day(seconds: Json) -> None:
    with pytest.raises(InvalidInputError, match="`seconds`"):
        delay.parse({"seconds": seconds})


@pytest.mark.anyio
async def test_fail_fails_the_first_attempts_and_then_returns_its_value() -> None:
    for attempt in (1, 2):
        with pytest.raises(ToolError, match=f"Attempt {attempt} of 2"):
            await call_fail(attempt, times=2, value="done")

    assert await call_fail(3, times=2, value="done") == "done"


@pytest.mark.anyio
async def test_fail_raises_the_error_it_is_asked_for() -> None:
    with pytest.raises(ToolError, match="no luck") as caught:
        await call_fail(1, type="Quota", message="no luck", retryable=False, retryAfterSeconds=2.5)

    assert (caught.value.type, caught.value.retryable, caught.value.retry_after) == ("Quota", False, 2.5)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("mode", "error"), [("timeout", TimeoutError), ("cancel", asyncio.CancelledError), ("exit", SystemExit)]
)
async def test_fail_fails_in_ways_of_its_own(mode: str, error: type[BaseException]) -> None:
    with pytest.raises(error):
        await call_fail(1, mode=mode)


@pytest.mark.anyio
async def test_fail_returns_what_is_not_json() -> None:
    assert isinstance(await call_fail(1, mode="badOutput"), set)


def test_fail_hangs_until_it_is_stopped() -> None:
    async def hang() -> bool:
        task = asyncio.create_task(call_fail(1, mode="hang"))
        await asyncio.sleep(86_400)
        hung = not task.done()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return hung and task.cancelled()

    assert run_on_virtual_time(hang())


@pytest.mark.parametrize("options", [{"times": -1}, {"mode": "explode"}, {"type": ""}, {"retry_after_seconds": 1}])
def test_fail_refuses_what_it_does_not_know(options: dict[str, Json]) -> None:
    with pytest.raises(InvalidInputError):
        fail.parse(options)


@pytest.mark.anyio
async def test_the_template_tool_fills_a_text() -> None:
    registry = ToolRegistry(tools_that_ship())
    template = registry.find("text.template")

    assert template is not None
    arguments = template.parse({"template": "Found: {body}", "values": {"body": [1]}})
    assert await template.call(arguments, CONTEXT) == "Found: [1]"


@pytest.mark.anyio
async def test_a_tool_runs_in_a_process_of_its_own() -> None:
    arguments = greet_slowly.parse({"name": "pen", "unitPrice": 1.0})

    result = await anyio.to_process.run_sync(greet_slowly.run, arguments, CONTEXT)

    assert result["greeting"] == "Hello, pen!"
    assert result["node"] == "here"
    assert result["process"] != os.getpid()


@pytest.mark.anyio
async def test_a_tool_made_without_the_decorator_runs_in_a_process_too() -> None:
    arguments = greet_renamed.parse({"name": "Ada"})

    assert await anyio.to_process.run_sync(greet_renamed.run, arguments, CONTEXT) == {"text": "Hello, Ada!"}


class Closing:
    """A tool with something to close."""

    def __init__(self, name: str, closed: list[str], error: Exception | None = None) -> None:
        self.definition = ToolDefinition(name=name)
        self._closed = closed
        self._error = error

    def parse(self, value: Json) -> Json:
        return value

    async def call(self, arguments: Json, context: ToolContext) -> Json:
        return None

    def run(self, arguments: Json, context: ToolContext) -> Json:
        return None

    async def aclose(self) -> None:
        self._closed.append(self.definition.name)
        if self._error is not None:
            raise self._error


@pytest.mark.anyio
async def test_leaving_the_registry_closes_every_tool_even_if_one_fails_to() -> None:
    closed: list[str] = []
    stuck = Closing("second", closed, OSError("stuck"))
    tools: list[Tool] = [Closing("first", closed), stuck, Closing("third", closed), echo]

    with pytest.raises(OSError, match="stuck"):
        async with ToolRegistry(tools):
            assert closed == []

    assert sorted(closed) == ["first", "second", "third"]
