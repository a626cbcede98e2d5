"""The tool `agent`, as the service has it: what needs pydantic-ai comes with the first call."""

import asyncio
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import anyio.to_thread

from gql_app.agents.input import AgentInput, AgentOutput
from gql_app.agents.keys import Keys
from gql_app.agents.nesting import AGENT
from gql_app.core.ids import Namespace
from gql_app.core.plan import ToolDefinition
from gql_app.core.spec import RetryPolicy, TimeoutPolicy
from gql_app.core.values import Json
from gql_app.ports import Tool, ToolContext, Tools
from gql_app.settings import Settings
from gql_app.tools.decorator import tool
from gql_app.tools.registry import ToolRegistry

if TYPE_CHECKING:
    from httpx2 import AsyncClient

RETRY: Final = RetryPolicy(maximum_attempts=2)
"""Requests and calls of tools are tried again by themselves."""
TIMEOUT: Final = TimeoutPolicy(attempt_seconds=1_800.0)
_RUNNING: Final = "gql_app.agents.running"


class AgentTool:
    """The tool. All its calls share one pool of connections, which is opened by the first."""

    def __init__(self, settings: Settings, tools: Tools) -> None:
        self._settings = settings
        self._tools = tools
        self._keys = Keys()
        self._http: AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tool = tool(name=AGENT, retry=RETRY, timeout=TIMEOUT)(self._run)

    @property
    def definition(self) -> ToolDefinition:
        """Everything known without a call."""
        return self._tool.definition

    def parse(self, value: Json) -> Json:
        """Check a resolved input. Raises `InvalidInputError`."""
        return self._tool.parse(value)

    async def call(self, arguments: Json, context: ToolContext) -> Json:
        """Run the agent."""
        return await self._tool.call(arguments, context)

    def run(self, arguments: Json, context: ToolContext) -> Json:
        """Refuse: the tool is async."""
        raise TypeError("agent is async: await `call`.")

    async def aclose(self) -> None:
        """Close the connections. A later call opens new ones."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def _run(self, request: AgentInput, context: ToolContext) -> AgentOutput:
        """Let a language model work on a prompt with the tools it is given, until it has an answer.

        Every request to the model and every call of a tool is a step: what has been done is not done again.
        """
        if _RUNNING not in sys.modules:
            # It takes a second.
            await anyio.to_thread.run_sync(import_module, _RUNNING)
        from gql_app.agents.running import run_agent  # noqa: PLC0415 - see the line above

        tools = self._tools.definitions(context.namespace)
        with self._keys.lent(request, context) as asked:
            return await run_agent(asked, context, tools, self._settings, self._open)

    async def _open(self) -> "AsyncClient":
        from pydantic_ai.models import create_async_httpx2_client  # noqa: PLC0415 - it is an extra

        loop = asyncio.get_running_loop()
        if self._http is None or self._loop is not loop:
            # Reading the certificates takes a tenth of a second.
            http = await anyio.to_thread.run_sync(create_async_httpx2_client)
            if self._http is None or self._loop is not loop:
                self._http, self._loop = http, loop
        return self._http


class AgentsNotInstalled:
    """Says what to install, in the place of the tool."""

    @property
    def prefix(self) -> str:
        """Stand for the tool."""
        return AGENT

    def tools(self) -> Mapping[str, Tool]:
        """Bring none."""
        return {}

    def stand_in(self, name: str) -> Tool | None:
        """Have nothing to call."""
        return None

    def is_for(self, namespace: Namespace) -> bool:
        """Tell everybody."""
        return True

    def why_missing(self, name: str) -> str:
        """Say what to install."""
        return "Install what agents need: pip install 'gql-app[agents]'." if name == AGENT else ""


def add_agents(registry: ToolRegistry, settings: Settings) -> None:
    """Add the tool, if what it needs is installed: nothing of that is imported for it."""
    if find_spec("pydantic_ai") is None:
        registry.publish(AgentsNotInstalled())
    else:
        registry.add(AgentTool(settings, registry))
