"""The protocol's own reference server, from npm: `@modelcontextprotocol/server-everything`."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gql_app.core.errors import InvalidInputError, McpToolError, ToolServerUnavailableError
from gql_app.core.values import Json
from tests.support.mcp import OpenedTools, Recorder, opened, until
from tests.support.requirements import REPOSITORY, require_node, require_node_package
from tests.support.reserved_port import ReservedPort
from tests.support.tools import context_of

pytestmark = pytest.mark.anyio

LOOPBACK = REPOSITORY / "tests" / "support" / "javascript" / "loopback.cjs"


@pytest.fixture
def program() -> Path:
    return require_node_package("@modelcontextprotocol/server-everything") / "dist" / "index.js"


@pytest.fixture
def port() -> Iterator[ReservedPort]:
    reserved = ReservedPort()
    yield reserved
    reserved.close()


@contextmanager
def served(program: Path, port: ReservedPort) -> Iterator["subprocess.Popen[str]"]:
    """Serve over HTTP until the end of the block."""
    with subprocess.Popen(
        [require_node(), "--require", LOOPBACK, program, "streamableHttp"],
        env={"PORT": str(port.number)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            assert any("listening on port" in line for line in process.stderr)
            yield process
        finally:
            process.kill()


async def check(tools: OpenedTools) -> None:
    """Call what the server has, each in its own way."""
    shown = Recorder()
    assert tools.problem("mcp.all") is None
    assert len(tools.names()) >= 10

    assert await tools.call("mcp.all.echo", message="hi") == "Echo: hi"
    weather = await tools.call("mcp.all.get-structured-content", location="New York")
    assert weather.keys() == {"temperature", "conditions", "humidity"}
    image = await tools.call("mcp.all.get-tiny-image")
    assert image[1]["type"] == "image"
    await tools.call("mcp.all.trigger-long-running-operation", duration=0.1, steps=2, context=context_of(reports=shown))
    await until(lambda: len(shown.progress_told) == 2)
    assert [fraction for fraction, _ in shown.progress_told] == [0.5, 1.0]
    with pytest.raises(InvalidInputError, match='/location: Expected one of "New York"'):
        await tools.call("mcp.all.get-structured-content", location="Atlantis")
    with pytest.raises(McpToolError, match="Invalid resourceId: 0"):
        await tools.call("mcp.all.get-resource-reference", resourceType="Text", resourceId=0)


async def test_it_is_called_over_standard_input_and_output(program: Path) -> None:
    config: Json = {"command": str(require_node()), "arguments": [str(program), "stdio"]}

    async with opened(all=config) as tools:
        await check(tools)


async def test_it_is_called_over_http(program: Path, port: ReservedPort) -> None:
    with served(program, port):
        async with opened(all={"url": f"http://127.0.0.1:{port.number}/mcp"}) as tools:
            await check(tools)


async def test_a_session_that_the_server_has_forgotten_is_begun_anew(program: Path, port: ReservedPort) -> None:
    with served(program, port) as first:
        async with opened(all={"url": f"http://127.0.0.1:{port.number}/mcp"}) as tools:
            assert await tools.call("mcp.all.echo", message="hi") == "Echo: hi"
            first.kill()
            first.wait()

            with served(program, port):

                async def echoed() -> str:
                    while True:
                        try:
                            return str(await tools.call("mcp.all.echo", message="again"))
                        except ToolServerUnavailableError as error:
                            await asyncio.sleep(error.retry_after or 0.01)

                assert await asyncio.wait_for(echoed(), 60) == "Echo: again"
                assert tools.problem("mcp.all") is None
