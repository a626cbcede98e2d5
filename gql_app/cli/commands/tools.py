"""`gql-app tools`: tells which tools nodes can call."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from shutil import get_terminal_size
from textwrap import wrap
from typing import Final

import msgspec

from gql_app.bootstrap import opened_tools
from gql_app.cli.failures import CommandError, ExitCode
from gql_app.cli.output import clean, say, tell, to_json
from gql_app.cli.remote import connected
from gql_app.cli.settings import load_settings
from gql_app.cli.tool_words import first_line, name_fields
from gql_app.client import Tool
from gql_app.core.errors import WorkflowError
from gql_app.core.plan import ToolDefinition
from gql_app.core.spec import RateLimit
from gql_app.core.values import Json
from gql_app.settings import LogLevel, Settings
from gql_app.telemetry.logs import logged
from gql_app.vault.vault import make_vault
from gql_app.web.loop import run as run_loop

WIDTH: Final = 100
LEAST_WIDTH: Final = 40
LONGEST_NAME: Final = 24


def main(options: argparse.Namespace) -> int:
    """List the tools here, or those of a server."""
    origins: dict[str, str] = {}
    if options.url is None:
        settings = load_settings(tools=tuple(options.tools))
        # What is wrong is told as what it is, and not as a log.
        with logged(settings.model_copy(update={"log_level": LogLevel.ERROR}), sys.stderr):
            tools = run_loop(_tools_here(settings, origins))
    else:
        tools = run_loop(_tools_there(options))
    if options.json:
        say(to_json([msgspec.to_builtins(tool) for tool in tools]))
    else:
        width = max(LEAST_WIDTH, min(WIDTH, get_terminal_size((WIDTH, 0)).columns))
        for line in _lines(tools, origins, width):
            say(line)
    return ExitCode.OK


async def _tools_here(settings: Settings, origins: dict[str, str]) -> list[Tool]:
    """List the tools here, and say in `origins` where those of plug-ins come from."""
    try:
        async with opened_tools(settings, secrets=make_vault(settings)) as registry:
            for fault in registry.faults:
                tell(f"Tools could not be loaded: {clean(fault)}")
            for name, examine in registry.parts().items():
                problem = examine()
                if problem is not None and name != "tools":
                    tell(f"{name}: {clean(problem)}")
            origins.update((name, origin) for name in registry.definitions() if (origin := registry.origin(name)))
            return [_tool_of(tool) for tool in registry.definitions().values()]
    except WorkflowError as error:
        raise CommandError(str(error)) from None


def _tool_of(tool: ToolDefinition) -> Tool:
    return Tool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        isolation=tool.isolation.upper(),
        streams=tool.streams,
        maximum_concurrency=tool.max_concurrency,
        rate_limit=None if tool.rate_limit is None else _rate(tool.rate_limit),
        retry=tool.retry.model_dump(mode="json", by_alias=True),
        timeout=tool.timeout.model_dump(mode="json", by_alias=True),
    )


def _rate(limit: RateLimit) -> dict[str, Json]:
    return {"count": limit.count, "perSeconds": limit.per_seconds, "burst": limit.capacity}


async def _tools_there(options: argparse.Namespace) -> list[Tool]:
    async with connected(options) as client:
        return list(await client.tools())


def _lines(tools: Sequence[Tool], origins: Mapping[str, str], width: int) -> Iterator[str]:
    """Tell what each tool does, beside its name, and below what it takes and where it comes from."""
    room = min(LONGEST_NAME, max((len(tool.name) for tool in tools), default=0)) + 2
    for tool in tools:
        does = wrap(first_line(tool.description), width - room, break_long_words=False) or [""]
        fields = f"{name_fields(tool.input_schema)}{', streams text' if tool.streams else ''}"
        takes = wrap(fields, width - room, break_long_words=False, break_on_hyphens=False)
        yield f"{tool.name:<{room - 2}}  {does[0]}".rstrip()
        comes = wrap(f"from {clean(origins[tool.name])}", width - room) if tool.name in origins else ()
        for line in (*does[1:], *takes, *comes):
            yield f"{'':{room}}{line}"
