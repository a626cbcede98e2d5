"""One expression: what it may mention, what it gives, and how it fails."""

import copy
from enum import StrEnum

import pytest

from gql_app.core.errors import ToolError
from gql_app.core.expressions import (
    EvaluationFailed,
    InvalidExpression,
    Path,
    compile_expression,
    node_references,
    whole_reference,
)
from gql_app.core.values import Json

SCOPE: Json = {
    "input": {"topic": "graphql", "count": 2, "price": 1.5, "words": ["a", "b"], "odd key": "odd", "none": None},
    "run": {"id": "run-1"},
    "nodes": {
        "search": {"output": {"body": "found", "items": [{"n": 1}, {"n": 2}]}, "status": "COMPLETED", "error": None},
        "broken": {"output": None, "status": "FAILED", "error": {"type": "Oops"}},
    },
}


def evaluate(text: str, scope: Json = SCOPE) -> Json:
    return compile_expression(text).evaluate(scope)


def refusal(text: str) -> InvalidExpression:
    with pytest.raises(InvalidExpression) as caught:
        compile_expression(text)
    return caught.value


def failure(text: str, scope: Json = SCOPE) -> str:
    with pytest.raises(EvaluationFailed) as caught:
        compile_expression(text).evaluate(scope)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("input.topic", "graphql"),
        ("input['odd key']", "odd"),
        ("input.`odd key`", "odd"),
        (".input.topic", "graphql"),
        ("input.none", None),
        ("input.topic + '?'", "graphql?"),
        ("input.count * 2", 4),
        ("input.price * 2.0", 3.0),
        ("nodes.search.output.items[1].n", 2),
        ("nodes.search.output.items.map(x, x.n)", [1, 2]),
        ("nodes['search'].status", "COMPLETED"),
        ("nodes.broken.error.type", "Oops"),
        ("nodes.broken.output == null", True),
        ("run.id", "run-1"),
        ("has(input.topic)", True),
        ("has(input.missing)", False),
        ("has(nodes.search.output.missing)", False),
        ("'topic' in input", True),
        ("size(input.words) > 1 ? 'many' : 'few'", "many"),
        ("{'a': [1, {'b': null}]}", {"a": [1, {"b": None}]}),
        ("timestamp('2024-05-06T07:08:09Z')", "2024-05-06T07:08:09Z"),
        ("timestamp('2024-05-06T09:08:09.25+02:00')", "2024-05-06T07:08:09.250000Z"),
        ("duration('1.5s')", "PT1.5S"),
        ("duration('90m')", "PT5400S"),
        ("duration('-0.25s')", "-PT0.25S"),
        ("[duration('0s')]", ["PT0S"]),
        ("18446744073709551615u", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("'é' + '\\U0001F600'", "é😀"),
    ],
)
def test_an_expression_gives_json(text: str, result: Json) -> None:
    given = evaluate(text)

    assert (given, type(given)) == (result, type(result))


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("1 + 2", []),
        ("input", [("input",)]),
        ("input.topic + input.base", [("input", "base"), ("input", "topic")]),
        ("input.a.b + input.a", [("input", "a")]),
        ("input.ab + input.a.b", [("input", "a", "b"), ("input", "ab")]),
        ("has(input.a.b)", [("input", "a", "b")]),
        ("input.words[0]", [("input", "words")]),
        ("input[input.key]", [("input",)]),
        ("nodes.a.output[run.id].x", [("nodes", "a", "output"), ("run", "id")]),
        ("nodes['a'].output['b c'].d", [("nodes", "a", "output", "b c", "d")]),
        ("[nodes.a.output, {'k': nodes.b.status}]", [("nodes", "a", "output"), ("nodes", "b", "status")]),
        ("{input.key: 1}", [("input", "key")]),
        ("input.words.exists(w, w == nodes.a.output.w)", [("input", "words"), ("nodes", "a", "output", "w")]),
        ("input.words.map(w, w.size())", [("input", "words")]),
        ("nodes.a.output.filter(x, x.input.nodes)", [("nodes", "a", "output")]),
        ("'nodes.a.output ' + r'${ nodes.b.output }' // nodes.c.output", []),
        ("input.nodes.a.output", [("input", "nodes", "a", "output")]),
        ("google.protobuf.Struct{fields: {'k': nodes.a.output}}", [("nodes", "a", "output")]),
        ("input.l[0] + nodes.a.output.l[0] + 'text'", [("input", "l"), ("nodes", "a", "output", "l")]),
    ],
)
def test_an_expression_tells_all_it_mentions(text: str, paths: list[Path]) -> None:
    assert list(compile_expression(text).paths) == paths


def test_node_references_name_the_fields_of_each_node() -> None:
    paths: list[Path] = [
        ("input", "nodes"),
        ("nodes", "a", "output", "body"),
        ("nodes", "a", "status"),
        ("nodes", "b", "error", "type"),
        ("run", "id"),
    ]

    assert node_references(paths) == {"a": frozenset({"output", "status"}), "b": frozenset({"error"})}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("topic", "undeclared reference to 'topic'", "In scope are `input`"),
        ("now()", "undeclared reference to 'now'", "In scope are `input`"),
        ("nodes", "`nodes` can only be used as `nodes.<id>`", "In scope are"),
        ("size(nodes)", "`nodes` can only be used as `nodes.<id>`", "In scope are"),
        ("nodes[input.key].output", "`nodes` can only be used as `nodes.<id>`", "In scope are"),
        ("nodes.all(n, true)", "`nodes` can only be used as `nodes.<id>`", "In scope are"),
        ("nodes.search", "`nodes.search` is not a value", "`nodes.search.output`"),
        ("has(nodes.search)", "`nodes.search` is not a value", "`nodes.search.output`"),
        ("nodes.search[input.key]", "`nodes.search` is not a value", "`nodes.search.output`"),
        ("nodes.search.result", "a node has no `result`", "`nodes.search.output`"),
        ("run", "`run` can only be used as `run.id`", "`run.id`"),
        ("run.name", "`run` can only be used as `run.id`", "`run.id`"),
        ("[1].map(input, input)", "the variable `input` would hide `input`", "another name"),
        ("[1].all(nodes, true)", "the variable `nodes` would hide `nodes`", "another name"),
        ("[1].exists(run, true)", "the variable `run` would hide `run`", "another name"),
        ("1.5 * 2", "no matching overload", "`double(x)`"),
        ("'a' + 1", "no matching overload", "`string(x)`"),
        ("", "empty", "`$${`"),
        (" \n", "empty", "`$${`"),
        ("+".join("1" * 40), "recursion depth", "group with brackets"),
        ("'" + "x" * 2047 + "'", "2049 bytes long; 2048 are allowed", "Split it"),
        ("'" + "é" * 1024 + "'", "2050 bytes long; 2048 are allowed", "Split it"),
        ("[1].map(a, [2].map(b, [3].map(c, c)))", "3 comprehensions; 2 are allowed", "Split it"),
    ],
)
def test_an_expression_that_cannot_work_is_refused_with_a_way_out(text: str, message: str, hint: str) -> None:
    error = refusal(text)

    assert message in error.message
    assert hint in (error.hint or "")
    assert error.text == text


def test_an_expression_at_its_limits_is_accepted() -> None:
    longest = "'" + "x" * 2046 + "'"

    assert evaluate(longest) == "x" * 2046
    assert evaluate("[1].map(a, [2].map(b, a + b))") == [[3]]


def test_a_refusal_shows_where_cel_stopped() -> None:
    assert refusal("input.a +\n  )").message.splitlines()[1:] == [" |   )", " | ..^"]


def test_a_refusal_of_ours_shows_the_place_like_cel() -> None:
    error = refusal("'é😀' +\n  nodes.search")

    assert error.message.splitlines() == [
        "line 2, column 3: `nodes.search` is not a value",
        " |   nodes.search",
        " | ..^",
    ]


def test_the_depth_limit_is_told_once() -> None:
    assert len(refusal("+".join(["input.a"] * 100)).message.splitlines()) == 1


def test_a_refusal_tells_the_first_problems_and_counts_the_rest() -> None:
    error = refusal("[" + ",".join("abcdefgh") + "]")

    assert [line for line in error.message.splitlines() if not line.startswith(" |")] == [
        "line 1, column 2: undeclared reference to 'a'",
        "line 1, column 4: undeclared reference to 'b'",
        "line 1, column 6: undeclared reference to 'c'",
        "(and 5 more)",
    ]


def test_a_failure_quotes_only_the_beginning_of_a_long_key() -> None:
    assert len(failure("input[input.key]", {"input": {"key": "k" * 10_000}})) < 400


def test_half_a_surrogate_pair_in_an_expression_is_refused() -> None:
    assert "surrogate" in refusal("'\ud800'").message


@pytest.mark.parametrize("text", ["input.l[0] + input.l[1] + '!'", "input['k'] + input.l[0] + '!'"])
def test_items_of_unknown_type_may_be_texts(text: str) -> None:
    assert evaluate(text, {"input": {"l": ["a", "b"], "k": "c"}}) in ("ab!", "ca!")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("input.missing", 'there is no key "missing"'),
        ("input.missing + 1", 'there is no key "missing"'),
        ("input.missing.deeper", 'there is no key "missing"'),
        ("input.topic.deeper", "not a map"),
        ("input.words[7]", "index"),
        ("1 / 0", "divide by zero"),
        ("1.0 / 0.0", "the result holds inf"),
        ("[double('NaN')]", "the result holds nan"),
        ("9223372036854775807 + input.count", "overflow"),
        ("input.price * 2", "`double(x)`"),
        ("input.topic + input.words", "`string(x)`"),
        ("b'abc'", "bytes"),
        ("[b'abc']", "bytes"),
        ("{'k': type(1)}", "the result holds a Type"),
        ("{1: 2}", "the key 1"),
        ("{'a': 1, 'a': 2}", "failed: duplicate key in map."),
        ("int(input.topic)", "cannot convert string to int"),
        ("nodes.missing.output", 'there is no key "missing"'),
    ],
)
def test_a_failure_quotes_the_expression_and_says_why(text: str, reason: str) -> None:
    message = failure(text)

    assert message.startswith(f"Expression `{text}` failed: ")
    assert reason in message


def test_a_failure_is_an_expression_error_that_no_retry_helps() -> None:
    error = EvaluationFailed("1 / 0", "divide by zero.")

    assert isinstance(error, ToolError)
    assert (error.type, error.retryable, error.expression) == ("ExpressionError", False, "1 / 0")


def test_a_failure_quotes_only_the_beginning_of_a_long_expression() -> None:
    assert len(failure("input.missing + '" + "x" * 2000 + "'")) < 300


@pytest.mark.parametrize(
    "number", [2**64, -(2**63) - 1, pytest.param(10**5000, id="10**5000"), float("inf"), float("nan")]
)
@pytest.mark.parametrize("text", ["input.n", "[input.n]"])
def test_numbers_beyond_64_bits_or_infinite_fail(text: str, number: float) -> None:
    assert text in failure(text, {"input": {"n": number}})


@pytest.mark.parametrize("text", ["input.t + 'x'", "[input.t]", "input.m[input.k]", "[input.m]"])
def test_half_a_surrogate_pair_in_the_data_fails(text: str) -> None:
    assert "surrogate" in failure(text, {"input": {"t": "\ud800", "m": {"\ud800": 1}, "k": "k"}})


@pytest.mark.parametrize("text", ["input.deep", "[input.deep]"])
def test_a_result_nested_too_deeply_fails(text: str) -> None:
    deep: Json = 0
    for _ in range(900):
        deep = [deep]

    assert "nested deeper than 100 levels" in failure(text, {"input": {"deep": deep}})


def test_an_expression_fails_clearly_when_a_variable_is_not_there() -> None:
    assert failure("input.a", {}).startswith("Expression `input.a` failed: ")


class Status(StrEnum):
    """A status as the product holds it."""

    COMPLETED = "COMPLETED"


@pytest.mark.parametrize("text", ["nodes.a.status", "nodes.a.status + ''", "nodes.a['status']"])
def test_a_status_is_a_text(text: str) -> None:
    result = evaluate(text, {"nodes": {"a": {"status": Status.COMPLETED}}})

    assert (result, type(result)) == ("COMPLETED", str)


@pytest.mark.parametrize("data", [{"k": "a\0b"}, {"a\0b": "k"}, ["\0"], "\0"])
def test_a_text_that_cel_would_cut_off_is_refused_and_a_reference_hands_it_on(data: Json) -> None:
    scope = {"input": {"data": data}}

    assert "U+0000" in failure("[input.data]", scope)
    assert evaluate("input.data", scope) == data


@pytest.mark.parametrize("data", [b"bytes", {1: 2}, {"k": (1, 2)}, {"k": {1}}])
@pytest.mark.parametrize("text", ["input.data", "[input.data]"])
def test_data_that_is_not_json_fails(text: str, data: Json) -> None:
    assert "JSON" in failure(text, {"input": {"data": data}})


class Trap(dict[str, Json]):
    """A map that must not be looked through."""

    def __iter__(self) -> Json:
        raise AssertionError("the map was read as a whole")

    def items(self) -> Json:
        raise AssertionError("the map was read as a whole")


@pytest.mark.parametrize("text", ["nodes.a.output.body", "nodes.a.output.body + '!'", "has(nodes.a.output.body)"])
def test_an_evaluation_looks_only_at_what_it_mentions(text: str) -> None:
    output = Trap(body="found", other="x" * 1000)
    scope = Trap(nodes=Trap(a=Trap(output=output, status="COMPLETED"), b=Trap()), input=Trap())

    assert evaluate(text, scope) in ("found", "found!", True)


@pytest.mark.parametrize("text", ["nodes.search.output", "[nodes.search.output][0]"])
def test_a_result_shares_nothing_with_the_scope(text: str) -> None:
    scope = copy.deepcopy(SCOPE)

    result = evaluate(text, scope)
    result["items"][0]["n"] = 99
    result["new"] = True

    assert scope == SCOPE


def test_an_expression_is_compiled_once() -> None:
    assert compile_expression("input.topic + '1'") is compile_expression("input.topic + '1'")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("${ nodes.search.output }", ("nodes", "search", "output")),
        ("${nodes.search.output.body.x}", ("nodes", "search", "output", "body", "x")),
        ("${ nodes['search'].output }", ("nodes", "search", "output")),
        ("${ nodes.search.output.items[0] }", None),
        ("${ has(nodes.search.output.body) }", None),
        ("${ nodes.search.output.body + '' }", None),
        ("${ [nodes.search.output] }", None),
        ("${ nodes.search.status }", None),
        ("${ input.topic }", None),
        ("${ nodes.search }", None),
        ("x ${ nodes.search.output }", None),
        ("${ nodes.search.output } ", None),
        ("${ nodes.search.output", None),
        ("$${ nodes.search.output }", None),
        ("nodes.search.output", None),
    ],
)
def test_a_whole_reference_is_nothing_but_the_output_of_a_node(text: str, path: Path | None) -> None:
    assert whole_reference(text) == path
