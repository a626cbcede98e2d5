"""Who may open a websocket: programs, our own pages, and pages of allowed origins."""

from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from gql_app.settings import Settings
from gql_app.web.refusals import refuse
from gql_app.web.sockets.connection import Connection
from gql_app.web.sockets.guests import Guests
from gql_app.web.sockets.messages import PROTOCOL, CloseCode

_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


class GraphQLSockets:
    """Opens websockets and serves each until it is closed; foreign pages are refused with 403."""

    def __init__(self, settings: Settings) -> None:
        self._maximum = settings.maximum_subscriptions
        self._origins = frozenset(map(_written, settings.allowed_origins))
        self._guests = Guests()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one websocket."""
        await receive()
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is not None and not self._may_come_from(origin, headers):
            await _refuse(origin, scope, receive, send)
        elif PROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            code = CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE
            await send(
                {"type": "websocket.close", "code": code, "reason": f"Subprotocol not acceptable: {PROTOCOL} is"}
            )
        else:
            await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
            await Connection(scope, receive, send, self._guests, maximum=self._maximum).serve()

    def _may_come_from(self, origin: str, headers: Headers) -> bool:
        """Whether a page of this origin may connect. Only browsers send one, and they send the true one."""
        written = _written(origin)
        if written in self._origins or headers.get("sec-fetch-site") == "same-origin":
            return True
        scheme, _, address = written.partition("://")
        return address == _without_default_port(scheme, headers.get("host", "").lower())


async def _refuse(origin: str, scope: Scope, receive: Receive, send: Send) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        # Closed before it is accepted, a websocket is refused with 403 too.
        await send({"type": "websocket.close", "code": 1008})
        return
    message = (
        f"Pages of {origin[:256]!r} may not connect: only our own, and those of origins that are allowed"
        " by `serve --allow-origin` (GQL_APP_ALLOWED_ORIGINS)."
    )
    await refuse(scope, HTTPStatus.FORBIDDEN, "FOREIGN_ORIGIN", message)(scope, receive, send)


def _written(origin: str) -> str:
    """Write an origin as browsers do: in lower case, without the port that its scheme has anyway."""
    scheme, colon, address = origin.lower().partition("://")
    return f"{scheme}{colon}{_without_default_port(scheme, address)}"


def _without_default_port(scheme: str, address: str) -> str:
    return address.removesuffix(_DEFAULT_PORTS.get(scheme, ""))
