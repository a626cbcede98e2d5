"""The scalars: instants in UTC, and JSON with nothing in it that is not JSON."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import strawberry
from graphql import GraphQLError, ValueNode, value_from_ast_untyped
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

from gql_app.core.values import Json


def _write_time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def _read_time(value: object) -> datetime:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
        if time is not None and time.tzinfo is not None:
            return time.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise GraphQLError("DateTime must be an ISO 8601 date and time with its offset, such as 2026-01-31T12:00:00Z.")


def _read_json(value: Json) -> Json:
    """Refuse numbers that JSON does not have, however deep they stand."""
    rest = [value]
    while rest:
        match rest.pop():
            case float() as number if not math.isfinite(number):
                raise GraphQLError("JSON has no numbers that are not finite.")
            case list() as items:
                rest.extend(items)
            case dict() as fields:
                rest.extend(fields.values())
            case _:
                pass
    return value


def _read_json_literal(node: ValueNode, variables: Mapping[str, Json] | None = None) -> Json:
    return _read_json(value_from_ast_untyped(node, dict(variables or {})))


SCALARS: Final[dict[object, ScalarDefinition]] = {
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value: null, a boolean, a number, a string, a list or an object.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc8259",
        serialize=lambda value: value,
        parse_value=_read_json,
        parse_literal=_read_json_literal,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant in ISO 8601, told in UTC: `2026-01-31T12:00:00.250000Z`. Any offset may be sent.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=_write_time,
        parse_value=_read_time,
    ),
}
"""What Strawberry writes for a Python type."""
