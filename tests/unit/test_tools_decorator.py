"""What `@tool` makes of a function, and what it refuses."""

import pickle
from collections.abc import Callable
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from gql_app import RetryPolicy, TimeoutPolicy, ToolContext, tool
from gql_app.core.errors import InvalidToolError
from gql_app.core.values import Json
from tests.support.tools import CONTEXT, Item, Opaque, RenamedGreeting, greet, greet_renamed, greet_slowly


def test_a_bare_decorator_takes_name_and_description_from_the_function() -> None:
    @tool
    async def shout(text: str, times: int = 2) -> str:
        """Shout a text more than once.

        How loud is up to the reader.
        """
        return text.upper() * times

    definition = shout.definition

    assert definition.name == "shout"
    assert definition.description == "Shout a text more than once."
    assert definition.isolation == "async"
    assert definition.input_schema == {
        "type": "object",
        "properties": {"text": {"type": "string"}, "times": {"type": "integer", "default": 2}},
        "required": ["text"],
        "additionalProperties": False,
    }
    assert definition.output_schema == {"type": "string"}


def test_arguments_of_the_decorator_win_over_the_function() -> None:
    @tool(
        name="text.shout-2",
        description="Louder.",
        retry=RetryPolicy(maximum_attempts=5),
        timeout=TimeoutPolicy(attempt_seconds=2),
        max_concurrency=3,
    )
    def shout(text: str) -> str:
        """Shout."""
        return text.upper()

    definition = shout.definition

    assert (definition.name, definition.description) == ("text.shout-2", "Louder.")
    assert definition.retry.model_fields_set == {"maximum_attempts"}
    assert definition.timeout.model_fields_set == {"attempt_seconds"}
    assert definition.max_concurrency == 3
    assert definition.isolation == "thread"


def test_a_tool_is_still_called_like_the_function() -> None:
    assert greet("Ada") == "Hello, Ada!"
    assert greet.__name__ == "greet"
    assert greet.__doc__ == "Greet somebody."


def test_a_function_without_parameters_takes_an_empty_object() -> None:
    @tool
    def nothing() -> None:
        """Do nothing."""

    assert nothing.definition.input_schema == {"type": "object", "properties": {}, "additionalProperties": False}
    assert nothing.definition.output_schema == {"type": "null"}
    assert nothing.run(nothing.parse({}), CONTEXT) is None


def test_what_is_not_annotated_is_any_json() -> None:
    @tool
    def identity(value):  # type: ignore[no-untyped-def] # what happens to it is the test
        return value

    assert identity.definition.input_schema["properties"] == {"value": {}}
    assert identity.definition.output_schema is True
    assert identity.run(identity.parse({"value": [1, None]}), CONTEXT) == [1, None]


def test_one_model_alone_is_the_whole_input() -> None:
    @tool
    def sell(item: Item, context: ToolContext) -> float:
        return item.unit_price * context.attempt

    schema = sell.definition.input_schema

    assert set(schema["properties"]) == {"name", "unitPrice"}
    assert schema["additionalProperties"] is False
    assert sell.run(sell.parse({"name": "pen", "unitPrice": 2.5}), CONTEXT) == 2.5


def test_a_model_among_other_parameters_is_one_field() -> None:
    @tool
    def sell(item: Item, count: int) -> float:
        return item.unit_price * count

    assert set(sell.definition.input_schema["properties"]) == {"item", "count"}
    assert sell.run(sell.parse({"item": {"name": "pen", "unitPrice": 2.5}, "count": 2}), CONTEXT) == 5


def test_a_model_that_asks_for_more_fields_gets_them() -> None:
    class Open(BaseModel, extra="allow"):
        known: int

    @tool
    def names(value: Open) -> list[str]:
        return sorted(value.model_dump())

    assert names.definition.input_schema["additionalProperties"] is True
    assert names.run(names.parse({"known": 1, "other": 2}), CONTEXT) == ["known", "other"]


@pytest.mark.parametrize("name", ["copy", "json", "model_dump", "_private", "schema", "field_0", "self"])
def test_a_parameter_may_have_any_name(name: str) -> None:
    source: dict[str, Json] = {}
    # Written out, because the name is what varies.
    exec(f"def function({name}: int) -> int:\n    return {name}", source)

    function: Callable[..., int] = source["function"]
    made = tool(function)

    assert made.run(made.parse({name: 7}), CONTEXT) == 7


def test_the_context_goes_to_the_parameter_annotated_so_and_is_no_input() -> None:
    @tool
    def where(prefix: str, context: ToolContext | None = None) -> str:
        return f"{prefix}{context.node_id if context else None}"

    assert set(where.definition.input_schema["properties"]) == {"prefix"}
    assert where.run(where.parse({"prefix": "at "}), CONTEXT) == "at here"


def test_descriptions_and_constraints_reach_the_schema() -> None:
    @tool
    def take(count: Annotated[int, Field(ge=1, description="How many.")] = 1) -> None: ...

    assert take.definition.input_schema["properties"]["count"] == {
        "type": "integer",
        "minimum": 1,
        "default": 1,
        "description": "How many.",
    }


def test_a_default_without_a_json_form_is_left_out_of_the_schema() -> None:
    marker = object()

    @tool
    def take(value: Json = marker) -> bool:
        return value is marker

    assert "default" not in take.definition.input_schema["properties"]["value"]
    assert take.run(take.parse({}), CONTEXT) is True


def test_each_call_gets_a_default_of_its_own() -> None:
    @tool
    def collect(into: list[int] = []) -> list[int]:  # noqa: B006 - a common slip, which must not join two calls
        into.append(1)
        return into

    collect.run(collect.parse({}), CONTEXT)

    assert collect.run(collect.parse({}), CONTEXT) == [1]


def refused_signatures() -> dict[str, tuple[Callable[..., Json], str]]:
    def many(*values: int) -> None: ...

    def named(**values: int) -> None: ...

    def positional(value: int, /) -> None: ...

    def contexts(first: ToolContext, second: ToolContext) -> None: ...

    def opaque(value: Opaque) -> None: ...

    def opaque_result() -> Opaque:
        return Opaque()

    def unknown(value: "NoSuchType") -> None: ...  # type: ignore[name-defined] # noqa: F821 - the test's very point

    return {
        "variadic": (many, "'*values: int' takes any number of arguments"),
        "keywords": (named, "take a `dict` instead"),
        "positional": (positional, "'value: int' can only be passed by position"),
        "contexts": (contexts, "both 'first' and 'second' take the ToolContext"),
        "opaque": (opaque, "its parameter 'value' cannot be described as JSON"),
        "opaque result": (opaque_result, "its return value cannot be described as JSON"),
        "unknown": (unknown, "name 'NoSuchType' is not defined"),
    }


@pytest.mark.parametrize("case", refused_signatures())
def test_a_signature_that_json_cannot_call_is_refused_with_its_reason(case: str) -> None:
    function, reason = refused_signatures()[case]

    with pytest.raises(InvalidToolError) as caught:
        tool(function)

    assert f"Tool {function.__name__!r}: " in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", ["", "1st", "with space", "a" * 129, "tab\n", "ü", 5])
def test_a_name_that_documents_cannot_write_is_refused(name: Json) -> None:
    with pytest.raises(InvalidToolError, match=r"cannot be the name of the tool.*@tool\(name=…\)"):
        tool(name=name)(lambda: None)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"retry": 3}, "`retry` is 3; it takes a RetryPolicy"),
        ({"timeout": RetryPolicy()}, "it takes a TimeoutPolicy"),
        ({"max_concurrency": 0}, "`max_concurrency` is 0; it is at least 1"),
        ({"max_concurrency": True}, "`max_concurrency` is True"),
        ({"rate_limit": 5}, "`rate_limit` is 5; it takes a RateLimit"),
        ({"description": 5}, "`description` is 5; it takes a text"),
        ({"isolation": "container"}, "`isolation` is 'container'; it takes 'thread' or 'process'"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, Json], reason: str) -> None:
    with pytest.raises(InvalidToolError) as caught:
        tool(name="shout", **options)(lambda: None)

    assert "Tool 'shout': " in str(caught.value)
    assert reason in str(caught.value)


def test_an_async_function_cannot_be_isolated() -> None:
    async def shout() -> None: ...

    with pytest.raises(InvalidToolError, match="an async function runs on the event loop"):
        tool(isolation="process")(shout)


def test_a_nested_function_cannot_have_a_process_of_its_own() -> None:
    def shout() -> None: ...

    with pytest.raises(InvalidToolError, match="Move it to the top level of its module"):
        tool(isolation="process")(shout)


@pytest.mark.parametrize("thing", [5, "text", Item, staticmethod(len)])
def test_only_functions_become_tools(thing: Json) -> None:
    with pytest.raises(InvalidToolError, match="is not a function: @tool stands directly above"):
        tool(thing)


def test_a_tool_travels_to_another_process_by_its_name() -> None:
    run = pickle.loads(pickle.dumps(greet_slowly.run))

    assert run.__self__ is greet_slowly


def test_a_tool_made_without_the_decorator_travels_with_its_options() -> None:
    copy = pickle.loads(pickle.dumps(greet_renamed))

    assert copy is not greet_renamed
    assert copy.definition == greet_renamed.definition
    assert copy.definition.name == "greet.renamed"
    assert copy.run(copy.parse({"name": "Ada"}), CONTEXT) == RenamedGreeting(text="Hello, Ada!").model_dump()


def test_a_context_can_be_sent_to_another_process() -> None:
    copy = pickle.loads(pickle.dumps(CONTEXT))

    copy.heartbeat()
    assert copy == CONTEXT
    assert copy.cancelled() is False
