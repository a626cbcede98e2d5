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
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] in {"http.response.start", "websocket.accept"}
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except (ClientDisconnect, WebSocketDisconnect):
            logger.debug("The client of %s has gone.", scope["path"])
        except Exception:
            reference = secrets.token_hex(8)
            logger.exception("Internal error %s at %s", reference, scope["path"])
            await _tell(scope, receive, send, reference, started=started)


async def _tell(scope: Scope, receive: Receive, send: Send, reference: str, *, started: bool) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _INTERNAL_ERROR, "reason": f"Internal error (id {reference})."})
    elif not started:
        message = f"Internal error (id {reference})."
        answer = refuse(scope, HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL", message, id=reference)
        await answer(scope, receive, send)
