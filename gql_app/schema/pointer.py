"""JSON Pointers as arguments: a part of a JSON value."""

from collections.abc import Iterable

from gql_app.core.errors import InvalidArgumentError
from gql_app.core.pointers import POINTER_RULE, split_pointer, take_step
from gql_app.core.values import Json


def parse_pointer(pointer: str) -> tuple[str, ...]:
    """Read a pointer. Raises `InvalidArgumentError` for what is none."""
    try:
        return split_pointer(pointer)
    except ValueError as error:
        raise InvalidArgumentError("pointer", pointer[:200], f"{POINTER_RULE}.") from error


def select(value: Json, path: Iterable[str]) -> Json:
    """Take the part of a value that a path leads to; null if it leads nowhere."""
    try:
        for step in path:
            value = take_step(value, step)
    except LookupError:
        return None
    return value
