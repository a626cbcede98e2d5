"""The example of custom tools, loaded and called as its text says."""

import asyncio
import json
import sys
from collections.abc import Mapping

import anyio.to_process
import pytest

from gql_app import ToolError
from gql_app.cli.main import main
from gql_app.core.errors import InvalidInputError
from gql_app.core.values import Json
from gql_app.ports import Tool
from gql_app.testing.virtual_time import run_on_virtual_time
from gql_app.tools.registry import ToolRegistry, load_tools
from tests.support.requirements import REPOSITORY
from tests.support.tools import context_of


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> ToolRegistry:
    monkeypatch.chdir(REPOSITORY / "examples")
    monkeypatch.setattr(sys, "path", list(sys.path))
    return ToolRegistry(load_tools(["custom_tools"]))


def find(registry: ToolRegistry, name: str) -> Tool:
    tool = registry.find(name)
    assert tool is not None
    return tool


async def call(registry: ToolRegistry, name: str, value: Mapping[str, Json], attempt: int = 1) -> Json:
    tool = find(registry, name)
    return await tool.call(tool.parse(value), context_of(attempt=attempt))


def test_the_example_brings_its_tools(registry: ToolRegistry) -> None:
    definitions = registry.definitions()

    assert {name: found.isolation for name, found in definitions.items()} == {
        "checksum": "thread",
        "countdown": "async",
        "greet": "async",
        "shop.order": "async",
        "stubborn": "process",
    }
    assert definitions["shop.order"].description == "Order something in a shop that is closed at the first attempt."
    assert definitions["shop.order"].max_concurrency == 2


@pytest.mark.anyio
async def test_the_async_tools_work_as_they_say(registry: ToolRegistry) -> None:
    assert await call(registry, "greet", {"name": "Ada"}) == "Hello, Ada!"
    with pytest.raises(ToolError, match="closed") as closed:
        await call(registry, "shop.order", {"item": "pen"})
    with pytest.raises(ToolError, match="no unicorns") as gone:
        await call(registry, "shop.order", {"item": "unicorn"})

    assert (closed.value.type, closed.value.retryable, closed.value.retry_after) == ("ShopClosed", True, 0.1)
    assert (gone.value.type, gone.value.retryable) == ("OutOfStock", False)
    assert await call(registry, "shop.order", {"item": "pen", "count": 2}, 2) == {"order": "run/here", "total": 19.0}


def test_the_streaming_tool_counts_down_a_line_a_second(registry: ToolRegistry) -> None:
    async def timed() -> tuple[Json, float]:
        return await call(registry, "countdown", {"start": 2}), asyncio.get_running_loop().time()

    assert run_on_virtual_time(timed()) == ("2…\n1…\nLift-off!\n", 2)


def test_the_command_line_tells_what_the_tools_take_and_which_one_streams(
    registry: ToolRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tools", "--tools", "custom_tools"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert main(["tools", "--tools", "custom_tools", "--json"]) == 0
    tools = {tool["name"]: tool for tool in json.loads(capsys.readouterr().out)}

    assert "{start?}, streams text" in lines
    assert [line for line in lines if "streams" in line] == ["{start?}, streams text"]
    assert (tools["countdown"]["streams"], tools["greet"]["streams"]) == (True, False)
    assert tools["shop.order"]["rateLimit"] == {"count": 10, "perSeconds": 1.0, "burst": 10}


def test_a_wrong_order_is_refused(registry: ToolRegistry) -> None:
    with pytest.raises(InvalidInputError, match="`count`: Input should be less than or equal to 100, not 101"):
        find(registry, "shop.order").parse({"item": "pen", "count": 101})


def test_the_tool_in_a_thread_gives_signs_of_life_and_stops_when_asked(registry: ToolRegistry) -> None:
    checksum = find(registry, "checksum")
    beats: list[None] = []
    whole = checksum.run(checksum.parse({"text": "a"}), context_of(heartbeat=lambda: beats.append(None)))

    stopped = checksum.run(checksum.parse({"text": "a"}), context_of(cancelled=lambda: True))

    assert len(beats) == 1
    assert len(whole) == 64
    assert stopped == b"a".hex()


@pytest.mark.anyio
async def test_the_tool_in_a_process_runs_there(registry: ToolRegistry) -> None:
    stubborn = find(registry, "stubborn")

    assert await anyio.to_process.run_sync(stubborn.run, stubborn.parse({"seconds": 0}), context_of()) == 0
