"""Tools, documents and problems for tests of planning."""

from collections.abc import Mapping
from typing import Final

import pytest

from gql_app.core.errors import InvalidWorkflowError, Problem, ProblemCode
from gql_app.core.plan import NodePlan, ToolDefinition
from gql_app.core.planning import ABSENT, Absent, Limits, Planned, make_plan
from gql_app.core.spec import RetryPolicy, TimeoutPolicy
from gql_app.core.values import Json


def object_schema(properties: Mapping[str, Json], *, required: tuple[str, ...] = ()) -> Json:
    """Describe an object that has these fields and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


_SEARCH_OUTPUT: Final = {
    **object_schema({"hits": {"type": "integer"}, "texts": {"type": "array", "items": {"type": "string"}}}),
    "required": ["hits", "texts"],
}

SECRETS: Final = frozenset({"TOKEN", "PASSWORD"})
"""Those that are granted."""

TOOLS: Final[Mapping[str, ToolDefinition]] = {
    tool.name: tool
    for tool in (
        ToolDefinition(name="echo", input_schema=object_schema({"value": {}})),
        ToolDefinition(
            name="delay",
            input_schema=object_schema({"seconds": {"type": "number", "minimum": 0}}, required=("seconds",)),
            retry=RetryPolicy(maximum_attempts=7, backoff_coefficient=1.5),
            timeout=TimeoutPolicy(attempt_seconds=5.0),
        ),
        ToolDefinition(
            name="search",
            input_schema=object_schema({"query": {"type": "string", "minLength": 3}}),
            output_schema=_SEARCH_OUTPUT,
        ),
        ToolDefinition(
            name="compute",
            input_schema=object_schema({"expression": {"type": "string", "format": "cel"}, "value": {}}),
        ),
        ToolDefinition(
            name="choose",
            input_schema=object_schema(
                {
                    "mode": {"enum": ["fast", "slow"]},
                    "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "names": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
                }
            ),
        ),
    )
}


def node(id: str, tool: str = "echo", **fields: Json) -> Json:
    return {"id": id, "tool": tool, **fields}


def document(*nodes: Json, **fields: Json) -> Json:
    return {"name": "test", "nodes": list(nodes), **fields}


def planned(what: Json, *, input: Json | Absent = ABSENT, limits: Limits | None = None) -> Planned:
    return make_plan(what, input=input, tools=TOOLS, limits=limits or Limits(), secrets=SECRETS)


def planned_node(what: Json, position: int = 0) -> NodePlan:
    return planned(what).plan.nodes[position]


def problems(what: Json, *, input: Json | Absent = ABSENT, limits: Limits | None = None) -> tuple[Problem, ...]:
    """Give what is wrong with a document that is refused."""
    with pytest.raises(InvalidWorkflowError) as caught:
        planned(what, input=input, limits=limits)
    return caught.value.problems


def found(what: Json, *, input: Json | Absent = ABSENT) -> list[tuple[ProblemCode, str]]:
    """Give the codes and pointers of what is wrong with a document that is refused."""
    return [(problem.code, problem.pointer) for problem in problems(what, input=input)]
