"""A variable is refused exactly when the executor would refuse it, and every refusal says where."""

import pytest
from graphql import (
    GraphQLInputType,
    OperationDefinitionNode,
    Undefined,
    build_schema,
    is_input_type,
    parse,
    type_from_ast,
)
from graphql.utilities import coerce_input_value
from hypothesis import given
from hypothesis import strategies as st

from gql_app.core.values import Json
from gql_app.schema.build import schema
from gql_app.schema.coercion import coerce_variables
from gql_app.schema.pointer import parse_pointer, select

# The printed schema has the same types, but for the scalars: any DateTime and any JSON will do.
PUBLISHED = build_schema(schema.as_str())
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(["FULL", "a"])
NAMES = st.sampled_from(
    ["id", "tool", "name", "nodes", "retry", "timeout", "jitter", "maximumAttempts", "attemptSeconds", "dependsOn", "x"]
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=20
)
SHAPED = st.fixed_dictionaries(
    {"name": st.just("brief") | VALUES},
    optional={
        "nodes": st.lists(
            st.fixed_dictionaries(
                {"id": st.just("a") | VALUES, "tool": st.just("echo")},
                optional={
                    "retry": st.fixed_dictionaries({}, optional={"maximumAttempts": LEAVES, "jitter": LEAVES}),
                    "timeout": VALUES,
                    "dependsOn": VALUES,
                    "continueOnFailure": LEAVES,
                },
            ),
            max_size=3,
        ),
        "timeoutSeconds": LEAVES,
    },
)


@given(VALUES | SHAPED)
def test_a_variable_is_refused_exactly_when_the_executor_refuses_it(value: Json) -> None:
    operation, expected = operation_of("WorkflowSpecInput!")

    values, errors = coerce_variables(PUBLISHED, operation, {"value": value})

    coerced = coerce_input_value(value, expected)
    assert bool(errors) == (coerced is Undefined)
    assert errors or values.coerced == {"value": coerced}


@given(SHAPED)
def test_a_pointer_leads_to_what_is_wrong_or_missing(value: Json) -> None:
    operation, _ = operation_of("WorkflowSpecInput!")

    _, errors = coerce_variables(PUBLISHED, operation, {"value": value})

    for error in errors:
        *parent, last = parse_pointer((error.extensions or {})["pointer"])
        holder = select(value, parent)
        assert isinstance(holder, dict | list)
        assert "missing" in error.message or isinstance(holder, list) or last in holder


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("Int!", 2**31, "expected a whole number of at most 32 bits, found a number"),
        ("Int", "1", "expected a whole number of at most 32 bits, found a string"),
        ("Float", float("nan"), "expected a finite number, found a number"),
        ("Boolean", 1, "expected true or false, found a number"),
        ("ID!", None, "expected a string, found null"),
        ("String!", Undefined, "expected a string, but it is missing"),
        ("[String!]!", None, "expected a list, found null"),
        ("[String!]", ["a", None], "at /1: expected a string, found null"),
        ("WorkflowFilter!", Undefined, "expected an object, but it is missing"),
        ("WorkflowFilter", "x", "expected an object, found a string"),
        ("RetryFrom", "MIDDLE", "expected one of FAILED, START, found a string"),
    ],
)
def test_a_refusal_says_what_was_expected(kind: str, value: Json, message: str) -> None:
    operation, _ = operation_of(kind)

    _, [error] = coerce_variables(PUBLISHED, operation, {} if value is Undefined else {"value": value})

    assert error.message.startswith("Variable $value is invalid")
    assert message in error.message


def test_a_default_stands_in_for_what_is_missing() -> None:
    operation, _ = operation_of("Int! = 1")

    values, errors = coerce_variables(PUBLISHED, operation, {})

    assert errors == []
    assert values.coerced == {"value": 1}


def operation_of(kind: str) -> tuple[OperationDefinitionNode, GraphQLInputType]:
    """Make an operation with one variable of a type."""
    [operation] = parse(f"query ($value: {kind}) {{ health {{ status }} }}").definitions
    assert isinstance(operation, OperationDefinitionNode)
    [variable] = operation.variable_definitions or ()
    expected = type_from_ast(PUBLISHED, variable.type)
    assert is_input_type(expected)
    return operation, expected
