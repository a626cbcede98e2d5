"""Templates: where an expression begins and ends in a text, and what becomes of the value around it."""

import copy

import pytest

from gql_app.core.expressions import (
    MAXIMUM_EXPRESSIONS,
    InvalidExpression,
    TemplateErrors,
    compile_template,
    escape_template,
)
from gql_app.core.values import Json

SCOPE: Json = {"input": {"a": "A", "n": 3, "d": 1.5, "l": [1, "ü", None], "m": {"k": True}}, "run": {"id": "run-1"}}


def render(value: Json) -> Json:
    return compile_template(value).evaluate(SCOPE)


def problems(value: Json) -> list[tuple[str, InvalidExpression]]:
    with pytest.raises(TemplateErrors) as caught:
        compile_template(value)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("template", "result"),
    [
        ("${ input.n }", 3),
        ("${input.l}", [1, "ü", None]),
        ("${ input.m == null }", False),
        (" ${ input.n }", " 3"),
        ("${input.a}${input.n}", "A3"),
        ("a=${input.a} n=${input.n} d=${input.d}", "a=A n=3 d=1.5"),
        ("${input.l} and ${input.m}!", '[1,"ü",null] and {"k":true}!'),
        ("${null}/${true}", "null/true"),
        ("at ${timestamp('2024-05-06T07:08:09Z')}", "at 2024-05-06T07:08:09Z"),
    ],
)
def test_one_expression_keeps_its_type_and_text_around_it_makes_text(template: str, result: Json) -> None:
    assert render(template) == result


@pytest.mark.parametrize(
    ("template", "result"),
    [
        ("$${", "${"),
        ("$${ input.a }", "${ input.a }"),
        ("$$${input.a}", "$${input.a}"),
        ("${input.a}$${input.a}", "A${input.a}"),
        ("$${${input.a}}", "${A}"),
        ("cost: $5, $$ and {x}", "cost: $5, $$ and {x}"),
        ("$ {input.a}", "$ {input.a}"),
        ("$", "$"),
    ],
)
def test_a_dollar_more_makes_it_literal(template: str, result: str) -> None:
    assert render(template) == result


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("{'k': {'j': 1}}", {"k": {"j": 1}}),
        ("'}'", "}"),
        ("'{'", "{"),
        ('"}"', "}"),
        ("'\"}'", '"}'),
        (r"'\'}'", "'}"),
        (r'"\"}"', '"}'),
        (r"'\\'", "\\"),
        (r"r'\}'", "\\}"),
        (r"R'}\\'", "}\\\\"),
        ("'''}'}''}'''", "}'}''}"),
        ('"""}"}""}"""', '}"}""}'),
        (r"'''\'''}'''", "'''}"),
        ("r'''}'}'''", "}'}"),
        ('r"""}"}"""', '}"}'),
        ("'''\n}'''", "\n}"),
        ("'bar' + '}'", "bar}"),
        ("size(b'}')", 1),
        ("size(bR'}')", 1),
        ("''", ""),
        ("{'a': '}'}['a']", "}"),
        ("'${'", "${"),
    ],
)
def test_braces_in_literals_do_not_end_an_expression(expression: str, result: Json) -> None:
    assert render("${" + expression + "}") == result
    assert render("<${ " + expression + " }>} '").endswith(">} '")


def test_an_open_quote_ends_with_its_line() -> None:
    [(_, error)] = problems("${ 'abc\n} and ${input.a}")

    assert error.text == "'abc"


@pytest.mark.parametrize("text", ["${", "${ input.a", "x ${ {'a': 1}", "${ '}", "${ '''}' }", "${ {} "])
def test_an_expression_without_its_closing_brace_is_refused(text: str) -> None:
    [(_, error)] = problems(text)

    assert "has no closing `}`" in error.message
    assert error.offset == text.index("${")
    assert "$${" in (error.hint or "")


def test_every_problem_is_found_with_its_pointer_and_offset() -> None:
    value = {"url": "http://${host}/${path}", "ok": "${input.a}", "list": [1, {"a/b~c": "${}"}], "open": "${ok} ${"}

    found = problems(value)

    assert [(pointer, error.text, error.offset) for pointer, error in found] == [
        ("/url", "host", 7),
        ("/url", "path", 15),
        ("/list/1/a~1b~0c", "", 0),
        ("/open", "ok", 0),
        ("/open", "${", 6),
    ]


def test_a_template_names_its_expressions_and_all_they_mention() -> None:
    template = compile_template({"a": ["${ input.a }", "x ${ nodes.n.output.x } ${ nodes.n.output }"], "b": "plain"})

    assert [(pointer, expression.text) for pointer, expression in template.expressions] == [
        ("/a/0", "input.a"),
        ("/a/1", "nodes.n.output.x"),
        ("/a/1", "nodes.n.output"),
    ]
    assert template.paths == (("input", "a"), ("nodes", "n", "output"))


def test_a_template_without_expressions_gives_the_value_itself() -> None:
    value = {"a": [1, {"b": "text } $ {"}], "c": None}

    assert compile_template(value).evaluate({}) is value


def test_evaluating_changes_neither_the_template_nor_the_scope() -> None:
    value = {"b": "${input.l}", "a": {"deep": ["x", "${input.m}"]}, "c": "$${"}
    before, scope = copy.deepcopy(value), copy.deepcopy(SCOPE)

    result = compile_template(value).evaluate(scope)
    result["b"].append("more")
    result["a"]["deep"][1]["k"] = "changed"

    assert (value, scope) == (before, SCOPE)


def test_keys_keep_their_order_and_are_never_expressions() -> None:
    result = render({"z": 1, "${input.a}": "${input.a}", "a": "$${", "m": 2})

    assert list(result.items()) == [("z", 1), ("${input.a}", "A"), ("a", "${"), ("m", 2)]


def test_constant_parts_are_shared() -> None:
    constant = {"big": ["x"] * 10}

    assert render({"constant": constant, "a": "${input.a}"})["constant"] is constant


def nested(depth: int, leaf: Json) -> Json:
    for level in range(depth):
        leaf = [leaf] if level % 2 else {"k": leaf}
    return leaf


def test_a_value_nested_as_deeply_as_allowed_is_a_template() -> None:
    assert render(nested(100, "${input.a}")) == nested(100, "A")


@pytest.mark.parametrize("depth", [101, 5_000])
def test_a_value_nested_too_deeply_is_refused(depth: int) -> None:
    [(pointer, error)] = problems(nested(depth, "${input.a}"))

    assert error.message == "The value is nested deeper than 100 levels."
    assert pointer.count("/") == 100


def test_any_text_can_be_escaped() -> None:
    text = "a ${ b } $${ $$${ $"

    assert render(escape_template(text)) == text


def test_a_value_holds_so_many_expressions_and_no_more() -> None:
    expressions = ["${ input.n }"] * MAXIMUM_EXPRESSIONS

    assert render(expressions) == [3] * MAXIMUM_EXPRESSIONS
    [(pointer, error)] = problems([*expressions, "${ input.n }"])

    assert (pointer, error.message) == ("", "The value holds more than 1000 expressions.")
