"""What is wrong with the variables of a request: where, and what was expected; never the value itself."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final, TypeAlias

from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
    VariableDefinitionNode,
    is_input_type,
    type_from_ast,
)
from graphql.pyutils import did_you_mean, suggestion_list
from graphql.type import is_required_input_field

from gql_app.core.values import Json
from gql_app.schema.pointer import make_pointer

INVALID_FIELD: Final = "INVALID_FIELD"
MAXIMUM_ERRORS: Final = 50

Path: TypeAlias = tuple[str | int, ...]

_EXPECTED: Final = {
    "DateTime": "a date and time with its offset, such as 2026-01-31T12:00:00Z",
    "Float": "a finite number",
    "ID": "a string",
    "Int": "a whole number of at most 32 bits",
    "JSON": "JSON, whose numbers are finite",
    "String": "a string",
    "Boolean": "true or false",
}
_KINDS: Final = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


def coercion_errors(
    schema: GraphQLSchema, operation: OperationDefinitionNode, variables: Mapping[str, Json]
) -> list[GraphQLError]:
    """Tell what is wrong with the variables of an operation, up to `MAXIMUM_ERRORS`.

    Every error has the extensions `code` (INVALID_FIELD), `variable`, and `pointer`: a JSON Pointer into the variable.
    """
    return list(islice(_errors(schema, operation, variables), MAXIMUM_ERRORS))


def _errors(
    schema: GraphQLSchema, operation: OperationDefinitionNode, variables: Mapping[str, Json]
) -> Iterator[GraphQLError]:
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        expected = type_from_ast(schema, definition.type)
        value = variables.get(name, Undefined)
        if is_input_type(expected) and not (value is Undefined and definition.default_value):
            for path, message in _problems(value, expected, ()):
                yield _error(definition, name, path, message)


def _error(definition: VariableDefinitionNode, name: str, path: Path, message: str) -> GraphQLError:
    pointer = make_pointer(path)
    at = f" at {pointer[:500]}" if pointer else ""
    return GraphQLError(
        f"Variable ${name} is invalid{at}: {message}",
        definition,
        extensions={"code": INVALID_FIELD, "variable": name, "pointer": pointer},
    )


def _problems(value: Json, expected: GraphQLInputType, path: Path) -> Iterator[tuple[Path, str]]:
    """Find where a value departs from a type, exactly where the executor would refuse it."""
    match expected:
        case GraphQLNonNull():
            if value is Undefined:
                yield path, f"expected {_expectation(expected.of_type)}, but it is missing."
            elif value is None:
                yield path, f"expected {_expectation(expected.of_type)}, found null."
            else:
                yield from _problems(value, expected.of_type, path)
        case _ if value is None or value is Undefined:
            return
        case GraphQLList():
            if not isinstance(value, list):
                yield from _problems(value, expected.of_type, path)
                return
            for index, item in enumerate(value):
                yield from _problems(item, expected.of_type, (*path, index))
        case GraphQLInputObjectType():
            yield from _object_problems(value, expected, path)
        case GraphQLScalarType() | GraphQLEnumType():
            if not _fits(value, expected):
                yield path, f"expected {_expectation(expected)}, found {_KINDS.get(type(value), 'something else')}."


def _object_problems(value: Json, expected: GraphQLInputObjectType, path: Path) -> Iterator[tuple[Path, str]]:
    if not isinstance(value, dict):
        yield path, f"expected an object, found {_KINDS.get(type(value), 'something else')}."
        return
    for name, field in expected.fields.items():
        if name in value:
            yield from _problems(value[name], field.type, (*path, name))
        elif is_required_input_field(field):
            yield from _problems(Undefined, field.type, (*path, name))
    for name in (name for name in value if name not in expected.fields):
        short = str(name)[:64]
        hint = did_you_mean(suggestion_list(short, list(expected.fields)))
        yield (*path, str(name)), f"there is no field {short!r}.{hint}"


def _fits(value: Json, expected: GraphQLScalarType | GraphQLEnumType) -> bool:
    try:
        return expected.coerce_input_value(value) is not Undefined
    except Exception:  # noqa: BLE001 - a scalar says no in its own way
        return False


def _expectation(expected: GraphQLInputType) -> str:
    match expected:
        case GraphQLEnumType():
            return "one of " + ", ".join(expected.values)
        case GraphQLScalarType():
            return _EXPECTED.get(expected.name, expected.name)
        case GraphQLList():
            return "a list"
        case _:
            return "an object"
