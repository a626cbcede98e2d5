"""A real MCP server at an address, over streamable HTTP."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gql_app.core.errors import InvalidOutputError, McpToolError, ToolServerUnavailableError
from gql_app.core.values import Json
from gql_app.settings import Settings
from tests.support.mcp import LONGEST_WAIT, Recorder, http_server, opened, until
from tests.support.reserved_port import ReservedPort
from tests.support.tools import context_of

pytestmark = pytest.mark.anyio

TOKEN = "sesame-open-thyself"
WRONG = "wrong-token"


@pytest.fixture
def port() -> Iterator[ReservedPort]:
    reserved = ReservedPort()
    yield reserved
    reserved.close()


def at(port: ReservedPort, **headers: str) -> Json:
    return {"url": f"http://127.0.0.1:{port.number}/mcp", "headers": headers}


async def test_a_server_at_an_address_is_called_with_its_headers(tmp_path: Path, port: ReservedPort) -> None:
    headers = {"Authorization": "Bearer ${ secrets.TOKEN }", "X-Team": "blue"}

    with http_server(tmp_path, port, TOKEN):
        async with opened({"TOKEN": TOKEN}, web=at(port, **headers)) as tools:
            assert await tools.call("mcp.web.add", a=1, b=2) == {"sum": 3}
            assert await tools.call("mcp.web.header", name="x-team") == "blue"
            assert await tools.call("mcp.web.header", name="authorization") == "Bearer [secret TOKEN]"
            with pytest.raises(McpToolError, match="out of stock"):
                await tools.call("mcp.web.fail")


async def test_progress_and_log_lines_are_shown_by_the_call_they_are_about(tmp_path: Path, port: ReservedPort) -> None:
    first, second = Recorder(), Recorder()

    with http_server(tmp_path, port):
        async with opened(web=at(port)) as tools:
            contexts = [context_of(reports=shown) for shown in (first, second)]
            await asyncio.gather(*(tools.call("mcp.web.work", steps=3, context=context) for context in contexts))

    for shown in (first, second):
        assert shown.progress_told == [(step / 3, f"step {step}") for step in range(1, 4)]
        assert shown.logs == [("INFO", f"did step {step}", {"logger": "worker"}) for step in range(1, 4)]


async def test_many_calls_go_on_at_once(tmp_path: Path, port: ReservedPort) -> None:
    with http_server(tmp_path, port):
        async with opened(web=at(port)) as tools:
            answers = await asyncio.gather(*(tools.call("mcp.web.greet", name=str(number)) for number in range(150)))

    assert answers == [f"Hello, {number}!" for number in range(150)]


async def test_a_cancelled_call_is_cancelled_at_the_server(tmp_path: Path, port: ReservedPort) -> None:
    with http_server(tmp_path, port):
        async with opened(web=at(port)) as tools:
            call = asyncio.create_task(tools.call("mcp.web.hang"))
            await until((tmp_path / "hang-called").exists)

            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

            await until((tmp_path / "hang-cancelled").exists)


async def test_tools_that_come_and_go_are_there_and_gone(tmp_path: Path, port: ReservedPort) -> None:
    with http_server(tmp_path, port):
        async with opened(web=at(port)) as tools:
            await tools.call("mcp.web.grow", name="fresh")
            await until(lambda: "mcp.web.fresh" in tools.names())
            await tools.call("mcp.web.shrink", name="fresh")
            await until(lambda: "mcp.web.fresh" not in tools.names())


@pytest.mark.parametrize("tool", ["mcp.web.big", "mcp.web.big_at_last"])
async def test_a_huge_result_is_an_error_of_its_call_alone(tmp_path: Path, port: ReservedPort, tool: str) -> None:
    settings = Settings(mcp_start_seconds=LONGEST_WAIT, maximum_output_bytes=1024)

    with http_server(tmp_path, port):
        async with opened(web=at(port), settings=settings) as tools:
            with pytest.raises(InvalidOutputError, match="8388608 byte"):
                await tools.call(tool, size=9 << 20)
            assert await tools.call("mcp.web.greet") == "Hello, World!"


async def test_a_server_that_is_killed_and_comes_back_is_found_again(tmp_path: Path, port: ReservedPort) -> None:
    with http_server(tmp_path, port) as server:
        async with opened(web=at(port)) as tools:
            call = asyncio.create_task(tools.call("mcp.web.hang"))
            await until((tmp_path / "hang-called").exists)

            server.kill()
            with pytest.raises(ToolServerUnavailableError) as lost:
                await call
            assert lost.value.retryable
            await until(lambda: "cannot be reached" in str(tools.problem("mcp.web")))
            assert "mcp.web.greet" in tools.names()

            server.wait()
            with http_server(tmp_path, port):
                await until(lambda: tools.problem("mcp.web") is None)
                assert await tools.call("mcp.web.greet") == "Hello, World!"


async def test_a_server_that_does_not_let_us_in_says_so_and_never_tells_the_secret(
    tmp_path: Path, port: ReservedPort, caplog: pytest.LogCaptureFixture
) -> None:
    with http_server(tmp_path, port, TOKEN):
        async with opened({"TOKEN": WRONG}, web=at(port, Authorization="Bearer ${ secrets.TOKEN }")) as tools:
            problem = str(tools.problem("mcp.web"))
            assert problem.startswith("It is not connected. HTTP status 401 Unauthorized. It is tried again in ")
            with pytest.raises(ToolServerUnavailableError, match="401 Unauthorized"):
                await tools.call("mcp.web.greet")

    assert WRONG not in caplog.text


async def test_a_server_that_does_not_let_us_in_any_more_is_told(tmp_path: Path, port: ReservedPort) -> None:
    headers = {"Authorization": "Bearer ${ secrets.TOKEN }"}

    with http_server(tmp_path, port, TOKEN) as server:
        async with opened({"TOKEN": TOKEN}, web=at(port, **headers)) as tools:
            assert await tools.call("mcp.web.greet") == "Hello, World!"
            server.kill()
            server.wait()
            with http_server(tmp_path, port, "another-token"):
                with pytest.raises(ToolServerUnavailableError):
                    await tools.call("mcp.web.greet")
                await until(lambda: "HTTP status 401" in str(tools.problem("mcp.web")))


async def test_what_is_no_mcp_server_at_all_is_told(port: ReservedPort) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port.number), opened(web=at(port)) as tools:
        assert "Unexpected content type: text/html" in str(tools.problem("mcp.web"))
