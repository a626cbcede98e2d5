"""The tool `text.template`."""

import pytest

from gql_app.core.errors import InvalidInputError, InvalidOutputError
from gql_app.core.values import Json
from gql_app.settings import Settings
from gql_app.tools.text import render, text_template


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        ("", {}, ""),
        ("plain", {}, "plain"),
        ("Hello, {name}!", {"name": "Ada"}, "Hello, Ada!"),
        ("{ name }", {"name": "Ada"}, "Ada"),
        ("{a}{b}", {"a": 1, "b": None}, "1null"),
        ("{a}", {"a": {"ü": [1, 2.5, True]}}, '{"ü":[1,2.5,true]}'),
        ("{a.b.1.c}", {"a": {"b": [0, {"c": "deep"}]}}, "deep"),
        ("{first-name} {0}", {"first-name": "Ada", "0": "x"}, "Ada x"),
        ("{{name}} {{}}", {"name": "Ada"}, "{name} {}"),
        ("{a}", {"a": "{b}", "b": "twice"}, "{b}"),
        ("$ {a}", {"a": "${ input }"}, "$ ${ input }"),
    ],
)
def test_values_are_filled_in(template: str, values: dict[str, Json], text: str) -> None:
    assert render(template, values, 1_000) == text


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{nme}", "names `nme`, but there is no `nme` among `items`, `name`"),
        ("{name.upper}", "there is no `upper`"),
        ("{name.__class__.__mro__}", "there is no `__class__`"),
        ("{items.2}", "there is no `2` in a list of 2"),
        ("{items.append}", "there is no `append` in a list of 2"),
        ("{name!r}", "has `{name!r}` at character 1: between braces stands a name"),
        ("{name:>10}", "between braces stands a name"),
        ("{items[0]}", "between braces stands a name"),
        ("{}", "has `{}` at character 1"),
        ("{a..b}", "between braces stands a name"),
        ("ab {name", "single `{` at character 4: write `{{` for a brace"),
        ("name}", "single `}` at character 5: write `}}` for a brace"),
    ],
)
def test_a_template_that_cannot_be_filled_is_refused_with_the_way_out(template: str, reason: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        render(template, {"name": "Ada", "items": [1, 2]}, 1_000)

    assert reason in str(caught.value)
    assert not caught.value.retryable


def test_a_text_cannot_grow_beyond_the_limit() -> None:
    with pytest.raises(InvalidOutputError, match="over 1000 characters"):
        render("{a}" * 100_000, {"a": "x" * 100_000}, 1_000)


def test_a_long_name_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidInputError) as caught:
        render("{" + "a" * 10_000 + "}", {}, 1_000)

    assert len(str(caught.value)) < 300


def test_the_tool_returns_a_text_and_needs_no_values() -> None:
    template = text_template(Settings())

    assert template.definition.name == "text.template"
    assert template.definition.output_schema == {"type": "string"}
    assert template.definition.input_schema["required"] == ["template"]
