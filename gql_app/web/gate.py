"""Lets clients in: says who they are, and for how long."""

import asyncio
from collections.abc import Mapping

from starlette.requests import HTTPConnection

from gql_app.core.access import ANYBODY, Identity
from gql_app.core.values import Json


class UnauthenticatedError(Exception):
    """Nobody knows who that is; the message says what to do about it."""


class Gate:
    """Lets everybody do everything: the gate of a service without authentication."""

    async def admit(self, connection: HTTPConnection, payload: Mapping[str, Json] | None = None) -> Identity:
        """Say who asks: by the header `Authorization`, or by the payload of a websocket's `connection_init`.

        Raises `UnauthenticatedError`.
        """
        return ANYBODY

    async def until_invalid(self, identity: Identity) -> str:
        """Return once somebody who was let in is to be let go, and say why. May wait for ever."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never
