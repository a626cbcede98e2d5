"""The last resort: an exception that nobody expected is logged once and told to nobody."""

import logging
import secrets
from http import HTTPStatus
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from gql_app.web.refusals import refuse

logger: Final = logging.getLogger(__name__)
_INTERNAL_ERROR: Final = 1011


class MaskedFailures:
    """Answers 500 with an id that is in the log, where everything else about the failure is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        last: str | None = None

        async def watch(message: Message) -> None:
            nonlocal last
            last = message["type"]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except (ClientDisconnect, WebSocketDisconnect):
            logger.debug("The client of %s has gone.", scope["path"])
        except Exception:
            reference = secrets.token_hex(8)
            logger.exception("Internal error %s at %s", reference, scope["path"])
            await _tell(scope, receive, send, reference, last)


async def _tell(scope: Scope, receive: Receive, send: Send, reference: str, last: str | None) -> None:
    """Tell the client, as far as what was sent last leaves room for it."""
    message = f"Internal error (id {reference})."
    if scope["type"] == "websocket" and last != "websocket.close":
        await send({"type": "websocket.close", "code": _INTERNAL_ERROR, "reason": message})
    elif scope["type"] == "http" and last is None:
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        await refuse(scope, status, "INTERNAL", message, id=reference)(scope, receive, send)
