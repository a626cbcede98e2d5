"""Opens all MCP servers of a service, and closes them."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import anyio

from gql_app.core.redaction import Redactor
from gql_app.mcp.config import ServerConfig
from gql_app.mcp.http import http_transport
from gql_app.mcp.sealed import SealedText
from gql_app.mcp.server import McpServer
from gql_app.mcp.stdio import Command, stdio_transport
from gql_app.mcp.troubles import Streams, Troubles
from gql_app.ports import Secrets, ToolSource
from gql_app.settings import Settings

logger: Final = logging.getLogger(__name__)

CLOSE_SECONDS: Final = 15.0
"""How long the end of the service waits for servers to end: twice what ending a process may take."""
LEAST_MESSAGE_BYTES: Final = 8 << 20
"""How long a message of a server may be at least: a list of many tools is long."""


@asynccontextmanager
async def opened_servers(
    configs: Mapping[str, ServerConfig],
    settings: Settings,
    *,
    secrets: Secrets,
    publish: Callable[[ToolSource], None],
    draw: Callable[[], float] = random.random,
) -> AsyncIterator[Sequence[McpServer]]:
    """Connect servers, for as long as the start may wait for them, and end them at the end of the block.

    Those that are not connected by then are tried on. `publish` is told of a server whenever its tools have changed.
    """
    servers = [
        McpServer(
            name,
            config,
            _Connector(name, config, settings, secrets),
            connect_seconds=settings.mcp_connect_seconds,
            publish=publish,
            random=draw,
        )
        for name, config in configs.items()
    ]
    for server in servers:
        publish(server)
    tasks = [asyncio.create_task(server.run(), name=f"MCP server {server.name}") for server in servers]
    try:
        with anyio.move_on_after(settings.mcp_start_seconds):
            for server in servers:
                await server.tried.wait()
        yield servers
    finally:
        for task in tasks:
            task.cancel()
        with anyio.CancelScope(shield=True):
            await _ended(tasks)


async def _ended(tasks: Sequence["asyncio.Task[None]"]) -> None:
    _, late = await asyncio.wait(tasks, timeout=CLOSE_SECONDS) if tasks else (None, ())
    for task in late:
        logger.warning("%s did not end within %g s and is left alone.", task.get_name(), CLOSE_SECONDS)


class _Connector:
    """Puts secrets into the environment or the headers of a server, and connects it."""

    def __init__(self, name: str, config: ServerConfig, settings: Settings, secrets: Secrets) -> None:
        self.starts_it = config.command is not None
        self.redactor = Redactor({})
        self._name = name
        self._config = config
        self._secrets = secrets
        self._sealed = {key: text for _, key, text in config.sealed()}
        self._used: Mapping[str, str] = {}
        self._maximum_bytes = max(LEAST_MESSAGE_BYTES, 4 * settings.maximum_output_bytes)

    def open(self, troubles: Troubles) -> AbstractAsyncContextManager[Streams]:
        """Start the server, or reach it. Raises `SecretUnavailableError`."""
        config = self._config
        if config.command is None:
            assert config.url is not None
            return http_transport(config.url, self._open_sealed, self._maximum_bytes, troubles)
        command = Command(
            program=config.command,
            arguments=config.arguments,
            environment=self._open_sealed(),
            directory=config.working_directory,
            maximum_bytes=self._maximum_bytes,
            hide=self.redactor.hide_in_message,
        )
        return stdio_transport(self._name, command, troubles)

    def _open_sealed(self) -> dict[str, str]:
        """Put in the secrets as they are now, and have them taken out of whatever the server says."""
        used: dict[str, str] = {}
        texts: dict[str, SealedText] = self._sealed
        opened = {key: text.open(self._secrets, self._config.namespaces, used) for key, text in texts.items()}
        if used != self._used:
            self._used, self.redactor = used, Redactor(used, self._used)
        return opened
