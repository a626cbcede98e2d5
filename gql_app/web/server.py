"""Serves the application with uvicorn until it is told to stop."""

import asyncio
import errno
import re
import socket
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final, TextIO

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from gql_app.bootstrap import Application, check_servers, check_store, make_registry
from gql_app.core.errors import (
    InvalidMcpServersError,
    InvalidSecretsError,
    InvalidStoreError,
    InvalidToolError,
    MissingExtraError,
    StoreInUseError,
    StoreUnavailableError,
)
from gql_app.ports import Tool
from gql_app.schema.trusted import InvalidTrustedDocumentsError
from gql_app.settings import Posture, Settings
from gql_app.telemetry.logs import logged
from gql_app.vault.vault import make_vault
from gql_app.web.app import create_app
from gql_app.web.auth.setup import AuthenticationSettingsError, authenticates, describe_authentication, look_for_keys
from gql_app.web.closing import Closing
from gql_app.web.connections import HttpProtocol, WebSocketProtocol
from gql_app.web.hosts import is_loopback
from gql_app.web.loop import run

MESSAGE_BYTES: Final = 1 << 20
"""The size of a websocket message beyond which its connection is closed."""
GRACE_SECONDS: Final = 5
"""How long requests in flight may take to end when the server stops."""

_BACKLOG: Final = 2_048
_UNSAFE: Final = 2
_INTERRUPTED: Final = 130
_METRICS_OPTIONS: Final = ("GQL_APP_METRICS_HOST", "GQL_APP_METRICS_PORT")
_GREETING: Final = """\
gql_app listens on {url} (runs are kept in {store})

{page}  Submit      gql-app submit examples/sample_workflow.json --url {url}
  or          curl -H 'Content-Type: application/json' -d @examples/sample_workflow.json {url}/workflows/
  Health      {url}/health
  Posture     {posture}
  Let in      {authentication}
{servers}{warning}  Stop        Ctrl-C
"""
_PAGE: Final = "  GraphiQL    {url}/graphql  (its first tab submits a sample)\n"
_SERVER: Final = "  MCP         {name}: {how}\n"
_WARNING: Final = "  Beware      Whoever reaches this machine over the network can run workflows on it.\n"


class Server(uvicorn.Server):
    """A server that says when it listens, and that ends in order when it is told to; told twice, it ends at once."""

    def __init__(self, app: Starlette, *, on_started: Callable[[], None]) -> None:
        super().__init__(_config(app))
        self._closing: Closing = app.state.closing
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: let streams end, then cut the connections whose peers have not read what is left for them."""
        self._closing.begin()
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        # Event loops wait for transports, and those for the peer. They close with the next turn.
        await asyncio.sleep(0)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on a signal. Uvicorn would raise it again at the end, as if stopping had failed."""
        if self.should_exit:
            self.force_exit = True
            raise KeyboardInterrupt
        self.should_exit = True


class ExposedError(Exception):
    """The service would let in whoever reaches it over the network."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"On {host!r}, whoever reaches this machine over the network could run workflows on it."
            " Let in only those who bring a key (gql-app keys create, GQL_APP_KEYS_FILE) or a JWT (GQL_APP_JWT_ISSUER),"
            " listen on 127.0.0.1, or say that you mean it with --insecure."
        )


def check_exposure(settings: Settings) -> None:
    """Refuse to serve everybody on an address that other machines reach. Raises `ExposedError`."""
    if not is_loopback(settings.host) and not authenticates(settings) and not settings.insecure:
        raise ExposedError(settings.host)


def serve(settings: Settings, *, tools: Sequence[Tool] = (), out: TextIO = sys.stdout, err: TextIO = sys.stderr) -> int:
    """Serve until Ctrl-C or SIGTERM and tell the exit code.

    1 if it could not start, 2 if the settings are not safe, 130 if it was not let finish.
    """
    with logged(settings, err):
        return _serve(settings, tools, out, err)


def _serve(settings: Settings, tools: Sequence[Tool], out: TextIO, err: TextIO) -> int:
    try:
        settings = asyncio.run(look_for_keys(settings))
        check_exposure(settings)
        make_registry(settings, tools)
        check_servers(settings, make_vault(settings))
        asyncio.run(check_store(settings))
        app = create_app(settings, tools=tools)
        if settings.metrics_port is not None:
            # The application opens it; this tells what keeps it from that while there is somebody to tell.
            listen(settings.metrics_host, settings.metrics_port, options=_METRICS_OPTIONS).close()
        listener = listen(settings.host, settings.port)
    except _CANNOT_START as error:
        err.write(f"{error}\n")
        return 1
    except (ExposedError, AuthenticationSettingsError) as error:
        err.write(f"{error}\n")
        return _UNSAFE
    url = address(settings.host, listener.getsockname()[1])

    def greet() -> None:
        out.write(greeting(settings, url, servers=describe_servers(app.state.application)))
        out.flush()

    with listener:
        try:
            server = Server(app, on_started=greet)
            run(server.serve([listener]), make_loop=server.config.get_loop_factory() or asyncio.new_event_loop)
        except KeyboardInterrupt:
            return _INTERRUPTED
    return 0


class CannotListenError(Exception):
    """The address cannot be listened on."""

    def __init__(self, host: str, port: int, error: OSError, options: tuple[str, str]) -> None:
        if error.errno == errno.EADDRINUSE:
            option = options[1]
            message = (
                f"Port {port} on {host} is in use. Choose another one with {option}, or {option} 0 for any free one."
            )
        else:
            why, see = error.strerror or error, " and ".join(options)
            message = f"Cannot listen on host {host!r}, port {port}: {why}. See {see}."
        super().__init__(message)


_CANNOT_START: Final = (
    InvalidMcpServersError,
    InvalidSecretsError,
    InvalidStoreError,
    InvalidToolError,
    StoreInUseError,
    StoreUnavailableError,
    InvalidTrustedDocumentsError,
    MissingExtraError,
    CannotListenError,
)


def listen(host: str, port: int, *, options: tuple[str, str] = ("--host", "--port")) -> socket.socket:
    """Open a socket that accepts connections; port 0 is any that is free. Raises `CannotListenError`."""
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((str(place[0]), port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise CannotListenError(host, port, error, options) from None


def describe_servers(opened: Application) -> str:
    """Say of every MCP server how many tools it has, or why it is not there."""
    lines = []
    for part, examine in opened.parts.items():
        if part.startswith("mcp."):
            count = sum(name.startswith(f"{part}.") for name in opened.tools.definitions())
            tools = "1 tool" if count == 1 else f"{count} tools"
            lines.append(_SERVER.format(name=part, how=examine() or f"connected, {tools}"))
    return "".join(lines)


def greeting(settings: Settings, url: str, *, servers: str = "") -> str:
    """Say where everything is, what to try, and who is let in."""
    open_to_all = not is_loopback(settings.host) and not authenticates(settings)
    return _GREETING.format(
        url=url,
        store=_without_password(settings.store),
        page=_PAGE.format(url=url) if settings.posture is Posture.DEVELOPMENT else "",
        posture=settings.posture,
        servers=servers,
        authentication=describe_authentication(settings),
        warning=_WARNING if open_to_all else "",
    )


def _without_password(store: str) -> str:
    return re.sub(r"(?<=://)([^/@:]*):[^@]*(?=@)", r"\1:***", store)


def address(host: str, port: int) -> str:
    """Write the URL under which a server bound to `host` is reached from this machine."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=HttpProtocol,
        ws=WebSocketProtocol,
        ws_max_size=MESSAGE_BYTES,
        # Compression would double the memory of a connection.
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
