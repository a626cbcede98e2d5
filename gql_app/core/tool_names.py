"""Tools that the input of another tool names: one by its name, or all that fit a pattern like `http.*`."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Final

from gql_app.core.declared import Declaration
from gql_app.core.documents import quote
from gql_app.core.errors import ProblemCode
from gql_app.core.json_schema import Schema
from gql_app.core.plan import ToolDefinition
from gql_app.core.pointers import make_pointer
from gql_app.core.problems import Problems
from gql_app.core.templates import OPENING
from gql_app.core.values import Json

TOOL_FORMAT: Final = "tool"
"""The `format` of a text that names tools."""

Place = tuple[str | int, ...]


def find_tools(pattern: str, names: Iterable[str]) -> list[str]:
    """Find what a name or a pattern means; only `*` stands for something else."""
    if "*" not in pattern:
        return [name for name in names if name == pattern]
    plain = pattern.replace("[", "[[]").replace("?", "[?]")
    return [name for name in names if fnmatchcase(name, plain)]


def check_named_tools(
    value: Json,
    schema: Schema,
    tools: Mapping[str, ToolDefinition],
    problems: Problems,
    why_missing: Callable[[str], str | None],
    *,
    node_id: str,
    at: str,
) -> None:
    """Find names in a node's input, and patterns, that mean no tool there is."""
    if not names_tools(schema.schema):
        return
    declaration = Declaration(schema.schema)
    for place, text in _texts(value):
        declared = declaration.at(place)
        if not isinstance(declared, dict) or declared.get("format") != TOOL_FORMAT or OPENING in text:
            continue
        if not find_tools(text, tools):
            problems.add(
                ProblemCode.UNKNOWN_TOOL,
                f"There is no tool that {quote(text)} means." if "*" in text else f"There is no tool {quote(text)}.",
                at + make_pointer(place),
                node_id=node_id,
                hint=why_missing(text) or problems.suggest(text, tools),
            )


def names_tools(schema: Json) -> bool:
    """Tell whether a schema has a place for names of tools, at its fields or in their lists."""
    fields = schema.get("properties", {}) if isinstance(schema, dict) else {}
    parts = [part for field in fields.values() if isinstance(field, dict) for part in (field, field.get("items"))]
    return any(isinstance(part, dict) and part.get("format") == TOOL_FORMAT for part in parts)


def _texts(value: Json) -> Iterator[tuple[Place, str]]:
    """Go through the texts of the fields of an input and of their lists."""
    for name, field in value.items() if isinstance(value, dict) else ():
        if isinstance(field, str):
            yield (name,), field
        elif isinstance(field, list):
            yield from (((name, index), item) for index, item in enumerate(field) if isinstance(item, str))
