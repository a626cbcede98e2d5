"""Lets clients in: says who they are, what they may do, and for how long."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from gql_app.core.access import ANYBODY, Identity, Scope
from gql_app.core.values import Json
from gql_app.web.refusals import refuse

CHALLENGE: Final = 'Bearer realm="gql_app"'
"""What the header `WWW-Authenticate` asks for."""


class UnauthenticatedError(Exception):
    """Nobody knows who that is; the message says what to do about it, and never what the token was.

    `code` is that of RFC 6750; None if no token was given.
    """

    def __init__(self, message: str, *, code: str | None = "invalid_token") -> None:
        super().__init__(message)
        self.code = code

    @property
    def challenge(self) -> str:
        """The header `WWW-Authenticate` of an answer that says so."""
        return CHALLENGE if self.code is None else _challenge(self.code, str(self))


class ForbiddenError(Exception):
    """Who asks is known, but may not do that."""

    def __init__(self, identity: Identity, scope: Scope) -> None:
        super().__init__(f"{identity.name!r} may not do that: it needs the scope {scope.value!r}.")
        self.scope = scope

    @property
    def challenge(self) -> str:
        """The header `WWW-Authenticate` of an answer that says so."""
        return f'{_challenge("insufficient_scope", "The token lacks a scope.")}, scope="{self.scope.value}"'


class Gate:
    """Lets everybody do everything: the gate of a service without authentication."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Let people in until the end of the block."""
        yield

    def problem(self) -> str | None:
        """Say what is wrong with what the gate goes by, if anything. Everybody may hear it."""
        return None

    async def admit(self, connection: HTTPConnection, payload: Mapping[str, Json] | None = None) -> Identity:
        """Say who asks: by the header `Authorization`, or by the payload of a websocket's `connection_init`.

        Without a token it is somebody who may do nothing. Raises `UnauthenticatedError` for one that is not good.
        """
        return ANYBODY

    async def until_invalid(self, identity: Identity) -> str:
        """Return once somebody who was let in is to be let go, and say why. May wait for ever."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never


async def require(request: Request, scope: Scope) -> Identity:
    """Say who asks, if they may do what `scope` stands for. Raises `UnauthenticatedError` and `ForbiddenError`."""
    gate: Gate = request.state.gate
    identity = await gate.admit(request)
    if not identity.scopes:
        raise UnauthenticatedError("Send a token in the header `Authorization: Bearer …`.", code=None)
    if not identity.may(scope):
        raise ForbiddenError(identity, scope)
    return identity


def refuse_caller(request: Request, error: Exception) -> Response:
    """Make the answer for who is not known, or may not do what they asked for."""
    if isinstance(error, ForbiddenError):
        status, code = HTTPStatus.FORBIDDEN, "FORBIDDEN"
    else:
        assert isinstance(error, UnauthenticatedError)
        status, code = HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED"
    return refuse(request.scope, status, code, str(error), headers={"www-authenticate": error.challenge})


def _challenge(code: str, description: str) -> str:
    plain = description.replace("\\", "").replace('"', "'").encode("ascii", "replace").decode()
    return f'{CHALLENGE}, error="{code}", error_description="{plain}"'
