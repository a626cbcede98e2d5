"""The gate of a service that asks who comes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime

from starlette.requests import HTTPConnection

from gql_app.core.access import Identity
from gql_app.core.values import Json
from gql_app.web.auth.bearer import find_token
from gql_app.web.auth.endings import Endings
from gql_app.web.auth.jwts import TokenReader
from gql_app.web.auth.key_sources import KeySource, KnownKey
from gql_app.web.auth.keys import PREFIX, key_id_of
from gql_app.web.auth.refused import RefusedCallers
from gql_app.web.gate import Gate, UnauthenticatedError

NOBODY = Identity(name="nobody")
"""Who brings no token: may do nothing that needs a scope."""


class UnknownKeyError(UnauthenticatedError):
    """There is no such key."""


class DeadKeyError(UnauthenticatedError):
    """The key was good, and is not any more."""


class TokenGate(Gate):
    """Lets in who brings an API key or a JWT that is good, and for as long as it is."""

    def __init__(
        self,
        *,
        keys: Sequence[KeySource],
        tokens: TokenReader | None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._now = now
        self._refused = RefusedCallers()
        self.endings = Endings(self._fault)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Let people in, and let them go when their time is over, until the end of the block."""
        async with AsyncExitStack() as stack:
            for source in self._keys:
                await stack.enter_async_context(source.opened())
            watching = asyncio.create_task(self.endings.watch())
            try:
                yield
            finally:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching

    def problem(self) -> str | None:
        """Say what is wrong with what the gate goes by, if anything. Everybody may hear it."""
        return " ".join(filter(None, (source.problem() for source in self._keys))) or None

    async def admit(self, connection: HTTPConnection, payload: Mapping[str, Json] | None = None) -> Identity:
        """Say who asks: by the header `Authorization`, or by the payload of a websocket's `connection_init`.

        Without a token it is somebody who may do nothing. Raises `UnauthenticatedError` for one that is not good.
        """
        try:
            token = find_token(connection, payload)
            return NOBODY if token is None else await self._identify(token)
        except UnauthenticatedError as error:
            self._refused.note(error)
            raise

    async def until_invalid(self, identity: Identity) -> str:
        """Return once somebody who was let in is to be let go, and say why. May wait for ever."""
        return await self.endings.wait(identity)

    async def _identify(self, token: str) -> Identity:
        if self._keys and token.startswith(PREFIX):
            return self._identify_by_key(token)
        if self._tokens is not None:
            return await self._tokens.read(token)
        raise UnknownKeyError(f"The token is not an API key: those begin with {PREFIX!r}.")

    def _identify_by_key(self, token: str) -> Identity:
        known = self._find(key_id_of(token) or "")
        if known is None or not known.kept.fits(token):
            raise UnknownKeyError("The API key is not known here; see `gql-app keys list`.")
        if fault := known.kept.fault(self._now()):
            raise DeadKeyError(f"The API key {known.kept.name!r} ({known.kept.id}) {fault}.")
        return known.identity

    def _find(self, key_id: str) -> KnownKey | None:
        return next(filter(None, (source.find(key_id) for source in self._keys)), None)

    def _fault(self, identity: Identity) -> str | None:
        """Say why who was let in would not be let in again."""
        if identity.expires_at is not None and identity.expires_at <= self._now():
            return "The token has expired."
        if identity.key_id is None:
            return None
        known = self._find(identity.key_id)
        if known is None:
            return "The API key has been revoked."
        if fault := known.kept.fault(self._now()):
            return f"The API key {fault}."
        return None if known.identity == identity else "The API key has been changed."
