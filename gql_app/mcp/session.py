"""A session with an MCP server: how it begins, and how its tools are listed."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Final

from anyio import to_thread
from mcp import types
from mcp.client.session import ClientSession, LoggingFnT, MessageHandlerFnT
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.transport_context import TransportContext
from mcp.types import methods
from pydantic import ValidationError

from gql_app.mcp.listing import MAXIMUM_TOOLS, ListedTool, Listing, take_in
from gql_app.mcp.troubles import Streams, Troubles

MAXIMUM_PAGES: Final = 100
LIST_TOOLS: Final = "tools/list"

_LOG_LEVEL: Final = "info"


class Dispatcher(JSONRPCDispatcher[TransportContext]):
    """Sends requests. It takes tools out of lists that the library would refuse the whole list for."""

    session: ClientSession | None = None
    refused: Listing

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None, **more: Any
    ) -> dict[str, Any]:
        """Send a request and give what the server answers."""
        result = await super().send_raw_request(method, params, opts, **more)
        if method == LIST_TOOLS and isinstance(tools := result.get("tools"), list):
            if len(tools) > MAXIMUM_TOOLS:
                self.refused.leave_out("…", f"more than {MAXIMUM_TOOLS} tools", len(tools) - MAXIMUM_TOOLS)
            result["tools"] = [tool for tool in tools[:MAXIMUM_TOOLS] if self._is_sound(tool, result)]
        return result

    def _is_sound(self, tool: Any, result: dict[str, Any]) -> bool:
        version = self.session.protocol_version if self.session is not None else None
        try:
            types.Tool.model_validate(tool, by_name=False)
            methods.validate_server_result(LIST_TOOLS, version or "2025-11-25", {**result, "tools": [tool]})
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(step) for step in problem["loc"])
            self.refused.leave_out(tool.get("name") if isinstance(tool, dict) else tool, f"{where}: {problem['msg']}")
            return False
        return True


@asynccontextmanager
async def opened_session(
    streams: Streams, troubles: Troubles, *, on_log: LoggingFnT, on_message: MessageHandlerFnT
) -> AsyncIterator["Session"]:
    """Open a session over the streams of a transport; it has yet to be begun."""
    dispatcher = Dispatcher(*streams)
    client = ClientSession(
        dispatcher=dispatcher,
        logging_callback=on_log,
        message_handler=on_message,
        client_info=types.Implementation(name="gql_app", version=version("gql-app")),
        log_level=_LOG_LEVEL,
    )
    dispatcher.session, dispatcher.refused = client, Listing()
    async with client:
        yield Session(client, dispatcher, troubles)


class Session:
    """A session, by the protocol's older or newer rules, whichever the server knows."""

    def __init__(self, client: ClientSession, dispatcher: Dispatcher, troubles: Troubles) -> None:
        self.client = client
        self.troubles = troubles
        self._dispatcher = dispatcher

    async def begin(self) -> None:
        """Agree on a version of the protocol: the newer way is asked for first. Raises `MCPError`."""
        for last in (False, True):
            try:
                await self.client.discover()
            except (MCPError, ValidationError, RuntimeError):
                try:
                    await self.client.initialize()
                except MCPError as error:
                    # What was asked first may have been understood too late to be heard.
                    if last or error.code != types.UNSUPPORTED_PROTOCOL_VERSION:
                        raise
                    continue
            break
        await self._ask_for_logs()

    async def _ask_for_logs(self) -> None:
        capabilities = self.client.server_capabilities
        if self.client.initialize_result is None or capabilities is None or capabilities.logging is None:
            return
        request = types.SetLevelRequest(params=types.SetLevelRequestParams(level=_LOG_LEVEL))
        try:
            await self.client.send_request(request, types.EmptyResult)
        except (MCPError, ValidationError):
            return

    @property
    def announces(self) -> bool:
        """Whether the server says when its tools have changed."""
        capabilities = self.client.server_capabilities
        tools = None if capabilities is None else capabilities.tools
        return tools is not None and bool(tools.list_changed)

    @property
    def is_modern(self) -> bool:
        """Whether there are no news but those that are asked for."""
        return self.client.initialize_result is None

    async def list_tools(self, prefix: str, known: Mapping[str, ListedTool]) -> Listing:
        """List the tools, page by page. Raises `MCPError`."""
        capabilities = self.client.server_capabilities
        listing = self._dispatcher.refused = Listing()
        if capabilities is not None and capabilities.tools is None:
            return listing
        told: list[types.Tool] = []
        cursor: str | None = None
        for _ in range(MAXIMUM_PAGES):
            params = None if cursor is None else types.PaginatedRequestParams(cursor=cursor)
            page = await self.client.list_tools(params=params)
            told += page.tools
            cursor = page.next_cursor
            if cursor is None or len(told) > MAXIMUM_TOOLS:
                break
        if cursor is not None:
            listing.leave_out("…", "the list goes on for too long, and was not read to its end")
        # Checking schemas takes its time, and others want the loop.
        return await to_thread.run_sync(take_in, prefix, told, listing, known, abandon_on_cancel=True)
