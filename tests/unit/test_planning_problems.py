"""What is found wrong with a document, where, and what is suggested."""

import math
from itertools import pairwise

import pytest

from gql_app.core.errors import ProblemCode as Code
from gql_app.core.planning import Limits
from gql_app.core.values import Json
from tests.support.planning import document, found, node, problems


@pytest.mark.parametrize(
    ("what", "code", "pointer"),
    [
        (None, Code.INVALID_FIELD, ""),
        ([1], Code.INVALID_FIELD, ""),
        ({"nodes": [node("a")]}, Code.INVALID_FIELD, ""),
        (document(), Code.INVALID_FIELD, "/nodes"),
        (document(7), Code.INVALID_FIELD, "/nodes/0"),
        (document({"id": "a"}), Code.INVALID_FIELD, "/nodes/0"),
        (document(node("a"), labels={"k": 1}), Code.INVALID_FIELD, "/labels/k"),
        (document(node("a"), labels={"k" * 64: "v"}), Code.LIMIT_EXCEEDED, "/labels/" + "k" * 64),
        (document(node("a"), labels={"k": "v" * 64}), Code.LIMIT_EXCEEDED, "/labels/k"),
        (document(node("a"), labels={str(i): "" for i in range(21)}), Code.LIMIT_EXCEEDED, "/labels"),
        (document(node("a", retry={"maximumAttempts": "3"})), Code.INVALID_FIELD, "/nodes/0/retry/maximumAttempts"),
        (document(node("a", retry={"maximumAttempts": 101})), Code.INVALID_FIELD, "/nodes/0/retry/maximumAttempts"),
        (document(node("a", retry={"id": 1})), Code.INVALID_FIELD, "/nodes/0/retry/id"),
        (document(node("a", timeout={"attemptSeconds": 0})), Code.INVALID_FIELD, "/nodes/0/timeout/attemptSeconds"),
        (document(node("a", dependsOn="b")), Code.INVALID_FIELD, "/nodes/0/dependsOn"),
        (document(node("1a")), Code.INVALID_FIELD, "/nodes/0/id"),
        (document(node("")), Code.INVALID_FIELD, "/nodes/0/id"),
        (document(node("a" * 65)), Code.INVALID_FIELD, "/nodes/0/id"),
        (document(node("in")), Code.INVALID_FIELD, "/nodes/0/id"),
        (document(node("a"), timeoutSeconds=math.nan), Code.INVALID_FIELD, "/timeoutSeconds"),
        (document(node("a"), input={"a/b": [math.inf]}), Code.INVALID_FIELD, "/input/a~1b/0"),
        (document(node("a"), input=2**64), Code.INVALID_FIELD, "/input"),
        (document(node("a"), input="\ud800"), Code.INVALID_FIELD, "/input"),
        (document(node("a"), input={"\ud800": 1}), Code.INVALID_FIELD, "/input"),
        (document(node("a"), input={1: 1}), Code.INVALID_FIELD, "/input"),
        (document(node("a"), input=(1,)), Code.INVALID_FIELD, "/input"),
        (document(node("a"), node("a")), Code.DUPLICATE_NODE, "/nodes/1/id"),
        (document(node("a", "ecko")), Code.UNKNOWN_TOOL, "/nodes/0/tool"),
        (document(node("a", dependsOn=["b"])), Code.UNKNOWN_NODE, "/nodes/0/dependsOn/0"),
        (document(node("a", input={"value": "${ nodes.b.output }"})), Code.UNKNOWN_NODE, "/nodes/0/input/value"),
        (document(node("a", when="${ nodes.b.output }")), Code.UNKNOWN_NODE, "/nodes/0/when"),
        (document(node("a"), output={"x": "${ nodes.b.output }"}), Code.UNKNOWN_NODE, "/output/x"),
        (document(node("a", dependsOn=["a"])), Code.CYCLE, "/nodes/0/dependsOn/0"),
        (document(node("a", when="${ nodes.a.status == 'X' }")), Code.CYCLE, "/nodes/0/when"),
        (document(node("a", input={"value": ["${ 1 + }"]})), Code.INVALID_EXPRESSION, "/nodes/0/input/value/0"),
        (document(node("a", when="true")), Code.INVALID_EXPRESSION, "/nodes/0/when"),
        (document(node("a", when="${ true } ${ true }")), Code.INVALID_EXPRESSION, "/nodes/0/when"),
        (document(node("a", when="")), Code.INVALID_EXPRESSION, "/nodes/0/when"),
        (document(node("a"), output="${ nodes }"), Code.INVALID_EXPRESSION, "/output"),
        (document(node("a", "delay")), Code.INVALID_TOOL_INPUT, "/nodes/0"),
        (document(node("a", "delay", input={})), Code.INVALID_TOOL_INPUT, "/nodes/0/input"),
        (document(node("a", input={"values": 1})), Code.INVALID_TOOL_INPUT, "/nodes/0/input/values"),
        (document(node("a"), inputSchema=7), Code.INVALID_FIELD, "/inputSchema"),
        (document(node("a"), inputSchema={"type": "strin"}), Code.INVALID_FIELD, "/inputSchema/type"),
        (document(node("a"), inputSchema={"required": ["x"]}, input={}), Code.INVALID_INPUT, "/input"),
        (document(node("a"), inputSchema={"type": "object"}), Code.INVALID_INPUT, "/input"),
        (document(node("a"), inputSchema=False), Code.INVALID_INPUT, "/input"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(what: Json, code: Code, pointer: str) -> None:
    assert found(what) == [(code, pointer)]


def test_everything_is_found_at_once_and_told_in_document_order() -> None:
    what = {
        "wat": 1,
        "nodes": [
            node("a", "ecko", dependsOn=["b", 3]),
            node("b", "delay", dependsOn=["a", "zz"], when="1", retry={"maximumAttempts": "3"}, input={"seconds": ""}),
            7,
            node("b", input={"value": "${ nodes.q.output }", "x": "${ 1 + }"}),
        ],
        "inputSchema": {"type": "strin"},
        "name": "",
    }

    assert found(what) == [
        (Code.INVALID_FIELD, "/wat"),
        (Code.UNKNOWN_TOOL, "/nodes/0/tool"),
        (Code.CYCLE, "/nodes/0/dependsOn/0"),
        (Code.INVALID_FIELD, "/nodes/0/dependsOn/1"),
        (Code.UNKNOWN_NODE, "/nodes/1/dependsOn/1"),
        (Code.INVALID_EXPRESSION, "/nodes/1/when"),
        (Code.INVALID_FIELD, "/nodes/1/retry/maximumAttempts"),
        (Code.INVALID_TOOL_INPUT, "/nodes/1/input/seconds"),
        (Code.INVALID_FIELD, "/nodes/2"),
        (Code.DUPLICATE_NODE, "/nodes/3/id"),
        (Code.UNKNOWN_NODE, "/nodes/3/input/value"),
        (Code.INVALID_EXPRESSION, "/nodes/3/input/x"),
        (Code.INVALID_TOOL_INPUT, "/nodes/3/input/x"),
        (Code.INVALID_FIELD, "/inputSchema/type"),
        (Code.INVALID_FIELD, "/name"),
    ]


@pytest.mark.parametrize(
    ("what", "hint"),
    [
        (document(node("a", "ecko")), "Did you mean `echo`?"),
        (document(node("fetch"), node("b", dependsOn=["fetsch"])), "Did you mean `fetch`?"),
        (document(node("a", depends_on=[])), "Did you mean `dependsOn`?"),
        (document(node("a", retry={"maxAttempts": 3})), "Did you mean `maximumAttempts`?"),
        (document(node("a", timeout={"attempt": 3})), "Did you mean `attemptSeconds`?"),
        (document(node("a", "delay", input={"seconds": 1, "secs": 1})), "Did you mean `seconds`?"),
        (document(node("in")), "Call it `in_`."),
    ],
)
def test_the_way_out_is_told(what: Json, hint: str) -> None:
    assert problems(what)[0].hint == hint


def test_every_missing_field_of_a_node_is_told() -> None:
    assert [problem.message for problem in problems(document({}))] == [
        "The field `id` is missing.",
        "The field `tool` is missing.",
    ]


def test_a_cycle_is_told_with_its_path() -> None:
    what = document(
        node("x"),
        node("a", dependsOn=["x", "c"]),
        node("b", input={"value": "${ nodes.a.output }"}),
        node("c", dependsOn=["b"]),
    )

    (problem,) = problems(what)

    assert problem.code is Code.CYCLE
    assert problem.message == "The nodes depend on each other in a cycle: a → c → b → a."
    assert problem.node_id == "a"


def test_two_cycles_are_two_problems() -> None:
    what = document(
        node("a", dependsOn=["b"]), node("b", dependsOn=["a"]), node("c", dependsOn=["d"]), node("d", dependsOn=["c"])
    )

    assert [problem.node_id for problem in problems(what)] == ["a", "c"]


def test_a_long_cycle_is_not_written_out() -> None:
    names = [f"n{i}" for i in range(1_000)]

    (problem,) = problems(document(*(node(one, dependsOn=[other]) for one, other in pairwise([*names, names[0]]))))

    assert problem.message.startswith("The nodes depend on each other in a cycle: n0 → n1 → ")
    assert len(problem.message) < 200


@pytest.mark.parametrize(
    ("timeout", "run", "pointers"),
    [
        ({"heartbeatSeconds": 3, "attemptSeconds": 2}, None, ["heartbeatSeconds"]),
        ({"heartbeatSeconds": 3, "totalSeconds": 2}, None, ["heartbeatSeconds"]),
        ({"attemptSeconds": 3, "totalSeconds": 2}, None, ["attemptSeconds"]),
        ({"totalSeconds": 3}, 2, ["totalSeconds"]),
        (
            {"heartbeatSeconds": 4, "attemptSeconds": 3, "totalSeconds": 2},
            1,
            ["heartbeatSeconds", "attemptSeconds", "totalSeconds"],
        ),
    ],
)
def test_timeouts_that_are_written_must_be_nested(timeout: Json, run: float | None, pointers: list[str]) -> None:
    fields = {} if run is None else {"timeoutSeconds": run}

    what = document(node("a", timeout=timeout), **fields)

    assert found(what) == [(Code.TIMEOUT_INCONSISTENT, f"/nodes/0/timeout/{name}") for name in pointers]


def test_a_message_never_prints_a_big_value() -> None:
    (problem,) = problems(document(node("a", tool="x" * 10_000)))

    assert len(problem.message) < 200


def test_more_nodes_than_allowed_are_refused_before_anything_else() -> None:
    (problem,) = problems(document(*(node(f"n{i}", "ecko") for i in range(3))), limits=Limits(maximum_nodes=2))

    assert problem.code is Code.LIMIT_EXCEEDED
    assert problem.message == "The workflow has 3 nodes; 2 are allowed."


def test_more_bytes_than_a_run_may_have_are_refused() -> None:
    limits = Limits(maximum_run_bytes=1_000)

    (problem,) = problems(document(node("a")), input="x" * 1_000, limits=limits)

    assert (problem.code, problem.pointer) == (Code.LIMIT_EXCEEDED, "/input")


def test_an_input_that_is_not_json_is_refused() -> None:
    assert found(document(node("a")), input={"x": math.nan}) == [(Code.INVALID_INPUT, "/input/x")]
