"""Documents made to do harm: they cost little and get a clear answer."""

import pytest

from gql_app.core.errors import ProblemCode as Code
from gql_app.core.planning import Limits
from gql_app.core.values import Json
from tests.support.planning import document, found, node, planned, problems


def nested(depth: int) -> Json:
    value: Json = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def with_schema(schema: Json, input: Json = None) -> Json:
    return document(node("a"), inputSchema=schema, input=input)


@pytest.mark.parametrize("what", [nested(100_000), document(node("a"), input=nested(100_000))])
def test_endless_nesting_is_one_problem(what: Json) -> None:
    (problem,) = problems(what)

    assert problem.code is Code.LIMIT_EXCEEDED
    assert problem.message == "Lists and objects are nested deeper than 64 levels."


def test_a_value_that_contains_itself_is_one_problem() -> None:
    value: list[Json] = []
    value.append(value)

    assert [problem.code for problem in problems(document(node("a"), input=value))] == [Code.LIMIT_EXCEEDED]


def test_a_value_that_grows_by_repetition_is_one_problem() -> None:
    value: list[Json] = [1] * 10
    for _ in range(20):
        value = [value] * 10

    assert found(document(node("a"), input=value)) == [(Code.LIMIT_EXCEEDED, "")]


def test_a_million_fields_are_one_problem() -> None:
    assert found(document(node("a"), input=dict.fromkeys(map(str, range(1_000_001))))) == [(Code.LIMIT_EXCEEDED, "")]


def test_problems_without_end_are_counted() -> None:
    what = document(node("a"), **dict.fromkeys((f"x{i}" for i in range(2_000)), 1))

    told = problems(what)

    assert len(told) == 101
    assert told[-1].message == "1900 more problems are not shown; these are 100 of them."


def test_ten_thousand_bad_nodes_are_refused() -> None:
    assert len(problems(document(*([7] * 9_999)), limits=Limits(maximum_nodes=10_000))) == 101


def test_ten_thousand_nodes_in_a_chain_are_planned() -> None:
    what = document(node("n0"), *(node(f"n{i}", dependsOn=[f"n{i - 1}"]) for i in range(1, 10_000)))

    assert len(planned(what, limits=Limits(maximum_nodes=10_000)).plan.nodes) == 10_000


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"$ref": "#"}, id="refers to itself"),
        pytest.param({"$ref": "http://127.0.0.1:9/schema"}, id="refers to another host"),
        pytest.param({"$ref": "https://json-schema.org/draft/2020-12/schema"}, id="refers to the meta-schema"),
        pytest.param({"$ref": "#/$defs/x"}, id="refers to nothing"),
        pytest.param({"pattern": "(?=a)"}, id="looks ahead"),
        pytest.param({"pattern": "("}, id="bad pattern"),
        pytest.param({"$schema": "http://json-schema.org/draft-07/schema#"}, id="another dialect"),
        pytest.param({"allOf": [{"$schema": "x"}]}, id="a dialect inside"),
        pytest.param({"patternProperties": {"a": {}}, "unevaluatedProperties": False}, id="slow together"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: Json) -> None:
    (problem,) = problems(with_schema(schema, "a"))

    assert problem.code is Code.INVALID_FIELD
    assert problem.pointer.startswith("/inputSchema")


@pytest.mark.parametrize(
    ("schema", "input"),
    [
        pytest.param(
            {
                "$ref": "#/$defs/a0",
                "$defs": {f"a{i}": {"anyOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)}
                | {"a40": {"type": "string"}},
            },
            1,
            id="doubles with every reference",
        ),
        pytest.param({"items": {"allOf": [{"type": "integer"}] * 700}}, [1] * 3_000, id="much for every item"),
        pytest.param({"allOf": [{}] * 5_000}, 1, id="too many schemas"),
        pytest.param({"description": "x" * 70_000}, 1, id="too long"),
    ],
)
def test_a_schema_that_is_too_much_work_is_refused(schema: Json, input: Json) -> None:
    assert found(with_schema(schema, input)) == [(Code.LIMIT_EXCEEDED, "/inputSchema")]


def test_a_pattern_takes_time_linear_in_the_text() -> None:
    assert found(with_schema({"pattern": "^(a+)+$"}, "a" * 50_000 + "!")) == [(Code.INVALID_INPUT, "/input")]


@pytest.mark.parametrize(
    ("values", "unique"),
    [
        ([{"a": i} for i in range(20_000)], True),
        ([1, True, "1", [1], [True], {"a": 1}, {"a": True}, None, False, 0], True),
        ([1, 1.0], False),
        ([{"a": [1], "b": 2}, {"b": 2, "a": [1.0]}], False),
    ],
)
def test_items_are_unique_by_the_rules_of_json(values: list[Json], unique: bool) -> None:
    what = with_schema({"uniqueItems": True}, values)

    assert (planned(what).input == values) if unique else (found(what) == [(Code.INVALID_INPUT, "/input")])


def test_more_expressions_than_are_worth_compiling_are_one_problem() -> None:
    what = document(*(node(f"n{i}", input={"value": ["${ input }"] * 501}) for i in range(10)))

    (problem,) = problems(what)

    assert (problem.code, problem.pointer) == (Code.LIMIT_EXCEEDED, "/nodes")
    assert problem.message == "The workflow has 5010 expressions; 5000 are allowed."


def test_a_document_full_of_long_expressions_is_one_problem() -> None:
    long = "${ [" + ",".join(["input"] * 300) + "] }"

    (problem,) = problems(document(*(node(f"n{i}", input={"value": [long] * 15}) for i in range(10))))

    assert problem.code is Code.LIMIT_EXCEEDED
    assert "expressions have 270450 characters; 262144 are allowed" in problem.message


def test_a_value_full_of_long_expressions_is_one_problem() -> None:
    long = "${ [" + ",".join(["input"] * 300) + "] }"

    (problem,) = problems(document(node("a", input={"value": [long] * 20})))

    assert (problem.code, problem.pointer) == (Code.INVALID_EXPRESSION, "/nodes/0/input")
    assert problem.message == "The value's expressions have more than 32768 characters."
