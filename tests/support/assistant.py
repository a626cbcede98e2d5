"""An assistant: the SDK's own client, which talks to `gql-app mcp` in a process of its own."""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from jsonschema import Draft202012Validator
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from gql_app.core.values import Json


@dataclass(frozen=True)
class Told:
    """What a tool answered."""

    data: Json
    text: str
    failed: bool

    @property
    def code(self) -> str:
        """The code of a failure."""
        assert self.failed, self.text
        return str(self.data["failure"]["code"])


class Assistant:
    """Calls tools, and checks that every answer is what its tool promised."""

    def __init__(self, client: Client, schemas: Mapping[str, Draft202012Validator]) -> None:
        self.client = client
        self.progress: list[tuple[float, str]] = []
        self._schemas = schemas
        self._news = anyio.Event()

    async def progressed(self) -> None:
        """Wait until the next time that progress is told."""
        await self._news.wait()

    async def call(self, tool: str, **arguments: Json) -> Told:
        """Call a tool, however that ends."""
        result = await self.client.call_tool(tool, arguments, progress_callback=self._note)
        self._schemas[tool].validate(result.structured_content)
        [content] = result.content
        assert content.type == "text"
        return Told(result.structured_content, content.text, result.is_error)

    async def _note(self, progress: float, total: float | None, message: str | None) -> None:
        assert total == 1.0
        self.progress.append((progress, message or ""))
        news, self._news = self._news, anyio.Event()
        news.set()

    async def ask(self, tool: str, **arguments: Json) -> Json:
        """Call a tool that does what it should, and give its answer."""
        told = await self.call(tool, **arguments)
        assert not told.failed, told.text
        return told.data


@asynccontextmanager
async def assistant(url: str, directory: Path, *, mode: str = "auto", **settings: str) -> AsyncIterator[Assistant]:
    """Start `gql-app mcp` for a server, and an assistant that uses it. It has nothing to complain about."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "gql_app", "mcp", "--url", url],
        cwd=directory,
        env={**settings, **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}},
    )
    with (directory / "mcp.log").open("w+") as log:
        async with Client(stdio_client(parameters, errlog=log), mode=mode) as client:
            offered = (await client.list_tools()).tools
            yield Assistant(client, {tool.name: Draft202012Validator(tool.output_schema or {}) for tool in offered})
        log.seek(0)
        assert log.read() == ""
