"""The connections of `http.request`: HTTP/2 where the server chooses it, and then shared by many requests."""

import ssl
from collections.abc import Callable
from functools import partial
from typing import Final

import httpcore
import httpx

from gql_app.tools.http2 import Http2Connection

_REMEMBERED_ORIGINS: Final = 1_000
_WORTH_WAITING_FOR: Final = 10
"""Requests wait for a connection together if so many of them may share it."""


class Pool(httpcore.AsyncConnectionPool):
    """Opens connections for what it is asked. Requests wait for one together unless the server takes few at once."""

    def __init__(self, *, backend: httpcore.AsyncNetworkBackend, verify: ssl.SSLContext, limits: httpx.Limits) -> None:
        super().__init__(
            ssl_context=verify,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=backend,
            http2=True,
        )
        self._verify = verify
        self._apart: set[str] = set()

    def create_connection(self, origin: httpcore.Origin) -> httpcore.AsyncConnectionInterface:
        """Make a connection, which opens itself with its first request."""
        return Connection(
            origin=origin,
            ssl_context=self._verify,
            keepalive_expiry=self._keepalive_expiry,
            network_backend=self._network_backend,
            together=str(origin) not in self._apart,
            learn=self._learn,
        )

    def _learn(self, origin: httpcore.Origin, streams: int) -> None:
        """Remember how many requests a server takes over one connection."""
        if streams >= _WORTH_WAITING_FOR:
            self._apart.discard(str(origin))
            return
        if len(self._apart) >= _REMEMBERED_ORIGINS:
            self._apart.clear()
        self._apart.add(str(origin))


class Connection(httpcore.AsyncHTTPConnection):
    """Connects once for all requests that come meanwhile: they share the connection, or the reason there is none."""

    def __init__(
        self,
        *,
        origin: httpcore.Origin,
        ssl_context: ssl.SSLContext,
        keepalive_expiry: float | None,
        network_backend: httpcore.AsyncNetworkBackend,
        together: bool,
        learn: Callable[[httpcore.Origin, int], None],
    ) -> None:
        super().__init__(
            origin=origin,
            ssl_context=ssl_context,
            keepalive_expiry=keepalive_expiry,
            network_backend=network_backend,
            http2=together,
        )
        self._expiry = keepalive_expiry
        self._backend = network_backend
        self._verify = ssl_context
        self._learn = partial(learn, origin)
        self._failure: Exception | None = None

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request, after connecting if nobody did before."""
        async with self._request_lock:
            connection = self._connection or await self._open(request)
        return await connection.handle_async_request(request)

    async def _connect(self, request: httpcore.Request) -> httpcore.AsyncNetworkStream:
        host = self._origin.host.decode("ascii")
        timeout = request.extensions.get("timeout", {}).get("connect")
        stream = await self._backend.connect_tcp(host, self._origin.port, timeout)
        if self._origin.scheme != b"https":
            return stream
        try:
            self._verify.set_alpn_protocols(["http/1.1", "h2"])
            return await stream.start_tls(self._verify, host, timeout)
        except BaseException:
            # httpcore forgets it when whoever connects is stopped.
            await stream.aclose()
            raise

    async def _open(self, request: httpcore.Request) -> httpcore.AsyncConnectionInterface:
        if self._failure is not None:
            raise self._failure
        if self._connect_failed:
            # Whoever was connecting was stopped, and the pool has dropped this one.
            raise httpcore.ConnectionNotAvailable
        try:
            stream = await self._connect(request)
        except BaseException as error:
            self._connect_failed = True
            self._failure = error if isinstance(error, Exception) else None
            raise
        tls = stream.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            self._connection = Http2Connection(self._origin, stream, self._expiry, self._learn)
        else:
            self._connection = httpcore.AsyncHTTP11Connection(self._origin, stream, self._expiry)
            self._learn(1)
        return self._connection
