"""Calls of the tool `http.request`."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from gql_app import ToolContext, ToolError
from gql_app.core.events import LogLevel, Usage
from gql_app.core.values import Json
from gql_app.settings import Settings
from gql_app.tools.http import HttpRequest
from tests.support.certificates import Certificate
from tests.support.tools import CONTEXT, context_of


@asynccontextmanager
async def opened(certificate: Certificate | None = None, **settings: Json) -> AsyncIterator[HttpRequest]:
    """Make the tool, trusting a certificate, and close its connections in the end."""
    tool = HttpRequest(Settings(**settings), trust=None if certificate is None else certificate.client())
    try:
        yield tool
    finally:
        await tool.aclose()


async def ask(tool: HttpRequest, url: str, context: ToolContext = CONTEXT, **options: Json) -> Json:
    return await tool.call(tool.parse({"url": url, **options}), context)


async def failure(tool: HttpRequest, url: str, context: ToolContext = CONTEXT, **options: Json) -> ToolError:
    with pytest.raises(ToolError) as caught:
        await ask(tool, url, context, **options)
    return caught.value


@dataclass
class Watched:
    """What a call shows while it goes on."""

    texts: list[str] = field(default_factory=list)
    messages: list[str | None] = field(default_factory=list)
    beats: int = 0

    @property
    def context(self) -> ToolContext:
        return context_of(reports=self, heartbeat=self.beat)

    def emit(self, text: str) -> None:
        self.texts.append(text)

    def log(self, level: LogLevel, message: str, fields: Mapping[str, Json]) -> None:
        raise AssertionError(message)

    def progress(self, fraction: float | None, message: str | None) -> None:
        self.messages.append(message)

    def use(self, usage: Usage) -> None:
        raise AssertionError(usage)

    def beat(self) -> None:
        self.beats += 1
