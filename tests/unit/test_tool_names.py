"""Tools that the input of another tool names."""

import pytest

from gql_app.core.errors import InvalidWorkflowError
from gql_app.core.plan import ToolDefinition
from gql_app.core.planning import Limits, make_plan
from gql_app.core.tool_names import find_tools
from gql_app.core.values import Json
from tests.support.planning import TOOLS, document, node, object_schema

NAMES = ["agent", "echo", "http.request", "mcp.search.find", "mcp.search.read", "a[b]c"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("echo", ["echo"]),
        ("ech", []),
        ("mcp.search.*", ["mcp.search.find", "mcp.search.read"]),
        ("*.re*", ["http.request", "mcp.search.read"]),
        ("*", NAMES),
        ("ech?", []),
        ("a[b]*", ["a[b]c"]),
        ("*" * 128, NAMES),
    ],
)
def test_only_a_star_stands_for_something_else(pattern: str, found: list[str]) -> None:
    assert find_tools(pattern, NAMES) == found


CALLING = ToolDefinition(
    name="calling",
    input_schema=object_schema(
        {
            "tool": {"type": "string", "format": "tool"},
            "tools": {"type": "array", "items": {"type": "string", "format": "tool"}},
            "title": {"type": "string"},
        }
    ),
)


@pytest.mark.parametrize(
    ("given", "pointers"),
    [
        ({"tool": "echo", "tools": ["echo", "del*"], "title": "nonsense"}, {}),
        ({"tools": ["${ input.tool }", "e${ 'cho' }"]}, {}),
        ({"tool": "ecko"}, {"/nodes/0/input/tool": "Did you mean `echo`?"}),
        ({"tools": ["echo", "nothing.*"]}, {"/nodes/0/input/tools/1": None}),
        ({"tools": "${ input.tools }"}, {}),
        ({"tools": [1]}, {"/nodes/0/input/tools/0": None}),
    ],
)
def test_tools_that_an_input_names_must_be_there_when_the_document_is_checked(
    given: Json, pointers: dict[str, str | None]
) -> None:
    what = document(node("a", "calling", input=given))

    try:
        make_plan(what, tools={**TOOLS, "calling": CALLING}, limits=Limits())
        told: dict[str, str | None] = {}
    except InvalidWorkflowError as error:
        told = {problem.pointer: problem.hint for problem in error.problems}

    assert told == pointers
