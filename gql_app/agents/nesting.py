"""Agents inside agents: how deep they stand."""

from typing import Final

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
