"""What may go into CEL and what comes out of it, as JSON."""

import math
from datetime import datetime, timedelta
from typing import Final

from gql_app.core.values import Json

MAXIMUM_DEPTH: Final = 100
"""How deeply lists and maps may be nested."""

_SMALLEST, _BIGGEST = -(2**63), 2**64 - 1


class NotJson(Exception):
    """A value has no JSON form, or none that CEL can take; the message says which and why."""


def check_data(value: Json, depth: int = MAXIMUM_DEPTH) -> None:
    """Refuse data that the CEL library would cut off (texts at U+0000) or crash on (huge integers, endless nesting)."""
    kind = type(value)
    if kind is str:
        _check_text(value)
    elif kind is int:
        _check_integer(value)
    elif kind is dict:
        _check_depth(depth)
        for name, item in value.items():
            _check_text(_key(name))
            check_data(item, depth - 1)
    elif kind is list:
        _check_depth(depth)
        for item in value:
            check_data(item, depth - 1)
    elif value is not None and not isinstance(value, bool | float):
        raise NotJson(f"the data holds a {kind.__name__}, which is not JSON.")


def to_json(value: Json, depth: int = MAXIMUM_DEPTH) -> Json:
    """Copy a result as JSON: timestamps and durations become ISO 8601 strings, what has no JSON form is refused."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        _check_integer(value)
        return value
    if kind is float:
        if math.isfinite(value):
            return value
        raise NotJson(f"the result holds {value}, which is not JSON.")
    if kind is list:
        _check_depth(depth)
        return [to_json(item, depth - 1) for item in value]
    if kind is dict:
        _check_depth(depth)
        return {_key(name): to_json(item, depth - 1) for name, item in value.items()}
    return _convert(value)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise NotJson(
            "CEL cannot take a text with the character U+0000. A plain reference, `${ input.x }`, can hand it on."
        )


def _check_integer(value: int) -> None:
    if not _SMALLEST <= value <= _BIGGEST:
        raise NotJson(f"an integer of {value.bit_length()} bits is out of range: {_SMALLEST} to {_BIGGEST} is allowed.")


def _check_depth(depth: int) -> None:
    if depth == 0:
        raise NotJson(f"a value is nested deeper than {MAXIMUM_DEPTH} levels.")


def _key(name: Json) -> str:
    if isinstance(name, str):
        return name
    raise NotJson(f"the result holds a map with the key {name!r}; JSON's keys are strings.")


def _convert(value: Json) -> str:
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case timedelta():
            return _iso_duration(value)
        case str():
            return str(value)
        case bytes() | bytearray():
            raise NotJson("the result holds bytes, which are not JSON. Write `string(x)` if they are text.")
        case _:
            raise NotJson(f"the result holds a {type(value).__name__}, which is not JSON.")


def _iso_duration(duration: timedelta) -> str:
    """Write a duration in seconds, as ISO 8601 has it: `PT1.5S`."""
    microseconds = duration // timedelta(microseconds=1)
    seconds, fraction = divmod(abs(microseconds), 1_000_000)
    decimals = f".{fraction:06}".rstrip("0") if fraction else ""
    return f"{'-' if microseconds < 0 else ''}PT{seconds}{decimals}S"
