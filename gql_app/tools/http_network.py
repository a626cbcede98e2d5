"""The network as `http.request` sees it: every address is checked, and connected to as it was checked."""

import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Final, TypeAlias

import anyio
import httpcore
import httpx
from httpcore import SOCKET_OPTION, AsyncNetworkStream

from gql_app.core.errors import ToolError
from gql_app.tools.http_pool import Pool
from gql_app.tools.http_reach import Address, Reach

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[Address]]]
"""Finds the addresses of a host, best first. Raises `OSError`."""

_HOST_CHARACTERS: Final = 200
HEAD_START_SECONDS: Final = 0.25
"""How long an address has before the next one is tried beside it."""


async def resolve(host: str, port: int) -> Sequence[Address]:
    """Ask the system for the addresses of a host; it also reads numbers as it likes, such as `0x7f.1`."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(where[0]) for *_, where in found))


class GuardedTransport(httpx.AsyncHTTPTransport):
    """Sends requests over connections made by a backend of our choice, which httpx has no argument for."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend, verify: ssl.SSLContext, limits: httpx.Limits) -> None:
        super().__init__(verify=verify, limits=limits, trust_env=False)
        self._pool = Pool(backend=backend, verify=verify, limits=limits)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that may be reached. A name is resolved once, and what was checked is connected to."""

    def __init__(
        self,
        reach: Reach,
        *,
        resolve: Resolve = resolve,
        backend: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._reach = reach
        self._resolve = resolve
        self._backend = backend or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        """Connect to the first address that answers, of those that may be reached. Raises `ToolError`."""
        try:
            with anyio.fail_after(timeout):
                addresses = self._allowed(host, await self._resolve(host, port))
                return await self._race(addresses, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except (OSError, UnicodeError) as error:
            # The latter is of a name that cannot be one.
            raise httpcore.ConnectError(str(error)) from error

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[SOCKET_OPTION] | None = None
    ) -> AsyncNetworkStream:
        """Refuse: nobody asks for one."""
        raise httpcore.ConnectError("Unix sockets are not connected to.")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._backend.sleep(seconds)

    def _allowed(self, host: str, addresses: Sequence[Address]) -> Sequence[Address]:
        allowed = [address for address in addresses if self._reach.allows(host, address)]
        if allowed or not addresses:
            return allowed
        shown = f"{host[:_HOST_CHARACTERS]!r}"
        if self._reach.tells_addresses and (told := ", ".join(str(address) for address in addresses[:3])) != host:
            shown += f" ({told})"
        raise ToolError(
            f"{shown} is not a public address, and `http.request` may reach no other here. Whoever runs the service can"
            " allow it in GQL_APP_HTTP_ALLOWED_NETWORKS.",
            type="AddressNotAllowed",
            retryable=False,
        )

    async def _race(self, addresses: Sequence[Address], port: int) -> AsyncNetworkStream:
        """Connect to one after the other, each with a head start before the next, and keep the first that answers."""
        streams: list[AsyncNetworkStream] = []
        errors: list[Exception] = []

        async def attempt(address: Address, over: anyio.Event) -> None:
            try:
                stream = await self._backend.connect_tcp(str(address), port)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                errors.append(error)
            else:
                streams.append(stream)
                if len(streams) == 1:
                    group.cancel_scope.cancel()
            finally:
                over.set()

        try:
            async with anyio.create_task_group() as group:
                for address in addresses:
                    over = anyio.Event()
                    group.start_soon(attempt, address, over)
                    with anyio.move_on_after(HEAD_START_SECONDS):
                        await over.wait()
        except BaseException:
            await _close(streams)
            raise
        await _close(streams[1:])
        if streams:
            return streams[0]
        raise errors[0] if errors else httpcore.ConnectError("The name has no address.")


async def _close(streams: Sequence[AsyncNetworkStream]) -> None:
    with anyio.CancelScope(shield=True):
        for stream in streams:
            await stream.aclose()
