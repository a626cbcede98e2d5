"""How values of scalars and enums are written: at once where they are what they should be already."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Final, TypeAlias

from graphql import GraphQLEnumType, GraphQLScalarType

from gql_app.core.values import Json

Writer: TypeAlias = Callable[[Json], Json]

_INT: Final = 1 << 31


def make_writer(kind: GraphQLScalarType | GraphQLEnumType) -> Writer:
    """Make what writes a value of a type that is not None. It raises what the type's own serializer raises."""
    if isinstance(kind, GraphQLEnumType):
        return _enum_writer(kind)
    serialize = kind.coerce_output_value
    match kind.name:
        case "String" | "ID":
            return lambda value: value if value.__class__ is str else serialize(value)
        case "Boolean":
            return lambda value: value if value.__class__ is bool else serialize(value)
        case "Int":
            return lambda value: value if value.__class__ is int and -_INT <= value < _INT else serialize(value)
        case "Float":
            return lambda value: value if value.__class__ is float and math.isfinite(value) else serialize(value)
        case "JSON":
            return lambda value: value
        case "DateTime":
            # The encoder writes it as the scalar does.
            return lambda value: value if value.__class__ is datetime and value.tzinfo is UTC else serialize(value)
        case _:
            return serialize


def _enum_writer(kind: GraphQLEnumType) -> Writer:
    """Write members of an enum by a table that fills with use."""
    names: dict[Json, str] = {}

    def write(value: Json) -> Json:
        name = names.get(value)
        if name is None:
            name = kind.coerce_output_value(value)
            if isinstance(value, Enum):
                names[value] = name
        return name

    return write
