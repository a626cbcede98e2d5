"""Makes values of the variables of a request, or tells where they are wrong; never what was sent there."""

from collections.abc import Mapping, Sequence
from typing import Final, NoReturn, TypeAlias

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
)
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource
from graphql.pyutils import did_you_mean, suggestion_list
from graphql.type import is_required_input_field
from graphql.utilities.coerce_input_value import coerce_default_value

from gql_app.core.pointers import make_pointer
from gql_app.core.values import Json

__all__ = ["INVALID_FIELD", "Coercion", "VariableValues", "coerce_variables"]

INVALID_FIELD: Final = "INVALID_FIELD"
MAXIMUM_ERRORS: Final = 10
MAXIMUM_VALUES: Final = 20_000
"""So many values of variables are looked at, but for those of type JSON, which are taken as they are."""

_NAME: Final = 64
_SUGGESTIONS: Final = 3
"""So many wrong names are told what each may have meant: finding that out is what costs most."""

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


class _EnoughError(Exception):
    """No more is told about these variables."""


class Coercion:
    """Coerces the variables of one request. What is wrong with them stands in `errors`, up to `maximum_errors`.

    Every error has the extensions `code` (INVALID_FIELD), `variable`, and `pointer`: a JSON Pointer into the variable.
    """

    def __init__(
        self, *, maximum_errors: int = MAXIMUM_ERRORS, maximum_values: int = MAXIMUM_VALUES, suggest: bool = True
    ) -> None:
        self.errors: list[GraphQLError] = []
        self._maximum_errors = maximum_errors
        self._maximum_values = self._left = maximum_values
        self._suggest = suggest
        self._definition: VariableDefinitionNode | None = None
        self._members: dict[tuple[str, str], Json] = {}
        """Members of enums that were met already: a list may name one thousands of times."""

    def coerce(
        self,
        definitions: Sequence[tuple[VariableDefinitionNode, GraphQLVariableSignature]],
        variables: Mapping[str, Json],
    ) -> VariableValues:
        """Make the values of all variables; they are whole only if there are no errors."""
        sources: dict[str, VariableValueSource] = {}
        coerced: dict[str, Json] = {}
        try:
            for definition, signature in definitions:
                self._definition = definition
                name = signature.name
                value = variables.get(name, Undefined)
                sources[name] = VariableValueSource(signature, value)
                if value is Undefined and definition.default_value is not None:
                    coerced[name] = coerce_default_value(signature)
                elif value is not Undefined or isinstance(signature.type, GraphQLNonNull):
                    coerced[name] = self._value(value, signature.type, ())
        except _EnoughError:
            pass
        return VariableValues(sources, coerced)

    def _value(self, value: Json, expected: GraphQLInputType, path: Path) -> Json:
        """Coerce a value, exactly as the executor would; what is wrong is noted, and None stands in for it."""
        self._left -= 1
        if self._left < 0:
            self._refuse_too_many()
        if isinstance(expected, GraphQLNonNull):
            if value is None or value is Undefined:
                found = "found null." if value is None else "but it is missing."
                return self._wrong(path, f"expected {_expectation(expected.of_type)}, {found}")
            expected = expected.of_type
        elif value is None:
            return None
        match expected:
            case GraphQLScalarType() | GraphQLEnumType():
                return self._leaf(value, expected, path)
            case GraphQLInputObjectType():
                return self._object(value, expected, path)
            case _:
                inner = expected.of_type
                if not isinstance(value, list):
                    return [self._value(value, inner, path)]
                return [self._value(item, inner, (*path, index)) for index, item in enumerate(value)]

    def _leaf(self, value: Json, expected: GraphQLScalarType | GraphQLEnumType, path: Path) -> Json:
        # What was decoded from JSON has no numbers that are not finite.
        if expected.name == "JSON":
            return value
        member = (expected.name, value) if isinstance(expected, GraphQLEnumType) and isinstance(value, str) else None
        if member is not None and member in self._members:
            return self._members[member]
        try:
            coerced = expected.coerce_input_value(value)
        except Exception:  # noqa: BLE001 - a scalar says no in its own way
            coerced = Undefined
        if coerced is Undefined:
            found = _KINDS.get(type(value), "something else")
            return self._wrong(path, f"expected {_expectation(expected)}, found {found}.")
        if member is not None:
            self._members[member] = coerced
        return coerced

    def _object(self, value: Json, expected: GraphQLInputObjectType, path: Path) -> Json:
        if not isinstance(value, dict):
            return self._wrong(path, f"expected an object, found {_KINDS.get(type(value), 'something else')}.")
        coerced: dict[str, Json] = {}
        fields = expected.fields
        for name, field in fields.items():
            if name in value:
                coerced[field.out_name or name] = self._value(value[name], field.type, (*path, name))
            elif is_required_input_field(field):
                self._value(Undefined, field.type, (*path, name))
            elif (default := coerce_default_value(field)) is not Undefined:
                coerced[field.out_name or name] = default
        if len(value) > len(fields) or not value.keys() <= fields.keys():
            self._refuse_unknown(value, expected, path)
        return coerced if self.errors else expected.out_type(coerced)

    def _refuse_unknown(self, value: dict[str, Json], expected: GraphQLInputObjectType, path: Path) -> None:
        for name in value:
            if name not in expected.fields:
                short = str(name)[:_NAME]
                self._wrong((*path, short), f"there is no field {short!r}.{self._hint(short, expected)}")

    def _hint(self, name: str, expected: GraphQLInputObjectType) -> str:
        if not self._suggest or len(self.errors) >= _SUGGESTIONS:
            return ""
        return did_you_mean(suggestion_list(name, list(expected.fields)))

    def _wrong(self, path: Path, message: str) -> None:
        pointer = make_pointer(path)
        at = f" at {pointer}" if pointer else ""
        self._tell(f"is invalid{at}: {message}", {"code": INVALID_FIELD, "pointer": pointer})
        if len(self.errors) >= self._maximum_errors:
            raise _EnoughError

    def _refuse_too_many(self) -> NoReturn:
        maximum = self._maximum_values
        message = f"has, with those before it, more than {maximum} values; send fewer, or as one value of type JSON."
        self._tell(message, {"code": "LIMIT_EXCEEDED", "limit": "variableValues", "maximum": maximum})
        raise _EnoughError

    def _tell(self, message: str, extensions: dict[str, Json]) -> None:
        assert self._definition is not None
        name = self._definition.variable.name.value
        extensions["variable"] = name
        self.errors.append(GraphQLError(f"Variable ${name} {message}", self._definition, extensions=extensions))


def signatures(
    schema: GraphQLSchema, operation: OperationDefinitionNode
) -> list[tuple[VariableDefinitionNode, GraphQLVariableSignature]]:
    """Tell the variables of a valid operation with their types."""
    found = []
    for definition in operation.variable_definitions or ():
        signature = get_variable_signature(schema, definition)
        if isinstance(signature, GraphQLVariableSignature):
            found.append((definition, signature))
    return found


def coerce_variables(
    schema: GraphQLSchema, operation: OperationDefinitionNode, variables: Mapping[str, Json]
) -> tuple[VariableValues, list[GraphQLError]]:
    """Make the values of an operation's variables, and tell what is wrong with them."""
    coercion = Coercion()
    return coercion.coerce(signatures(schema, operation), variables), coercion.errors


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
