"""Opens websockets to programs, to our own pages and to pages of allowed origins."""

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gql_app.settings import Settings
from gql_app.web.foreign import check_site
from gql_app.web.refusals import RefusedRequestError
from gql_app.web.sockets.connection import Connection
from gql_app.web.sockets.guests import Guests
from gql_app.web.sockets.messages import PROTOCOL, CloseCode


class GraphQLSockets:
    """Serves every websocket until it is closed; pages of other origins are refused with 403."""

    def __init__(self, settings: Settings) -> None:
        self._allowed_origins = settings.allowed_origins
        self._maximum = settings.maximum_subscriptions
        self._guests = Guests()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one websocket."""
        await receive()
        try:
            check_site(dict(scope["headers"]), self._allowed_origins)
        except RefusedRequestError as error:
            await _refuse(error, scope, receive, send)
            return
        if PROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            code, reason = CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE, f"Subprotocol not acceptable; speak {PROTOCOL}"
            await send({"type": "websocket.close", "code": code, "reason": reason})
            return
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
        await Connection(scope, receive, send, self._guests, maximum=self._maximum).serve()


async def _refuse(error: RefusedRequestError, scope: Scope, receive: Receive, send: Send) -> None:
    if "websocket.http.response" in scope.get("extensions", {}):
        await Response(error.body, error.status, media_type="application/json")(scope, receive, send)
    else:
        # Closed before it is accepted, a websocket is refused with 403 too.
        await send({"type": "websocket.close", "code": 1008})
