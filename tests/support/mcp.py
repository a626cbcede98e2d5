"""MCP servers and the tools they bring, opened as the service opens them."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gql_app.core.events import LogLevel, Usage
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.core.values import Json
from gql_app.mcp.config import read_servers
from gql_app.mcp.opening import opened_servers
from gql_app.ports import ToolContext
from gql_app.settings import Settings
from gql_app.tools.registry import ToolRegistry
from gql_app.vault.vault import make_vault
from tests.support.requirements import REPOSITORY
from tests.support.reserved_port import ReservedPort
from tests.support.tools import context_of

LONGEST_WAIT = 60.0


@dataclass
class Recorder:
    """What a call showed."""

    logs: list[tuple[str, str, Json]] = field(default_factory=list)
    progress_told: list[tuple[float | None, str | None]] = field(default_factory=list)

    def emit(self, text: str) -> None:
        raise AssertionError(text)

    def log(self, level: LogLevel, message: str, fields: Mapping[str, Json]) -> None:
        self.logs.append((level, message, dict(fields)))

    def progress(self, fraction: float | None, message: str | None) -> None:
        self.progress_told.append((fraction, message))

    def use(self, usage: Usage) -> None:
        raise AssertionError(usage)


@dataclass(frozen=True)
class OpenedTools:
    """The tools of MCP servers that are open."""

    registry: ToolRegistry

    async def call(self, tool: str, /, *, context: ToolContext | None = None, **arguments: Json) -> Json:
        """Call a tool as an attempt does."""
        found = self.registry.find(tool)
        assert found is not None, f"There is no tool {tool}."
        return await found.call(found.parse(arguments), context or context_of())

    def names(self, namespace: Namespace = DEFAULT_NAMESPACE) -> list[str]:
        """Name the tools there are."""
        return list(self.registry.definitions(namespace))

    def problem(self, part: str) -> str | None:
        """Say what is wrong with a server."""
        return self.registry.parts()[part]()


@asynccontextmanager
async def opened(
    secrets: Mapping[str, str] | None = None, *, settings: Settings | None = None, **servers: Json
) -> AsyncIterator[OpenedTools]:
    """Open servers, and wait for them until they are connected, or cannot be at first."""
    made = settings or Settings(mcp_start_seconds=LONGEST_WAIT)
    made = made.model_copy(update={"mcp_servers": json.dumps(servers)})
    vault = make_vault(made, {f"GQL_APP_SECRET_{name}": value for name, value in (secrets or {}).items()})
    configs, registry = read_servers(made, vault), ToolRegistry()
    async with opened_servers(configs, made, secrets=vault, publish=registry.publish, draw=lambda: 0.0) as opened:
        for server in opened:
            registry.include_part(f"mcp.{server.name}", server.problem)
        yield OpenedTools(registry)


def stdio_server(directory: Path, **environment: str) -> Json:
    """Configure the test server as a program; what its tools note stands in the directory."""
    return {
        "command": sys.executable,
        "arguments": ["-m", "tests.support.mcp_server", "stdio", str(directory)],
        "environment": {"PYTHONPATH": str(REPOSITORY), **environment},
    }


def script(path: Path, source: str) -> Json:
    """Configure a server that is a script, which says in its own way what it pleases."""
    path.write_text(source)
    return {"command": sys.executable, "arguments": ["-u", str(path)]}


@contextmanager
def http_server(directory: Path, port: ReservedPort, token: str | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    """Serve the test server over HTTP; it does not outlive the block."""
    words = ["http", str(directory), str(port.number), *([token] if token else [])]
    command = [sys.executable, "-m", "tests.support.mcp_server", *words]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"listening\n"
            yield process
        finally:
            process.kill()


async def until(there: Callable[[], bool]) -> None:
    """Wait until something is there that nobody tells of."""
    async with asyncio.timeout(LONGEST_WAIT):
        while not there():  # noqa: ASYNC110 - see the line above
            await asyncio.sleep(0.01)
