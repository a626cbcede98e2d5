"""What tools are handed: literals against their schemas, references by declared types, expressions excused."""

import pytest

from gql_app.core.errors import ProblemCode as Code
from gql_app.core.values import Json
from tests.support.planning import document, found, node, planned, problems

SEARCH = node("s", "search", input={"query": "graphql"})


def with_search(tool: str, **input: Json) -> Json:
    return document(SEARCH, node("b", tool, input=input))


@pytest.mark.parametrize(
    "what",
    [
        document(node("a", "delay", input={"seconds": "${ input.seconds }"})),
        document(node("a", "delay", input="${ input }")),
        document(node("a", "search", input={"query": "${ input.x } and more"})),
        document(node("a", "search", input={"query": "${ 1 }${ 2 }"})),
        document(node("a", "choose", input={"mode": "${ input.mode }"})),
        document(node("a", "choose", input={"mode": "f${ 'ast' }"})),
        document(node("a", "choose", input={"either": "${ input.x }"})),
        document(node("a", "choose", input={"names": ["a", "${ 'b' }", "${ 'c' }"]})),
        with_search("delay", seconds="${ nodes.s.output.hits }"),
        with_search("choose", names="${ nodes.s.output.texts }"),
        with_search("choose", either="${ nodes.s.output.hits + 1 }"),
        with_search("echo", value="${ nodes.s.output.hits }"),
    ],
)
def test_what_may_work_is_taken(what: Json) -> None:
    assert planned(what).plan.nodes


@pytest.mark.parametrize(
    ("what", "pointer"),
    [
        (document(node("a", "delay", input={"seconds": "1"})), "/nodes/0/input/seconds"),
        (document(node("a", "delay", input={"seconds": -1})), "/nodes/0/input/seconds"),
        (document(node("a", "delay", input={"seconds": True})), "/nodes/0/input/seconds"),
        (document(node("a", "delay", input={"seconds": "${ input.x } s"})), "/nodes/0/input/seconds"),
        (document(node("a", "delay", input={"seconds": 1, "x": "${ input }"})), "/nodes/0/input/x"),
        (document(node("a", "delay", input=[])), "/nodes/0/input"),
        (document(node("a", "search", input={"query": "$${"})), "/nodes/0/input/query"),
        (document(node("a", "choose", input={"mode": "other"})), "/nodes/0/input/mode"),
        (document(node("a", "choose", input={"either": ["${ input.x }"]})), "/nodes/0/input/either"),
        (document(node("a", "choose", input={"names": ["a", "a"]})), "/nodes/0/input/names"),
        (document(node("a", "choose", input={"names": [1, "${ input.x }"]})), "/nodes/0/input/names/0"),
        (with_search("delay", seconds="${ nodes.s.output.texts }"), "/nodes/1/input/seconds"),
        (with_search("delay", seconds="${ nodes.s.output }"), "/nodes/1/input/seconds"),
        (with_search("choose", either="${ nodes.s.output.hits }"), "/nodes/1/input/either"),
        (with_search("choose", names=["${ nodes.s.output.hits }"]), "/nodes/1/input/names/0"),
        (with_search("echo", value="${ nodes.s.output.hitz }"), "/nodes/1/input/value"),
        (with_search("echo", value="${ nodes.s.output.hits.x }"), "/nodes/1/input/value"),
    ],
)
def test_what_cannot_work_is_refused(what: Json, pointer: str) -> None:
    assert found(what) == [(Code.INVALID_TOOL_INPUT, pointer)]


def test_a_reference_of_the_wrong_type_is_told_with_both_types() -> None:
    (problem,) = problems(with_search("delay", seconds="${ nodes.s.output.texts }"))

    assert problem.message == "`nodes.s.output.texts` is declared to be array, but number is expected here."


def test_a_reference_to_a_field_that_cannot_exist_is_told_with_the_nearest() -> None:
    (problem,) = problems(with_search("echo", value="${ nodes.s.output.hitz }"))

    assert problem.message == '`nodes.s.output` has no field "hitz", as the tool `search` declares its output.'
    assert problem.hint == "Did you mean `hits`?"


def test_the_output_of_a_node_that_may_fail_may_be_null() -> None:
    search = {**SEARCH, "continueOnFailure": True}

    what = document(search, node("b", "choose", input={"either": "${ nodes.s.output.hits }"}))

    assert planned(what).plan.nodes[1].reads == ("s",)
