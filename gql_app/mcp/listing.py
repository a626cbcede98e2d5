"""What an MCP server says of its tools, taken in within limits: what cannot be used is left out, and said."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import orjson
from mcp import types

from gql_app.core.documents import quote
from gql_app.core.json_schema import MAXIMUM_SCHEMA_BYTES, InvalidSchema, TooExpensive, check_schema
from gql_app.core.plan import ToolDefinition
from gql_app.core.values import Json
from gql_app.mcp.dialects import as_2020_12
from gql_app.tools.decorator import TOOL_NAME

MAXIMUM_TOOLS: Final = 1_000
MAXIMUM_TOTAL_BYTES: Final = 2 << 20
"""Of the schemas of all tools of one server: whether they are schemas takes about 2 s then, in a thread."""
MAXIMUM_DESCRIPTION: Final = 4_000
KEPT: Final = 100
"""For how many tools that are left out the reason is known."""
SHOWN: Final = 3

_REASON_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class ListedTool:
    """A tool as its server tells of it, and as we do."""

    name: str
    told: bytes
    """What the definition was made of."""
    definition: ToolDefinition


@dataclass(slots=True)
class Listing:
    """The tools of a server that can be called, and how many cannot, with the reasons for some."""

    tools: dict[str, ListedTool] = field(default_factory=dict)
    left_out: int = 0
    _reasons: dict[str, str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def leave_out(self, name: Json, reason: str, count: int = 1) -> None:
        """Note that a tool cannot be used, or that several cannot for the same reason."""
        self.left_out += count
        shown = quote(name)[:100]
        if len(self._reasons) < KEPT and shown not in self._reasons:
            self._reasons[shown], self._counts[shown] = reason[:_REASON_CHARACTERS].rstrip("."), count

    def reason(self, name: str) -> str | None:
        """Say why a tool is left out, if it is and that is known."""
        return self._reasons.get(quote(name)[:100])

    def problem(self) -> str | None:
        """Say which tools are left out, if any are."""
        if not self.left_out:
            return None
        shown = [f"{name}: {reason}" for name, reason in islice(self._reasons.items(), SHOWN)]
        rest = self.left_out - sum(islice(self._counts.values(), SHOWN))
        more = f"; and {rest} more" if rest > 0 else ""
        tools = "1 tool is" if self.left_out == 1 else f"{self.left_out} tools are"
        return f"{tools} left out: {'; '.join(shown)}{more}."


def take_in(
    prefix: str, told: Iterable[types.Tool], listing: Listing, known: Mapping[str, ListedTool] | None = None
) -> Listing:
    """Add to a listing what can be used of what a server told; what is `known` already stays the same object."""
    room = MAXIMUM_TOTAL_BYTES
    for count, tool in enumerate(told, 1):
        name = prefix + tool.name
        if count > MAXIMUM_TOOLS:
            listing.leave_out(tool.name, f"more than {MAXIMUM_TOOLS} tools")
        elif not tool.name or TOOL_NAME.fullmatch(name) is None:
            listing.leave_out(
                tool.name, "its name has other characters than letters, digits, `_`, `.`, `-`, or is long"
            )
        elif name in listing.tools:
            listing.leave_out(tool.name, "its name comes twice")
        else:
            try:
                listed = _listed(name, tool, (known or {}).get(name))
            except _Unusable as error:
                listing.leave_out(tool.name, str(error))
                continue
            room -= len(listed.told)
            if room < 0:
                listing.leave_out(tool.name, f"the schemas of all tools are longer than {MAXIMUM_TOTAL_BYTES} bytes")
                continue
            listing.tools[name] = listed
    return listing


class _Unusable(Exception):
    """A tool cannot be used; the message says why."""


def _listed(name: str, tool: types.Tool, known: ListedTool | None) -> ListedTool:
    description = (tool.description or tool.title or "").strip()[:MAXIMUM_DESCRIPTION]
    try:
        told = orjson.dumps([description, tool.input_schema, tool.output_schema])
    except (TypeError, RecursionError):
        raise _Unusable("its schema is nested too deeply") from None
    if known is not None and known.told == told:
        return known
    if len(told) > 2 * MAXIMUM_SCHEMA_BYTES + MAXIMUM_DESCRIPTION * 4:
        raise _Unusable(f"its schemas are {len(told)} bytes long")
    definition = ToolDefinition(
        name=name,
        description=description,
        input_schema=_checked("input", tool.input_schema),
        output_schema=True if tool.output_schema is None else _checked("output", tool.output_schema),
    )
    return ListedTool(name, told, definition)


def _checked(which: str, schema: dict[str, Json]) -> dict[str, Json]:
    """Check a schema, written in whatever dialect, and write it as JSON Schema 2020-12."""
    try:
        modern: dict[str, Json] = as_2020_12(schema)
        check_schema(orjson.dumps(modern))
    except (InvalidSchema, TooExpensive) as error:
        at = f" at {error.pointer}" if isinstance(error, InvalidSchema) and error.pointer else ""
        raise _Unusable(f"the schema of its {which} is broken{at}: {error}") from None
    except (TypeError, RecursionError):
        raise _Unusable(f"the schema of its {which} is nested too deeply") from None
    return modern
