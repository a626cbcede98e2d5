"""Keeps web pages from reaching the service under a name of their own (DNS rebinding)."""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gql_app.settings import Settings
from gql_app.web.refusals import refuse

_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


class KnownHosts:
    """Answers only requests whose Host header names the service: a local name, or one of `names`."""

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self.app = app
        self.names = _LOCAL_NAMES | {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is meant for us."""
        if scope["type"] == "lifespan" or _host_name(Headers(scope=scope).getlist("host")) in self.names:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Closed before it is accepted, a websocket is refused with 403.
            await send({"type": "websocket.close", "code": 1008})
        else:
            message = (
                f"This service answers to {', '.join(sorted(self.names))} only."
                " Tell it the other names that it is to be served under (GQL_APP_ALLOWED_HOSTS)."
            )
            await refuse(scope, HTTPStatus.MISDIRECTED_REQUEST, "UNKNOWN_HOST", message)(scope, receive, send)


class OwnMachine:
    """Answers only requests of this machine: for a service that asks nobody who they are, whoever it is bound by."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what came over loopback, or over no network at all."""
        if scope["type"] == "lifespan" or _is_local(scope.get("server")):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            message = (
                "This service asks nobody who they are, so it answers to its own machine only. Let in those who bring"
                " a key (GQL_APP_KEYS_FILE) or a JWT (GQL_APP_JWT_ISSUER), or everybody (GQL_APP_INSECURE=true)."
            )
            await refuse(scope, HTTPStatus.FORBIDDEN, "LOCAL_ONLY", message)(scope, receive, send)


def known_names(settings: Settings) -> frozenset[str] | None:
    """Tell the names that a service is reached by, beside the local ones; None if they cannot be known."""
    if is_loopback(settings.host):
        return frozenset({settings.host, *settings.allowed_hosts})
    return frozenset(settings.allowed_hosts) or None


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_local(server: Sequence[str | int | None] | None) -> bool:
    """Tell whether a connection was made to this address by this machine; a socket in the file system has none."""
    return server is None or server[1] is None or is_loopback(str(server[0]))


def _host_name(headers: list[str]) -> str | None:
    """Take the name out of the one Host header there must be."""
    if len(headers) != 1:
        return None
    name, colon, port = headers[0].rpartition(":")
    if not colon or "]" in port:
        return headers[0].lower()
    return name.lower() if port.isdigit() else None
