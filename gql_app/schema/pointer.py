"""JSON Pointers (RFC 6901): writing them, and selecting a part of a JSON value."""

import re
from collections.abc import Iterable
from typing import Final

from gql_app.core.errors import InvalidArgumentError
from gql_app.core.values import Json

_SYNTAX: Final = re.compile(r"(?:/(?:[^/~]|~[01])*)*", re.DOTALL)
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")


def make_pointer(path: Iterable[str | int]) -> str:
    """Write a path as a pointer."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def parse_pointer(pointer: str) -> tuple[str, ...]:
    """Read a pointer. Raises `InvalidArgumentError` for what is none."""
    if not _SYNTAX.fullmatch(pointer):
        rule = "a JSON Pointer is empty or begins with '/', and '~' stands only in '~0' (~) and '~1' (/)."
        raise InvalidArgumentError("pointer", pointer[:200], rule)
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def select(value: Json, path: Iterable[str]) -> Json:
    """Take the part of a value that a path leads to; null if it leads nowhere."""
    for step in path:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and _INDEX.fullmatch(step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value
