"""Reads JSON strictly: no NaN, no number too big, no key twice."""

import json
import math
import re
from typing import Final, NoReturn

from gql_app.cli.text_errors import TextError
from gql_app.core.values import Json

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')


class _FaultError(Exception):
    """Something that `json` lets pass. It does not tell where it stands."""


def parse_json(text: str) -> Json:
    """Read a JSON text. Raises `TextError` and `RecursionError`."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int)
    except json.JSONDecodeError as error:
        message = f"this is not JSON: {error.msg[0].lower()}{error.msg[1:]} (column {error.colno})."
        raise TextError(error.lineno, message) from None
    except _FaultError:
        line, message = _locate(text)
        raise TextError(line, message) from None


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _FaultError
    return made


def _constant(name: str) -> NoReturn:
    raise _FaultError


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _FaultError
    return value


def _int(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        raise _FaultError from None


def _locate(text: str) -> tuple[int, str]:
    """Find the first fault in a text that is JSON otherwise, up to there at least."""
    keys: list[set[str]] = []
    last = ""
    for match in _TOKEN.finditer(text):
        token, line = match.group(), text.count("\n", 0, match.start()) + 1
        if token in "{[":
            keys.append(set())
        elif token in "}]":
            keys.pop()
        elif token == ":":
            key = json.loads(last)
            if key in keys[-1]:
                return line, f"the key {last} stands twice in one object; keep one of them."
            keys[-1].add(key)
        elif message := _number_fault(token):
            return line, message
        last = token
    raise AssertionError("There is a fault, but it was not found.")


def _number_fault(token: str) -> str | None:
    if token in {"NaN", "Infinity", "-Infinity"}:
        return f"{token} is not JSON: numbers must be finite. Write null, or a string."
    if token[0] not in "-0123456789":
        return None
    try:
        finite = math.isfinite(float(token) if any(sign in token for sign in ".eE") else int(token))
    except OverflowError:
        finite = True
    except ValueError:
        finite = False
    shown = token if len(token) <= 20 else f"{token[:20]}…"
    return None if finite else f"the number {shown} is too big. Write it as a string."
