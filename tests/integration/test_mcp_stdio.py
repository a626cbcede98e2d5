"""A real MCP server that we start and talk to over its standard input and output."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import pytest

from gql_app.core.errors import (
    InvalidInputError,
    InvalidOutputError,
    McpToolError,
    ToolError,
    ToolServerUnavailableError,
)
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.core.values import Json
from gql_app.settings import Settings
from tests.support.mcp import LONGEST_WAIT, Recorder, opened, stdio_server, until
from tests.support.tools import context_of

pytestmark = pytest.mark.anyio

SECRET = "sesame-open-thyself"


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


async def noted(directory: Path, name: str) -> int:
    """Wait for a note of the server, which tells its process."""
    await until((directory / name).exists)
    return int((directory / name).read_text())


async def test_the_tools_of_a_server_are_there_with_their_schemas(tmp_path: Path) -> None:
    async with opened(test=stdio_server(tmp_path)) as tools:
        definition = tools.registry.definitions()["mcp.test.add"]

        assert definition.description == "Add two numbers."
        assert definition.input_schema["required"] == ["a", "b"]
        assert definition.output_schema["type"] == "object"
        assert tools.problem("mcp.test") is None
        assert tools.registry.definitions() is tools.registry.definitions()


async def test_a_call_gives_what_the_server_answers(tmp_path: Path) -> None:
    async with opened(test=stdio_server(tmp_path)) as tools:
        assert await tools.call("mcp.test.add", a=1, b=2) == {"sum": 3}
        assert await tools.call("mcp.test.greet", name="Ada") == "Hello, Ada!"
        assert await tools.call("mcp.test.parts") == [
            {"type": "text", "text": "See:"},
            {"type": "image", "data": "aW1hZ2U=", "mimeType": "image/png"},
            {"type": "audio", "data": "c291bmQ=", "mimeType": "audio/wav"},
        ]
        assert await tools.call("mcp.test.meta") == context_of().idempotency_key


async def test_progress_and_log_lines_are_shown_by_the_call_they_are_about(tmp_path: Path) -> None:
    shown = Recorder()

    async with opened(test=stdio_server(tmp_path)) as tools:
        await tools.call("mcp.test.work", steps=4, context=context_of(reports=shown))
        await until(lambda: len(shown.progress_told) == 4)

    assert shown.progress_told == [(step / 4, f"step {step}") for step in range(1, 5)]
    assert shown.logs == [("INFO", f"did step {step}", {"logger": "worker"}) for step in range(1, 5)]


async def test_log_lines_that_may_be_about_several_calls_are_shown_by_none(tmp_path: Path) -> None:
    first, second = Recorder(), Recorder()

    async with opened(test=stdio_server(tmp_path)) as tools:
        waiting = asyncio.create_task(tools.call("mcp.test.wait_for", name="go", context=context_of(reports=first)))
        await noted(tmp_path, "go-called")
        await tools.call("mcp.test.work", context=context_of(reports=second))
        (tmp_path / "go").touch()
        await waiting

    assert first.logs == second.logs == []
    assert len(second.progress_told) == 4


async def test_many_calls_share_one_session(tmp_path: Path) -> None:
    async with opened(test=stdio_server(tmp_path)) as tools:
        answers = await asyncio.gather(*(tools.call("mcp.test.greet", name=str(number)) for number in range(200)))

    assert answers == [f"Hello, {number}!" for number in range(200)]


async def test_an_input_that_does_not_fit_never_reaches_the_server(tmp_path: Path) -> None:
    async with opened(test=stdio_server(tmp_path)) as tools:
        with pytest.raises(InvalidInputError, match='/a: Expected integer, not "one"'):
            await tools.call("mcp.test.add", a="one", b=2)
        with pytest.raises(InvalidInputError, match='The field "b" is missing'):
            await tools.call("mcp.test.add", a=1)


async def test_an_error_of_a_tool_may_be_tried_again(tmp_path: Path) -> None:
    async with opened(test=stdio_server(tmp_path)) as tools:
        with pytest.raises(McpToolError, match="out of stock") as failed:
            await tools.call("mcp.test.fail")

    assert failed.value.retryable
    assert failed.value.type == "McpToolError"


async def test_a_huge_result_is_an_error_of_its_call_alone(tmp_path: Path) -> None:
    settings = Settings(mcp_start_seconds=LONGEST_WAIT, maximum_output_bytes=1024)
    async with opened(test=stdio_server(tmp_path), settings=settings) as tools:
        with pytest.raises(InvalidOutputError, match="The answer is longer than 8388608 bytes"):
            await tools.call("mcp.test.big", size=20 << 20)
        assert await tools.call("mcp.test.greet") == "Hello, World!"


async def test_a_cancelled_call_is_cancelled_at_the_server(tmp_path: Path) -> None:
    async with opened(test=stdio_server(tmp_path)) as tools:
        call = asyncio.create_task(tools.call("mcp.test.hang"))
        await noted(tmp_path, "hang-called")

        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        await until((tmp_path / "hang-cancelled").exists)
        assert await tools.call("mcp.test.greet") == "Hello, World!"


async def test_a_server_that_is_killed_in_a_call_is_started_again(tmp_path: Path) -> None:
    async with opened(test=stdio_server(tmp_path)) as tools:
        call = asyncio.create_task(tools.call("mcp.test.hang"))
        process = await noted(tmp_path, "hang-called")

        os.kill(process, signal.SIGKILL)
        with pytest.raises(ToolServerUnavailableError, match="It ended by signal 9") as lost:
            await call
        assert lost.value.retryable

        await until(lambda: tools.problem("mcp.test") is not None)
        assert "It is not connected. It ended by signal 9" in str(tools.problem("mcp.test"))
        assert "mcp.test.greet" in tools.names()
        await until(lambda: tools.problem("mcp.test") is None)
        assert await tools.call("mcp.test.greet") == "Hello, World!"


async def test_a_call_while_a_server_is_away_says_when_to_try_again(tmp_path: Path) -> None:
    async with opened(test=stdio_server(tmp_path)) as tools:
        call = asyncio.create_task(tools.call("mcp.test.hang"))
        os.kill(await noted(tmp_path, "hang-called"), signal.SIGKILL)
        await asyncio.gather(call, return_exceptions=True)
        await until(lambda: "tried again" in str(tools.problem("mcp.test")))

        with pytest.raises(ToolServerUnavailableError, match=r"is not connected\. It ended by signal 9") as away:
            await tools.call("mcp.test.greet")
        assert away.value.retry_after is not None
        assert 0 <= away.value.retry_after <= 1


async def test_tools_that_come_and_go_are_there_and_gone(tmp_path: Path) -> None:
    async with opened(test=stdio_server(tmp_path)) as tools:
        before = tools.registry.find("mcp.test.greet")

        await tools.call("mcp.test.grow", name="fresh")
        await until(lambda: "mcp.test.fresh" in tools.names())
        assert await tools.call("mcp.test.fresh") == "fresh"
        assert tools.registry.find("mcp.test.greet") is before

        await tools.call("mcp.test.shrink", name="fresh")
        await until(lambda: "mcp.test.fresh" not in tools.names())
        assert tools.registry.find("mcp.test.fresh") is None


async def test_a_server_is_told_little_of_our_environment_and_its_secrets_are_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GQL_APP_SECRET_OTHER", "not-for-servers")
    shown = Recorder()

    with caplog.at_level(logging.INFO):
        async with opened({"TOKEN": SECRET}, test=stdio_server(tmp_path, KEY="${ secrets.TOKEN }")) as tools:
            assert await tools.call("mcp.test.environment", name="GQL_APP_SECRET_OTHER") == "(not set)"
            assert await tools.call("mcp.test.environment", name="PATH") == os.environ["PATH"]
            assert await tools.call("mcp.test.environment", name="KEY") == "[secret TOKEN]"
            with pytest.raises(McpToolError) as failed:
                await tools.call("mcp.test.fail", message=f"cannot log in with {SECRET}")
            await tools.call("mcp.test.complain", text=f"my secret is {SECRET}", context=context_of(reports=shown))
            await until(lambda: "my secret is" in caplog.text)

    assert SECRET not in str(failed.value)
    assert SECRET not in caplog.text


async def test_a_server_ends_with_the_service(tmp_path: Path) -> None:
    async with opened(test=stdio_server(tmp_path)) as tools:
        call = asyncio.create_task(tools.call("mcp.test.hang"))
        process = await noted(tmp_path, "hang-called")

    with pytest.raises(ToolServerUnavailableError):
        await call
    assert not alive(process)


async def test_the_tools_of_a_server_are_for_its_namespaces(tmp_path: Path) -> None:
    team = Namespace("team")
    server = {**stdio_server(tmp_path), "namespaces": ["team"]}

    async with opened(test=server) as tools:
        assert "mcp.test.greet" in tools.names(team)
        assert tools.names(DEFAULT_NAMESPACE) == []
        with pytest.raises(ToolError) as refused:
            await tools.call("mcp.test.greet")
        assert (refused.value.type, refused.value.retryable) == ("UnknownTool", False)


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ({"command": "/no/such/program"}, "It cannot be started: No such file or directory"),
        (
            {"command": "x", "workingDirectory": "/no/such/place"},
            "It cannot be started: /no/such/place is not a directory",
        ),
        ({"command": sys.executable, "arguments": ["-c", "pass"]}, "It ended with exit code 0"),
        (
            {"command": sys.executable, "arguments": ["-c", "raise SystemExit('no licence found')"]},
            "It ended with exit code 1: no licence found",
        ),
    ],
)
async def test_a_server_that_cannot_be_started_is_named_and_the_service_goes_on(server: Json, reason: str) -> None:
    async with opened(broken=server) as tools:
        assert reason in str(tools.problem("mcp.broken"))
        missing = tools.registry.why_missing("mcp.broken.x", DEFAULT_NAMESPACE)
        assert missing is not None
        assert missing.startswith("The MCP server `broken`: It is not connected. It ")
