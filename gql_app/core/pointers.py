"""JSON Pointers (RFC 6901): writing and reading them, and following one step by step."""

import re
from collections.abc import Iterable
from typing import Final

from gql_app.core.values import Json

POINTER: Final = r"(?:/(?:[^/~]|~[01])*)*"
"""What a pointer looks like."""
POINTER_RULE: Final = "a JSON Pointer is empty or begins with '/', and '~' stands only in '~0' (~) and '~1' (/)"

_SYNTAX: Final = re.compile(POINTER)
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")


def make_pointer(path: Iterable[str | int]) -> str:
    """Write a path as a pointer."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


def split_pointer(pointer: str) -> tuple[str, ...]:
    """Read a pointer. Raises `ValueError` for what is none."""
    if _SYNTAX.fullmatch(pointer) is None:
        raise ValueError(POINTER_RULE)
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def take_step(value: Json, step: str) -> Json:
    """Take a field of an object, or an item of a list. Raises `LookupError` if there is none."""
    if isinstance(value, dict):
        return value[step]
    if isinstance(value, list) and _INDEX.fullmatch(step):
        return value[int(step)]
    raise LookupError(step)
