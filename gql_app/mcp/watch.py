"""Looks after a connection: follows the tools of its server, and notices when it is lost."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from mcp import types
from mcp.client.subscriptions import SubscriptionLost, listen
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from gql_app.mcp.listing import Listing
from gql_app.mcp.session import Session

logger: Final = logging.getLogger(__name__)

LIST_SECONDS: Final = 30.0
"""How long a server that is connected may take to list its tools again."""
CHECK_SECONDS: Final = 60.0
"""How often a server at an address is asked whether it is still there."""
PAUSE_SECONDS: Final = 5.0
"""How long to wait before news are asked for again that have ended."""
QUIET_SECONDS: Final = 0.5
"""How long the tools of a server stay as they are at least, however often it says that they have changed."""


class LostError(Exception):
    """The connection is lost; the message says why."""


class Watch:
    """Follows one session. `patient` tells whether a server that does not answer well is left alone."""

    def __init__(
        self,
        server: str,
        session: Session,
        *,
        list_tools: Callable[[], Awaitable[Listing]],
        adopt: Callable[[Listing], None],
        interval: float | None,
        patient: Callable[[], bool],
    ) -> None:
        self._server = server
        self._session = session
        self._troubles = session.troubles
        self._list_tools = list_tools
        self._adopt = adopt
        self._interval = interval
        self._patient = patient

    async def follow(self) -> None:
        """List the tools again whenever they may have changed. Raises `LostError` when the connection is lost."""
        async with anyio.create_task_group() as tasks:
            if self._session.is_modern and self._session.announces:
                tasks.start_soon(self._listen)
            while True:
                with anyio.move_on_after(self._interval):
                    await self._troubles.news.wait()
                if self._troubles.lost.is_set():
                    raise LostError(self._troubles.reason or "It is lost")
                self._troubles.look()
                await self._list()
                with anyio.move_on_after(QUIET_SECONDS):
                    await self._troubles.lost.wait()

    async def _list(self) -> None:
        doubt, self._troubles.doubt = self._troubles.doubt, None
        try:
            with anyio.fail_after(LIST_SECONDS):
                listing = await self._list_tools()
        except (MCPError, TimeoutError, ValidationError) as error:
            closed = isinstance(error, MCPError) and error.code == types.CONNECTION_CLOSED
            if doubt is None and not closed and (isinstance(error, TimeoutError) or self._patient()):
                logger.warning("MCP server %r did not list its tools: %s", self._server, error)
                return
            raise LostError(str(error) or doubt or "It did not answer") from None
        self._adopt(listing)

    async def _listen(self) -> None:
        """Hear of changes by the newer rules: the news must be asked for, and nobody keeps those that were missed."""
        while True:
            try:
                async with listen(self._session.client, tools_list_changed=True) as news:
                    self._troubles.change()
                    async for _ in news:
                        self._troubles.change()
            except SubscriptionLost:
                self._troubles.suspect("It is lost")
            except MCPError as error:
                if error.code == types.METHOD_NOT_FOUND:
                    return
                self._troubles.suspect(str(error))
            await anyio.sleep(PAUSE_SECONDS)
