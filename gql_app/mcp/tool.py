"""A tool of an MCP server."""

from typing import Protocol

from gql_app.core.errors import ToolError
from gql_app.core.plan import ToolDefinition
from gql_app.core.values import Json
from gql_app.mcp.results import check_input
from gql_app.ports import ToolContext


class Caller(Protocol):
    """Where a tool is called."""

    async def call(self, tool: ToolDefinition, arguments: dict[str, Json], context: ToolContext) -> Json:
        """Call a tool."""
        ...


class McpTool:
    """A tool that its server calls. `definition` is what the server said of it last."""

    def __init__(self, definition: ToolDefinition, server: Caller) -> None:
        self.definition = definition
        self._server = server

    def parse(self, value: Json) -> Json:
        """Check a resolved input. Raises `InvalidInputError`."""
        return check_input(self.definition, value)

    async def call(self, arguments: Json, context: ToolContext) -> Json:
        """Call the tool. Raises a `ToolError` for whatever goes wrong."""
        return await self._server.call(self.definition, arguments, context)

    def run(self, arguments: Json, context: ToolContext) -> Json:
        """Refuse: the tool is async."""
        raise ToolError(f"{self.definition.name} runs on the event loop.", retryable=False)
