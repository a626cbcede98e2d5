"""Calls of tools over one session: what a server says meanwhile goes to the call that it is about."""

import logging
import math
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

import anyio
import orjson
from mcp import types
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from gql_app.core.errors import InvalidOutputError, ToolError, ToolServerUnavailableError
from gql_app.core.plan import ToolDefinition
from gql_app.core.redaction import Redactor
from gql_app.core.values import Json
from gql_app.mcp.results import RESULT, as_error, as_json
from gql_app.mcp.session import Session
from gql_app.ports import ToolContext

logger: Final = logging.getLogger(__name__)

IDEMPOTENCY_KEY: Final = "gql-app/idempotencyKey"
"""Under this name in `_meta` a server finds a key that is the same for every attempt of a node."""
MESSAGE_CHARACTERS: Final = 4_000

_LEVELS: Final = {"debug": "debug", "info": "info", "notice": "info", "warning": "warning"}
_calling: ContextVar["_Call | None"] = ContextVar("calling", default=None)


class _Call:
    """One call, while it goes on."""

    __slots__ = ("context", "redactor")

    def __init__(self, context: ToolContext, redactor: Redactor) -> None:
        self.context = context
        self.redactor = redactor

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:
        """Show how far the server says it is: a fraction if it says how much there is in all, else its words."""
        known = total is not None and math.isfinite(total) and total > 0 and math.isfinite(progress)
        fraction = min(1.0, max(0.0, progress / total)) if known and total is not None else None
        if message is None and fraction is None and math.isfinite(progress):
            message = f"{progress:g}"
        self.context.progress(fraction, None if message is None else self.redactor.hide(message[:MESSAGE_CHARACTERS]))


class Calls:
    """All calls of one server."""

    def __init__(self, server: str, redactor: Callable[[], Redactor], *, shared: bool) -> None:
        self._server = server
        self._shared = shared
        self._redactor = redactor
        self._current: set[_Call] = set()

    def __len__(self) -> int:
        return len(self._current)

    async def call(
        self, session: Session, tool: ToolDefinition, arguments: dict[str, Json], context: ToolContext
    ) -> Json:
        """Call a tool; cancelling this tells the server. Raises a `ToolError` for whatever goes wrong."""
        call = _Call(context, self._redactor())
        token = _calling.set(call)
        self._current.add(call)
        try:
            output = as_json(tool, await self._send(session, tool, arguments, call))
        except ToolError as error:
            error.args = (call.redactor.hide_in_message(str(error)),)
            raise
        finally:
            self._current.discard(call)
            _calling.reset(token)
        return call.redactor.hide_in(output) if call.redactor else output

    async def _send(
        self, session: Session, tool: ToolDefinition, arguments: dict[str, Json], call: _Call
    ) -> types.CallToolResult | types.InputRequiredResult:
        fields = {
            "name": tool.name.split(".", 2)[2],
            "arguments": arguments,
            "_meta": {IDEMPOTENCY_KEY: call.context.idempotency_key},
        }
        params = types.CallToolRequestParams.model_validate(fields)
        try:
            return await session.client.send_request(
                types.CallToolRequest(params=params), RESULT, progress_callback=call.progress
            )
        except MCPError as error:
            raise as_error(self._server, error) from None
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(step) for step in problem["loc"])
            raise InvalidOutputError(
                f"The MCP server {self._server!r} gave what is no result of a tool: {where}: {problem['msg']}."
            ) from None
        except (RuntimeError, OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ToolServerUnavailableError(f"The MCP server {self._server!r} went away: {error}") from None

    async def log(self, params: types.LoggingMessageNotificationParams) -> None:
        """Show a line of a server's log in the run it is about, if that is known: over HTTP, or in the only call.

        Where several namespaces share the server, the only call may still not be the one of a late line.
        """
        call = _calling.get()
        if call is None and len(self._current) == 1 and not self._shared:
            call = next(iter(self._current))
        message = self._redactor().hide(_text(params.data))
        if call is None or call not in self._current:
            logger.info("MCP server %r: %s", self._server, message, extra={"level_there": params.level})
            return
        fields = {} if params.logger is None else {"logger": params.logger[:200]}
        call.context.log(_LEVELS.get(params.level, "error"), message, **fields)


def _text(data: Json) -> str:
    text = data if isinstance(data, str) else orjson.dumps(data, default=str).decode()
    return text[:MESSAGE_CHARACTERS]
