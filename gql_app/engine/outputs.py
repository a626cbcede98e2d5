"""What a tool returned, as a value of a run: encoded, checked, small enough."""

import math
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final

import msgspec
import orjson

from gql_app.core.errors import InvalidOutputError
from gql_app.core.events import (
    NodeCompleted,
    RunEvent,
    StepCompleted,
    StepQueued,
    StepRequest,
    StepStarted,
    WorkflowCompleted,
)
from gql_app.core.values import INLINE_BYTES, NULL, Json, Value

_STRICT: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


def encode_output(result: Json, maximum_bytes: int, *, what: str = "The tool's output") -> bytes:
    """Encode what a tool returned, or `what` else it is.

    Raises `InvalidOutputError` for what is not JSON or is over `maximum_bytes`.
    """
    try:
        data = orjson.dumps(result, option=_STRICT)
    except TypeError as error:
        raise InvalidOutputError(f"{what} is not JSON: {error}.") from None
    if b"null" in data and not _finite(result):
        raise InvalidOutputError(f"{what} is not JSON: it holds a number that is not finite.")
    if len(data) > maximum_bytes:
        raise InvalidOutputError(f"{what} takes {len(data)} bytes of JSON; the limit is {maximum_bytes}.")
    return data


def as_value(data: bytes) -> Value:
    """Let encoded JSON stand inline when it is small, else refer to it."""
    if data == b"null":
        return NULL
    if len(data) <= INLINE_BYTES:
        return Value(json=msgspec.Raw(data), size=len(data))
    return Value(sha256=sha256(data).hexdigest(), size=len(data))


def values_in(events: Iterable[RunEvent]) -> Iterator[Value]:
    """Tell the values in events that attempts and evaluations bring."""
    for event in events:
        match event:
            case NodeCompleted() | WorkflowCompleted() | StepCompleted():
                yield event.output
            case StepQueued(request=StepRequest() as request) | StepStarted(request=StepRequest() as request):
                yield request.input
            case _:
                pass


def _finite(result: Json) -> bool:
    """Tell whether no number in a JSON value is infinite or not a number; orjson writes those as null."""
    stack = [result]
    while stack:
        value = stack.pop()
        if isinstance(value, float):
            if not math.isfinite(value):
                return False
        elif isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, list | tuple):
            stack.extend(value)
    return True
