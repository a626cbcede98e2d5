"""Agents inside agents: how deep they stand."""

import itertools
from typing import Final

from gql_app.core.ids import RunId
from gql_app.ports import ToolContext

AGENT: Final = "agent"
"""The name of the tool."""
MAXIMUM_DEPTH: Final = 3
"""How deep agents may call each other."""
CALL_PREFIX: Final = "call_"
"""What the ids of steps begin with that are calls made by agents."""


def depth_of(context: ToolContext) -> int:
    """Say how many agents stand above the one that is called, it included."""
    return 1 + sum(part.startswith(CALL_PREFIX) for part in (context.step_id or "").split("/"))


def root_of(context: ToolContext) -> tuple[RunId, str, str]:
    """Name the outermost agent above the one that is called, or itself."""
    parts = (context.step_id or "").split("/")
    outside = itertools.takewhile(lambda part: not part.startswith(CALL_PREFIX), parts)
    return context.run_id, context.node_id, "/".join(outside)
