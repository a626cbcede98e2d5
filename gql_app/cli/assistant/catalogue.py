"""The tool that tells which tools the nodes of a workflow can call."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Final

from msgspec import UNSET, Meta

from gql_app.cli.assistant.excerpts import measure
from gql_app.cli.assistant.reporting import Report
from gql_app.cli.assistant.shapes import Answer, Asked
from gql_app.cli.output import clean
from gql_app.cli.tool_words import first_line, name_fields
from gql_app.client import Tool, WorkflowClient
from gql_app.core.values import Json

SHOWN_TOOLS: Final = 50
SCHEMA_BYTES: Final = 12_000
"""How much of an answer schemas may take up."""
LONGEST_SCHEMA_BYTES: Final = 40_000
"""The same, where only one tool is told of."""
DESCRIPTION_CHARACTERS: Final = 2_000
LINE_CHARACTERS: Final = 160


class ListTools(Asked, frozen=True, kw_only=True):
    """Which tools to tell of."""

    name: Annotated[
        str,
        Meta(
            description="Only the tool of this name, or those whose names contain it or fit it as a pattern"
            " (`mcp.files.*`). They are told with their JSON Schemas.",
            max_length=200,
        ),
    ] = ""


class ToolView(Answer, frozen=True, kw_only=True):
    """A tool that a node can call."""

    name: Annotated[str, Meta(description="What stands in `tool` of a node.")]
    description: str = ""
    takes: Annotated[str, Meta(description="The fields of its input; those with a question mark may be left out.")] = ""
    input_schema: Annotated[Json, Meta(description="The JSON Schema of the node's `input`.")] = UNSET
    output_schema: Annotated[Json, Meta(description="The JSON Schema of what it returns.")] = UNSET


class Tools(Answer, frozen=True, kw_only=True):
    """Tools that nodes can call, by name."""

    tools: tuple[ToolView, ...]
    left_out: Annotated[int, Meta(description="How many more there are of those that were asked for.")] = 0
    note: str = ""


async def list_tools(client: WorkflowClient, asked: ListTools, _: Report) -> Tools:
    """Tell which tools nodes can call."""
    everything = await client.tools()
    chosen = _choose(everything, asked.name)
    if not chosen:
        return Tools(tools=(), note=f"No tool fits that; there are {len(everything)}. Leave `name` out to see them.")
    shown = chosen[:SHOWN_TOOLS]
    views = _with_schemas(shown) if asked.name else [_brief(tool) for tool in shown]
    left_out = len(chosen) - len(shown)
    note = _hint(views, left_out) if len(chosen) > 1 or not asked.name else _apologise(views[0])
    return Tools(tools=tuple(views), left_out=left_out, note=note)


def _choose(tools: Sequence[Tool], name: str) -> list[Tool]:
    """Take the tool of exactly this name, or else all that fit."""
    exact = [tool for tool in tools if tool.name == name]
    return exact or [tool for tool in tools if name in tool.name or fnmatchcase(tool.name, name)]


def _with_schemas(tools: Sequence[Tool]) -> list[ToolView]:
    """Tell all of each tool, as long as there is room."""
    room, views = SCHEMA_BYTES if len(tools) > 1 else LONGEST_SCHEMA_BYTES, []
    for tool in tools:
        size = measure([tool.input_schema, tool.output_schema])
        views.append(_whole(tool) if size <= room else _brief(tool))
        room -= size if size <= room else 0
    return views


def _whole(tool: Tool) -> ToolView:
    return ToolView(
        name=tool.name,
        description=tool.description.strip()[:DESCRIPTION_CHARACTERS],
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
    )


def _brief(tool: Tool) -> ToolView:
    return ToolView(
        name=tool.name,
        description=clean(first_line(tool.description), LINE_CHARACTERS),
        takes=clean(name_fields(tool.input_schema), LINE_CHARACTERS),
    )


def _hint(views: Sequence[ToolView], left_out: int) -> str:
    """Say how to see the rest."""
    told = "Narrow `name` down to see more." if left_out else ""
    if any(view.input_schema is UNSET for view in views):
        told = f"{told} Call list_tools with one tool's whole `name` for its JSON Schemas."
    return told.strip()


def _apologise(view: ToolView) -> str:
    """Say that the schemas of the only tool are not shown, if that is so."""
    return "" if view.input_schema is not UNSET else "Its schemas are too big to be shown; `takes` names its fields."
