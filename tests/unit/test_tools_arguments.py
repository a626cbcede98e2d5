"""How a resolved input becomes arguments, and a return value JSON."""

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, field_validator

from gql_app import tool
from gql_app.core.errors import InvalidInputError, InvalidOutputError
from gql_app.core.values import Json
from gql_app.engine.outputs import encode_output
from gql_app.tools.decorator import FunctionTool
from tests.support.tools import CONTEXT, Item


class Colour(Enum):
    RED = "red"


def taking(hint: Json) -> FunctionTool[..., Json]:
    """Make a tool with one parameter, `value`, of this type."""

    def take(value: Json) -> None: ...

    take.__annotations__["value"] = hint
    return tool(take)


@pytest.mark.parametrize(
    ("hint", "value", "argument"),
    [
        (int, 3, 3),
        (int, 3.0, 3),
        (float, 3, 3.0),
        (date, "2026-02-03", date(2026, 2, 3)),
        (tuple[int, int], [1, 2], (1, 2)),
        (tuple[int, int], [1.0, 2], (1, 2)),
        (Colour, "red", Colour.RED),
        (UUID, "00000000-0000-0000-0000-000000000001", UUID(int=1)),
        (Literal["on", "off"], "off", "off"),
        (set[str], ["b", "a", "b"], {"a", "b"}),
        (Decimal, "1.10", Decimal("1.10")),
        (Json, {"a": [1, 2.0, None, "x"]}, {"a": [1, 2.0, None, "x"]}),
    ],
)
def test_json_becomes_the_type_a_parameter_asks_for(hint: Json, value: Json, argument: Json) -> None:
    parsed = taking(hint).parse({"value": value})["value"]

    assert parsed == argument
    assert type(parsed) is type(argument)


@pytest.mark.parametrize(
    ("hint", "value", "reason"),
    [
        (int, "3", "`value`: Input should be a valid integer, not '3'"),
        (int, 3.5, "`value`: Input should be a valid integer, not 3.5"),
        (int, True, "`value`: Input should be a valid integer, not true"),
        (int, None, "`value`: Input should be a valid integer, not null"),
        (float, "3.5", "`value`: Input should be a valid number, not '3.5'"),
        (str, 5, "`value`: Input should be a valid string, not 5"),
        (str, ["x"], "`value`: Input should be a valid string, not an array of 1"),
        (str, {"x": 1}, "`value`: Input should be a valid string, not an object"),
        (bool, 1, "`value`: Input should be a valid boolean, not 1"),
        (bool, "true", "`value`: Input should be a valid boolean, not 'true'"),
        (tuple[int, int], [1, "2"], "`value.1`: Input should be a valid integer, not '2'"),
        (Literal["on", "off"], "maybe", "`value`: Input should be 'on' or 'off', not 'maybe'"),
        (date, "soon", "`value`: Input should be a valid date"),
    ],
)
def test_no_value_is_taken_for_another_type(hint: Json, value: Json, reason: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        taking(hint).parse({"value": value})

    assert reason in str(caught.value)
    assert caught.value.type == "InvalidInput"
    assert not caught.value.retryable


def test_a_whole_number_with_a_fraction_is_still_told_when_something_else_is_wrong() -> None:
    @tool
    def take(count: int, flag: bool) -> None: ...

    with pytest.raises(InvalidInputError) as caught:
        take.parse({"count": 3.0, "flag": 0})

    assert str(caught.value) == "The input does not fit the tool: `flag`: Input should be a valid boolean, not 0."


def test_unknown_fields_are_refused_with_those_there_are() -> None:
    @tool
    def take(url: str, method: str = "GET") -> None: ...

    with pytest.raises(InvalidInputError) as caught:
        take.parse({"url": "x", "methd": "POST", "zz": 1})

    assert str(caught.value) == "The input has fields the tool does not know: 'methd', 'zz'. It takes method, url."


def test_unknown_fields_of_a_model_are_refused_too() -> None:
    @tool
    def sell(item: Item) -> None: ...

    with pytest.raises(InvalidInputError, match=r"does not know: 'unit_price'. It takes name, unitPrice."):
        sell.parse({"name": "pen", "unit_price": 1.0})


def test_a_tool_without_fields_says_so() -> None:
    @tool
    def nothing() -> None: ...

    with pytest.raises(InvalidInputError, match="It takes no fields"):
        nothing.parse({"a": 1})


def test_a_missing_field_is_named() -> None:
    @tool
    def take(url: str) -> None: ...

    with pytest.raises(InvalidInputError, match="`url` is missing"):
        take.parse({})


@pytest.mark.parametrize(("value", "kind"), [(None, "null"), ([1], "an array of 1"), ("x", "'x'"), (5, "5")])
def test_an_input_that_is_no_object_is_refused(value: Json, kind: str) -> None:
    with pytest.raises(InvalidInputError, match=f"The input must be an object, not {kind}."):
        taking(int).parse(value)


def test_a_huge_value_never_stands_in_the_message() -> None:
    huge = "x" * 100_000

    with pytest.raises(InvalidInputError) as wrong_type:
        taking(int).parse({"value": huge})
    with pytest.raises(InvalidInputError) as unknown:
        taking(int).parse({huge: 1})

    assert "not a string of 100000 characters" in str(wrong_type.value)
    assert len(str(wrong_type.value)) < 300
    assert len(str(unknown.value)) < 500


def test_at_most_five_problems_are_told_and_the_others_counted() -> None:
    @tool
    def take(numbers: list[int]) -> None: ...

    with pytest.raises(InvalidInputError) as caught:
        take.parse({"numbers": ["a"] * 8})

    assert str(caught.value).count("Input should be") == 5
    assert str(caught.value).endswith("; and 3 more.")


def test_a_validator_of_the_author_is_heard() -> None:
    class Range(BaseModel):
        low: int

        @field_validator("low")
        @classmethod
        def positive(cls, low: int) -> int:
            if low < 0:
                raise ValueError("low is below zero")
            return low

    @tool
    def take(value: Range) -> None: ...

    with pytest.raises(InvalidInputError, match="`low`: Value error, low is below zero"):
        take.parse({"low": -1})


def test_arguments_share_nothing_with_the_input() -> None:
    shared = {"list": [1]}

    arguments = taking(Json).parse({"value": shared})
    arguments["value"]["list"].append(2)

    assert shared == {"list": [1]}


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="not JSON"):
        taking(str).parse({"value": "\ud800"})


@dataclass
class Sighting:
    at: datetime
    colour: Colour


def test_what_a_tool_returns_becomes_json_by_its_annotation() -> None:
    @tool
    def see() -> list[Sighting]:
        return [Sighting(datetime(2026, 1, 2, tzinfo=UTC), Colour.RED)]

    assert see.run({}, CONTEXT) == [{"at": "2026-01-02T00:00:00Z", "colour": "red"}]
    assert see.definition.output_schema["items"] == {"$ref": "#/$defs/Sighting"}


def test_a_returned_model_is_written_by_its_aliases_as_its_schema_says() -> None:
    @tool
    def make() -> Item:
        return Item(name="pen", unit_price=1.5)

    assert make.run({}, CONTEXT) == {"name": "pen", "unitPrice": 1.5}
    assert set(make.definition.output_schema["properties"]) == {"name", "unitPrice"}


def test_what_is_not_annotated_is_returned_as_it_is() -> None:
    result = object()

    @tool
    def make() -> Json:
        return result

    assert make.run({}, CONTEXT) is result


def test_a_return_value_that_breaks_the_annotation_is_refused() -> None:
    @tool
    def make() -> int:
        return "text"  # type: ignore[return-value] # a tool that does not keep its word

    with pytest.raises(InvalidOutputError, match="returned a str that does not fit its annotation") as caught:
        make.run({}, CONTEXT)

    assert not caught.value.retryable


@pytest.mark.parametrize("hint", [object, dict[str, object], dict[str, float], list[Item]], ids=str)
def test_a_number_that_is_not_finite_is_not_made_null_behind_the_tools_back(hint: Json) -> None:
    def make() -> Json:
        item = Item(name="pen", unit_price=math.inf)
        return {object: math.inf, list[Item]: [item]}.get(hint, {"a": math.inf})

    make.__annotations__["return"] = hint

    with pytest.raises(InvalidOutputError, match="not finite"):
        encode_output(tool(make).run({}, CONTEXT), 1024)
