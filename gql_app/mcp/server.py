"""One MCP server: a task of its own connects it, looks after it, and starts it again when it is lost."""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from enum import Enum, auto
from typing import Final, Protocol

import anyio
from mcp import types
from mcp.client.session import IncomingMessage
from mcp.shared.exceptions import MCPError

from gql_app.core.errors import ToolError, ToolServerUnavailableError
from gql_app.core.ids import Namespace
from gql_app.core.plan import ToolDefinition
from gql_app.core.redaction import Redactor
from gql_app.core.values import Json
from gql_app.mcp.backoff import SETTLED_SECONDS, delay
from gql_app.mcp.calls import Calls
from gql_app.mcp.config import ServerConfig
from gql_app.mcp.listing import ListedTool, Listing
from gql_app.mcp.session import Session, opened_session
from gql_app.mcp.tool import McpTool
from gql_app.mcp.troubles import Streams, Troubles
from gql_app.mcp.watch import CHECK_SECONDS, LostError, Watch
from gql_app.ports import Tool, ToolContext

logger: Final = logging.getLogger(__name__)

PREFIX: Final = "mcp."
_REASON_CHARACTERS: Final = 500


class State(Enum):
    """How a server is."""

    CONNECTING = auto()
    CONNECTED = auto()
    WAITING = auto()
    """For its next turn, after a failure."""
    CLOSED = auto()


class Connector(Protocol):
    """Opens connections to one server, with its secrets as they are then."""

    @property
    def redactor(self) -> Redactor:
        """Takes the secrets out that the server was handed."""
        ...

    @property
    def starts_it(self) -> bool:
        """Whether the server is a program that is started."""
        ...

    def open(self, troubles: Troubles) -> AbstractAsyncContextManager[Streams]:
        """Start the server, or reach it."""
        ...


class McpServer:
    """A server and its tools, as a source of them. `run` it in a task of its own."""

    def __init__(
        self,
        name: str,
        config: ServerConfig,
        connector: Connector,
        *,
        connect_seconds: float,
        publish: Callable[["McpServer"], None],
        random: Callable[[], float],
    ) -> None:
        self.name = name
        self.prefix = f"{PREFIX}{name}."
        self.tried = anyio.Event()
        """Set once it was connected, or could not be."""
        self._config = config
        self._connector = connector
        self._connect_seconds = connect_seconds
        self._publish = publish
        self._random = random
        self._calls = Calls(name, lambda: connector.redactor, shared=config.shared)
        self._state = State.CONNECTING
        self._turned = asyncio.Event()
        self._reason = "It has not answered yet"
        self._again_at = 0.0
        self._settles_at = math.inf
        """When it has been connected for so long that it is not one that dies each time."""
        self._session: Session | None = None
        self._listing: Listing | None = None
        self._tools: dict[str, McpTool] = {}

    # What the registry asks

    def tools(self) -> Mapping[str, Tool]:
        """Tell the tools as they were last known."""
        return self._tools

    def stand_in(self, name: str) -> Tool | None:
        """Give a tool to call for one that may be there once the server has told its tools for the first time."""
        return McpTool(ToolDefinition(name=name), self) if self._listing is None else None

    def is_for(self, namespace: Namespace) -> bool:
        """Tell whether a namespace may use the tools."""
        return self._config.is_for(namespace)

    def why_missing(self, name: str) -> str | None:
        """Say why a tool is not there: the server is not connected, or the tool was left out."""
        if self._state is not State.CONNECTED:
            return f"The MCP server `{self.name}`: {self.problem()}"
        reason = None if self._listing is None else self._listing.reason(name.removeprefix(self.prefix))
        return None if reason is None else f"The MCP server `{self.name}` has it, but it is left out: {reason}."

    def problem(self) -> str | None:
        """Say what is wrong with the server, if anything is."""
        if self._state is State.CONNECTED:
            return None if self._listing is None else self._listing.problem()
        again = ""
        if self._state is State.WAITING:
            again = f" It is tried again in {max(0.0, self._again_at - anyio.current_time()):.0f} s."
        return f"It is not connected. {self._reason}.{again}"

    # Calls

    async def call(self, tool: ToolDefinition, arguments: dict[str, Json], context: ToolContext) -> Json:
        """Call a tool once the server is connected. Raises a `ToolError` for whatever goes wrong."""
        if not self.is_for(context.namespace):
            raise ToolError(f"There is no tool {tool.name!r} here.", type="UnknownTool", retryable=False)
        known = tool.name in self._tools or self._listing is not None
        session = await self._wait_for_session()
        if not known:
            found = self._tools.get(tool.name)
            if found is None:
                raise ToolError(f"There is no tool {tool.name!r} here any more.", type="UnknownTool", retryable=False)
            tool, arguments = found.definition, found.parse(arguments)
        try:
            return await self._calls.call(session, tool, arguments, context)
        except ToolServerUnavailableError as error:
            reason = session.troubles.reason
            if reason is None:
                raise
            told = self._connector.redactor.hide_in_message(f"{error} {reason}.")
            raise ToolServerUnavailableError(told, retry_after=error.retry_after) from None

    async def _wait_for_session(self) -> Session:
        while self._session is None:
            if self._state in (State.WAITING, State.CLOSED):
                message = f"The MCP server {self.name!r} is not connected. {self._reason}."
                wait = self._again_at - anyio.current_time() if self._state is State.WAITING else None
                raise ToolServerUnavailableError(message, retry_after=None if wait is None else max(0.0, wait))
            await self._turned.wait()
        return self._session

    # The connection

    async def run(self) -> None:
        """Keep the server connected until this is cancelled."""
        failures = 0
        try:
            while True:
                self._turn(State.CONNECTING)
                self._settles_at = math.inf
                self._reason = await self._connect()
                failures = 1 if anyio.current_time() > self._settles_at else failures + 1
                wait = delay(failures, self._random())
                logger.warning("MCP server %r is lost; again in %.1f s. %s.", self.name, wait, self._reason)
                self._again_at = anyio.current_time() + wait
                self._turn(State.WAITING)
                self.tried.set()
                await anyio.sleep(wait)
        finally:
            self._reason = "The service is closing"
            self._turn(State.CLOSED)

    def _turn(self, state: State) -> None:
        self._state = state
        self._turned.set()
        self._turned = asyncio.Event()

    async def _connect(self) -> str:
        """Connect the server, look after it, and say in the end why it is lost."""
        troubles, why = Troubles(), "It is lost"
        try:
            async with self._connector.open(troubles) as streams:
                try:
                    await self._talk(streams, troubles)
                except Exception as error:
                    # Before the transport closes: a server that ends since we end it has no fault in that.
                    troubles.lose(self._why(_first(error), troubles))
                    raise
        except* Exception as group:  # noqa: BLE001 - an edge: whatever is wrong with a server, the others go on
            why = self._why(_first(group), troubles)
        return why

    async def _talk(self, streams: Streams, troubles: Troubles) -> None:
        """Begin a session, and look after it until it is lost."""

        async def hear(message: IncomingMessage) -> None:
            if isinstance(message, types.ToolListChangedNotification):
                troubles.change()

        async with opened_session(streams, troubles, on_log=self._calls.log, on_message=hear) as session:
            with anyio.fail_after(self._connect_seconds):
                await session.begin()
                listing = await session.list_tools(self.prefix, self._known())
            self._session, self._settles_at = session, anyio.current_time() + SETTLED_SECONDS
            self._adopt(listing)
            self._turn(State.CONNECTED)
            self.tried.set()
            logger.info("MCP server %r is connected and has %d tools.", self.name, len(self._tools))
            try:
                await self._watch(session).follow()
            finally:
                self._session = None

    def _why(self, error: Exception, troubles: Troubles) -> str:
        if troubles.reason is not None:
            reason = troubles.reason
        elif isinstance(error, TimeoutError):
            noise = f"; it wrote what is no message: {troubles.noise}" if troubles.noise else ""
            reason = f"It did not answer within {self._connect_seconds:g} s{noise}"
        elif isinstance(error, MCPError | ToolError | LostError):
            reason = str(error)
        elif isinstance(error, OSError):
            reason = f"It cannot be started: {error.strerror or error}"
        else:
            reason = f"{type(error).__name__}: {error}"
            logger.debug("MCP server %r failed.", self.name, exc_info=error)
        told = " ".join(self._connector.redactor.hide_in_message(reason).split())
        return told[:_REASON_CHARACTERS].rstrip(".") or type(error).__name__

    def _watch(self, session: Session) -> Watch:
        return Watch(
            self.name,
            session,
            list_tools=lambda: session.list_tools(self.prefix, self._known()),
            adopt=self._adopt,
            interval=None if self._connector.starts_it else CHECK_SECONDS,
            # It may be busy with calls, which nobody should lose for that.
            patient=lambda: self._connector.starts_it or bool(self._calls),
        )

    def _known(self) -> Mapping[str, ListedTool]:
        return {} if self._listing is None else self._listing.tools

    def _adopt(self, listing: Listing) -> None:
        """Take over the tools that the server tells now."""
        before, self._listing = self._known(), listing
        if problem := listing.problem():
            logger.warning("MCP server %r: %s", self.name, problem)
        if self._tools and before == listing.tools:
            return
        self._tools = {
            name: self._tools[name] if before.get(name) is listed else McpTool(listed.definition, self)
            for name, listed in listing.tools.items()
        }
        self._publish(self)


def _first(error: Exception) -> Exception:
    """Give the error that a group is about; that a connection is lost says less than any other."""
    errors: list[Exception] = []
    waiting: list[BaseException] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(one.exceptions)
        elif isinstance(one, Exception):
            errors.append(one)
    return min(errors, key=lambda one: isinstance(one, LostError))
