"""What may be evaluated where others wait for it."""

import json

import pytest

from gql_app.core.cel import Program
from gql_app.core.expressions import compile_expression, compile_template
from gql_app.core.formulas import Formula, finish, heavy_data, pack, perform
from gql_app.core.values import Json
from tests.support.hostile_expressions import repeated

TEXT = "x" * 4_000


@pytest.mark.parametrize(
    ("formula", "scope", "light"),
    [
        (compile_expression("input.a + 'x'"), {"input": {"a": TEXT}}, True),
        (compile_expression("input.a"), {"input": {"a": TEXT * 10_000}}, True),
        (compile_expression("size(input.a)"), {"input": {"a": 1, "b": TEXT * 10_000}}, True),
        (compile_expression(f"size({repeated('input.a', 150)})"), {"input": {"a": TEXT}}, False),
        (compile_expression("size(input.a)"), {"input": {"a": TEXT * 100}}, False),
        (compile_expression("input.a.all(x, true)"), {"input": {"a": []}}, False),
        (compile_expression("'a'.matches('a')"), {}, False),
        (compile_template({"a": "${ input.a }"}), {"input": {"a": TEXT * 10_000}}, True),
        (compile_template(["${ input.a }", "${ input.b }"]), {"input": {"a": TEXT * 1_000, "b": TEXT * 1_000}}, True),
        (compile_template(["${ input.a }"] * 1_000), {"input": {"a": TEXT}}, True),
        (compile_template(["${ input.a }"] * 1_000), {"input": {"a": TEXT * 2}}, False),
        (compile_template(["${ input.a + '' }"] * 100), {"input": {"a": TEXT}}, False),
        (compile_template(["${ input.a }", "${ [1].map(x, x) }"]), {"input": {"a": 1}}, False),
        (compile_template([]), {"input": {"a": TEXT}}, True),
        (Program("value + 1", frozenset({"value"})), {"value": 1}, True),
        (Program("size(value)", frozenset({"value"})), {"value": TEXT * 100}, False),
    ],
)
def test_only_what_surely_costs_little_is_evaluated_on_the_spot(formula: Formula, scope: Json, light: bool) -> None:
    assert (heavy_data(formula, scope) is None) is light


@pytest.mark.parametrize(
    "formula",
    [
        compile_expression("[input.a].map(x, x)"),
        compile_template({"a": ["${ [input.a].map(x, x) } and ${ input.a }"]}),
    ],
)
def test_what_is_sent_is_all_that_is_mentioned(formula: Formula) -> None:
    scope: Json = {"input": {"a": {"b": [1.5, None]}, "c": 2}, "run": {"id": "r"}}

    data = heavy_data(formula, scope)

    assert data is not None
    assert json.loads(data) == {"input": {"a": {"b": [1.5, None]}}}
    assert finish(formula, perform(pack(formula, data))) == formula.evaluate(scope)


def test_secrets_of_a_template_are_not_sent_and_keep_their_places() -> None:
    template = compile_template({"a": ["Bearer ${ secrets.TOKEN } ${ [input.b].map(x, x) }"]}, secrets=True)

    data = heavy_data(template, {"input": {"b": "${ secrets.OTHER }"}})

    assert data is not None
    packed = pack(template, data)
    assert b"TOKEN" not in packed
    prepared = finish(template, perform(packed))
    assert template.reveal(prepared, {"TOKEN": "hush"}) == {"a": ['Bearer hush ["${ secrets.OTHER }"]']}
