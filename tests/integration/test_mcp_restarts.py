"""When an MCP server that is lost is tried again, on virtual time."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import pytest

from gql_app.core.errors import ToolServerUnavailableError
from gql_app.core.redaction import Redactor
from gql_app.mcp.config import ServerConfig
from gql_app.mcp.server import Connector, McpServer
from gql_app.mcp.troubles import Streams, Troubles
from gql_app.testing.virtual_time import run_on_virtual_time
from tests.support.tools import context_of


class Refusing:
    """Never gets a connection, and notes when it was asked for one."""

    starts_it = True
    redactor = Redactor({})

    def __init__(self, *, after: float = 0.0) -> None:
        self.asked_at: list[float] = []
        self._after = after

    def open(self, troubles: Troubles) -> AbstractAsyncContextManager[Streams]:
        return self._refuse()

    @asynccontextmanager
    async def _refuse(self) -> AsyncIterator[Streams]:
        self.asked_at.append(anyio.current_time())
        await anyio.sleep(self._after)
        raise ConnectionRefusedError("nobody is there")
        yield None


def make_server(connector: Connector) -> McpServer:
    return McpServer(
        "far",
        ServerConfig(command="x"),
        connector,
        connect_seconds=10,
        publish=lambda _: None,
        random=lambda: 1.0,
    )


def test_a_server_is_tried_again_ever_more_seldom_up_to_a_cap() -> None:
    connector = Refusing()

    async def main() -> None:
        with anyio.move_on_after(400):
            await make_server(connector).run()

    run_on_virtual_time(main())

    assert connector.asked_at == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363]


def test_a_server_that_takes_its_time_to_fail_is_tried_again_as_seldom() -> None:
    connector = Refusing(after=20)

    async def main() -> None:
        with anyio.move_on_after(200):
            await make_server(connector).run()

    run_on_virtual_time(main())

    assert connector.asked_at == [0, 21, 43, 67, 95, 131, 183]


def test_a_call_that_finds_no_server_is_tried_again_when_the_server_is() -> None:
    async def main() -> None:
        server = make_server(Refusing())
        tool = server.stand_in("mcp.far.work")
        assert tool is not None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.run)
            await anyio.sleep(16)

            with pytest.raises(ToolServerUnavailableError, match="cannot be started: nobody is there") as away:
                await tool.call(tool.parse({}), context_of())
            tasks.cancel_scope.cancel()

        assert away.value.retry_after == pytest.approx(15)
        with pytest.raises(ToolServerUnavailableError, match="The service is closing"):
            await tool.call(tool.parse({}), context_of())

    run_on_virtual_time(main())
