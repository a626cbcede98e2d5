"""Templates hold for any text and any value."""

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from gql_app.core.expressions import (
    EvaluationFailed,
    InvalidExpression,
    compile_expression,
    compile_template,
    escape_template,
)
from gql_app.core.values import Json

TOKENS = """
    input nodes run .a .l .output .status .id [0] ['k'] ( ) [ ] { } : , + - * / % ? == < && || ! in 1 2.5 3u 'x' b'z'
    null true x y .map(x, .filter(y, .all(x, has( size( string( int( double( duration( timestamp( type( .matches(
    '1s' '2020-01-01T00:00:00Z' nodes.a.output nodes.a.output.k input.l input.m
"""

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.text(st.sampled_from("${}'\"\\rb a\n") | CHARACTERS)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)


def values(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Json]:
    return st.recursive(
        SCALARS | texts,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(CHARACTERS), inner, max_size=4),
        max_leaves=10,
    )


def escaped(value: Json) -> Json:
    match value:
        case str():
            return escape_template(value)
        case list():
            return [escaped(item) for item in value]
        case dict():
            return {key: escaped(item) for key, item in value.items()}
        case _:
            return value


def literal(text: str, quote: str) -> str:
    """Write a text as a CEL string literal."""
    plain = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return quote + plain.replace(quote[0], "\\" + quote[0]) + quote


@given(values(TEXTS.filter(lambda text: "${" not in text)))
def test_a_value_without_expressions_is_itself(value: Json) -> None:
    assert compile_template(value).evaluate({}) is value


@given(values(TEXTS))
def test_an_escaped_value_stands_for_itself(value: Json) -> None:
    assert compile_template(escaped(value)).evaluate({}) == value


@given(TEXTS, st.sampled_from(["'", '"', "'''", '"""']), TEXTS, TEXTS)
def test_a_literal_is_read_as_cel_reads_it(text: str, quote: str, before: str, after: str) -> None:
    template = f"{escape_template(before)} ${{ {literal(text, quote)} }} {escape_template(after)}"

    assert compile_template(template).evaluate({}) == f"{before} {text} {after}"


@given(st.text(CHARACTERS).filter(lambda text: not set(text) & set("'\n\r")), TEXTS)
def test_a_raw_literal_is_read_as_cel_reads_it(text: str, after: str) -> None:
    raw = text.rstrip("\\")

    assert compile_template(f"${{r'{raw}'}} {escape_template(after)}").evaluate({}) == f"{raw} {after}"


@given(values(st.text(CHARACTERS)))
def test_data_passes_through_unchanged(value: Json) -> None:
    scope = {"input": {"value": value}}

    assert compile_expression("input.value").evaluate(scope) == value
    assert compile_expression("[input.value]").evaluate(scope) == [value]


@given(values(st.text(CHARACTERS)).filter(lambda value: not isinstance(value, str)))
def test_data_in_a_text_is_compact_json(value: Json) -> None:
    result = compile_template("=${ input.value }").evaluate({"input": {"value": value}})

    assert json.loads(result[1:]) == value
    assert result[1:] == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6))
def test_a_path_is_read_from_the_expression_however_it_is_written(names: list[str]) -> None:
    selected = "input." + ".".join(names)
    indexed = "input" + "".join(f"['{name}']" for name in names)

    paths = {compile_expression(text).paths for text in (selected, indexed, f"has({selected})", f"[{indexed}]")}

    assert paths == {(("input", *names),)}


@given(st.lists(st.sampled_from(TOKENS.split()), max_size=12), values(TEXTS), values(TEXTS))
def test_anything_written_is_refused_or_fails_clearly_or_gives_json(tokens: list[str], one: Json, other: Json) -> None:
    scope = {"input": {"a": one, "l": [other], "m": {"k": one}}, "nodes": {"a": {"output": other}}, "run": {"id": "r"}}

    with contextlib.suppress(InvalidExpression, EvaluationFailed):
        result = compile_expression("".join(tokens)).evaluate(scope)

        assert json.loads(json.dumps(result, allow_nan=False)) == result
