"""Keeps web pages from reaching a service on loopback under a name of their own (DNS rebinding)."""

import ipaddress
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gql_app.web.refusals import refuse

_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


class LocalHosts:
    """Answers only requests whose Host header names this machine, or `host`, which the server is bound to."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app = app
        self.names = _LOCAL_NAMES | {host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is meant for us."""
        if scope["type"] == "lifespan" or _host_name(Headers(scope=scope).getlist("host")) in self.names:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Closed before it is accepted, a websocket is refused with 403.
            await send({"type": "websocket.close", "code": 1008})
        else:
            message = (
                "This service listens on loopback and answers to localhost, 127.0.0.1 and [::1] only."
                " Start it with another --host (GQL_APP_HOST) to serve it under other names."
            )
            await refuse(scope, HTTPStatus.MISDIRECTED_REQUEST, "UNKNOWN_HOST", message)(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_name(headers: list[str]) -> str | None:
    """Take the name out of the one Host header there must be."""
    if len(headers) != 1:
        return None
    name, colon, port = headers[0].rpartition(":")
    if not colon or "]" in port:
        return headers[0].lower()
    return name.lower() if port.isdigit() else None
