"""Secrets in a document: where a placeholder may stand, which are there, and what is refused."""

import pytest

from gql_app.core.errors import ProblemCode as Code
from gql_app.core.expressions import compile_template
from gql_app.core.values import Json
from tests.support.planning import document, found, node, planned, problems

SECRETS = {"TOKEN": "s3cr3t-value", "PASSWORD": "${ secrets.TOKEN }"}


def revealed(value: Json, **data: Json) -> Json:
    template = compile_template(value, secrets=True)
    return template.reveal(template.prepare({"input": data}), SECRETS)


@pytest.mark.parametrize(
    ("template", "result"),
    [
        ("${ secrets.TOKEN }", "s3cr3t-value"),
        ("${secrets.TOKEN}", "s3cr3t-value"),
        ("Bearer ${ secrets.TOKEN }", "Bearer s3cr3t-value"),
        ("${ secrets.TOKEN }${ secrets.TOKEN }", "s3cr3t-values3cr3t-value"),
        ("${ input.who }:${ secrets.TOKEN }:${ input.n }", "me:s3cr3t-value:3"),
        ({"a": [1, {"b/c~": "${ secrets.TOKEN }"}]}, {"a": [1, {"b/c~": "s3cr3t-value"}]}),
        ("$${ secrets.TOKEN }", "${ secrets.TOKEN }"),
        ("${ '${ secrets.TOKEN }' }", "${ secrets.TOKEN }"),
        ("${ secrets.PASSWORD }", "${ secrets.TOKEN }"),
    ],
)
def test_a_placeholder_is_replaced_where_the_document_has_one(template: Json, result: Json) -> None:
    assert revealed(template, who="me", n=3) == result


@pytest.mark.parametrize("template", ["${ input.text }", "${ input.text } ${ secrets.TOKEN }", ["${ input.text }"]])
def test_data_that_looks_like_a_placeholder_is_only_a_text(template: Json) -> None:
    text = "${ secrets.PASSWORD }"

    result = revealed(template, text=text)

    assert text in (result if isinstance(result, str) else result[0])


def test_a_template_shows_its_placeholders_and_is_not_changed_by_revealing_them() -> None:
    value = {"header": "Bearer ${secrets.TOKEN} for ${ input.who }", "plain": ["x"]}
    template = compile_template(value, secrets=True)

    template.reveal(template.prepare({"input": {"who": "me"}}), SECRETS)

    assert template.evaluate({"input": {"who": "me"}}) == {
        "header": "Bearer ${secrets.TOKEN} for me",
        "plain": ["x"],
    }
    assert value == {"header": "Bearer ${secrets.TOKEN} for ${ input.who }", "plain": ["x"]}


def test_a_document_may_use_the_secrets_that_are_granted() -> None:
    what = document(node("a", input={"value": "Basic ${ secrets.TOKEN }"}))

    assert planned(what).plan.nodes[0].input == {"value": "Basic ${ secrets.TOKEN }"}


def test_a_secret_that_is_not_there_is_a_problem_with_the_nearest_name() -> None:
    problem, other = problems(
        document(node("a", input={"value": ["${ secrets.TOKEM }"]}), node("b", input={"value": "${ secrets.x1 }"}))
    )

    assert (problem.code, problem.pointer, problem.node_id) == (Code.UNKNOWN_SECRET, "/nodes/0/input/value/0", "a")
    assert (problem.message, problem.hint) == (
        'There is no secret "TOKEM" for this namespace.',
        "Did you mean `TOKEN`?",
    )
    assert (other.code, other.hint) == (
        Code.UNKNOWN_SECRET,
        "Whoever runs the service sets secrets and says which namespaces each is for.",
    )


@pytest.mark.parametrize(
    ("what", "pointer"),
    [
        (document(node("a", when="${ secrets.TOKEN }")), "/nodes/0/when"),
        (document(node("a"), output="${ secrets.TOKEN }"), "/output"),
        (document(node("a"), output={"x": ["${ secrets.TOKEN }"]}), "/output/x/0"),
        (document(node("a"), input={"x": "Bearer ${ secrets.TOKEN }"}), "/input/x"),
        (document(node("a"), input={"${ secrets.TOKEN }": 1}), "/input/${ secrets.TOKEN }"),
        (document(node("a", input={"value": {"${secrets.TOKEN}": 1}})), "/nodes/0/input/value/${secrets.TOKEN}"),
        (document(node("a", input={"value": "${ secrets.TOKEN + 'x' }"})), "/nodes/0/input/value"),
        (document(node("a", input={"value": "${ secrets['TOKEN'] }"})), "/nodes/0/input/value"),
        (document(node("a", input={"value": "${ secrets }"})), "/nodes/0/input/value"),
        (document(node("a", input={"value": "${ secrets.A-B }"})), "/nodes/0/input/value"),
        (document(node("a", input={"value": "${ secrets." + "A" * 65 + " }"})), "/nodes/0/input/value"),
        (document(node("a", "compute", input={"expression": "${ secrets.TOKEN }"})), "/nodes/0/input/expression"),
        (document(node("a", "compute", input={"expression": "1 + ${ secrets.TOKEN }"})), "/nodes/0/input/expression"),
    ],
)
def test_a_secret_stands_nowhere_else(what: Json, pointer: str) -> None:
    problem, *others = problems(what)

    assert (problem.code, problem.pointer, others) == (Code.INVALID_EXPRESSION, pointer, [])
    assert problem.hint is not None
    assert "secret" in problem.hint


def test_what_is_handed_over_with_a_document_is_data_and_may_look_like_a_placeholder() -> None:
    what = document(node("a", input={"value": "${ input }"}))

    assert planned(what, input="${ secrets.TOKEN }").input == "${ secrets.TOKEN }"


@pytest.mark.parametrize(
    ("tool", "field"),
    [("search", "query"), ("choose", "mode"), ("choose", "either"), ("compute", "value")],
)
@pytest.mark.parametrize("text", ["${ secrets.TOKEN }", "x${ secrets.TOKEN }"])
def test_a_secret_is_a_text_of_any_content_to_a_tool(tool: str, field: str, text: str) -> None:
    assert planned(document(node("a", tool, input={field: text}))).plan.nodes[0].input == {field: text}


def test_a_secret_is_not_a_number() -> None:
    what = document(node("a", "delay", input={"seconds": "${ secrets.TOKEN }"}))

    assert found(what) == [(Code.INVALID_TOOL_INPUT, "/nodes/0/input/seconds")]


def test_a_list_of_secrets_is_a_list() -> None:
    what = document(node("a", "choose", input={"names": ["${ secrets.TOKEN }", "${ secrets.PASSWORD }"]}))

    assert planned(what).plan.nodes[0].input == {"names": ["${ secrets.TOKEN }", "${ secrets.PASSWORD }"]}
