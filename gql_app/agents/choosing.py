"""The tools that an agent may call: which they are, and under which names a model knows them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from gql_app.agents.nesting import AGENT
from gql_app.core.errors import InvalidInputError
from gql_app.core.plan import ToolDefinition
from gql_app.core.tool_names import find_tools

MAXIMUM_TOOLS: Final = 128
"""What providers take."""
_NAME_LENGTH: Final = 64


def choose(patterns: Sequence[str], there: Mapping[str, ToolDefinition]) -> dict[str, ToolDefinition]:
    """Choose tools by names and patterns. Raises `InvalidInputError` for what chooses nothing."""
    chosen: dict[str, ToolDefinition] = {}
    for pattern in patterns:
        found = _find(pattern, there)
        if not found:
            raise InvalidInputError(
                f"`tools` names {pattern!r}, but there is no such tool here. Look with `gql-app tools` what there is."
            )
        chosen.update((name, there[name]) for name in found)
    if len(chosen) > MAXIMUM_TOOLS:
        raise InvalidInputError(
            f"`tools` chooses {len(chosen)} tools; a model takes {MAXIMUM_TOOLS}. Choose them more closely."
        )
    return chosen


def _find(pattern: str, there: Mapping[str, ToolDefinition]) -> list[str]:
    # An agent is never handed the means to make agents by accident.
    return [name for name in find_tools(pattern, there) if name != AGENT or pattern == AGENT]


def model_names(names: Iterable[str]) -> dict[str, str]:
    """Give each tool a name of its own that every provider takes: letters, digits, `_` and `-`, at most 64."""
    taken: dict[str, str] = {}
    for name in sorted(names):
        safe = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:_NAME_LENGTH]
        number, unique = 1, safe
        while unique in taken:
            number += 1
            unique = f"{safe[: _NAME_LENGTH - len(str(number)) - 1]}_{number}"
        taken[unique] = name
    return taken
