"""Finds the token that a client sends."""

import re
from collections.abc import Mapping
from typing import Final

from starlette.requests import HTTPConnection

from gql_app.core.values import Json
from gql_app.web.gate import UnauthenticatedError

MAXIMUM_TOKEN: Final = 16 << 10

_BEARER: Final = re.compile(r"bearer +([A-Za-z0-9\-._~+/]+=*) *", re.IGNORECASE)
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


_PATTERNS: Final = {"authorization": _BEARER, "token": _TOKEN}
"""What members of the payload are looked at. GraphiQL sends its headers there, whose names have no case."""


class MalformedTokenError(UnauthenticatedError):
    """There is something where the token should be, but it is none."""

    def __init__(self, place: str, rule: str) -> None:
        super().__init__(f"The {place} is not good: {rule}", code="invalid_request")


def find_token(connection: HTTPConnection, payload: Mapping[str, Json] | None) -> str | None:
    """Find the token in the header, or in the payload of `connection_init`. Raises `UnauthenticatedError`."""
    by_header, by_payload = _from_header(connection), _from_payload(payload or {})
    if by_header is not None and by_payload is not None and by_header != by_payload:
        raise MalformedTokenError("payload of connection_init", "its token is not that of the header; send one.")
    return by_header or by_payload


def _from_header(connection: HTTPConnection) -> str | None:
    values = [value for name, value in connection.scope["headers"] if name == b"authorization"]
    if len(values) > 1:
        raise MalformedTokenError("header Authorization", "it stands there more than once.")
    return _read(values[0].decode("latin-1"), "header Authorization", _BEARER) if values else None


def _from_payload(payload: Mapping[str, Json]) -> str | None:
    found = {
        _read(value, f"member {name[:20]!r} of connection_init", pattern)
        for name, value in payload.items()
        if value is not None and (pattern := _PATTERNS.get(name.lower())) is not None
    }
    if len(found) > 1:
        raise MalformedTokenError("payload of connection_init", "it holds two tokens; send one.")
    return next(iter(found), None)


def _read(value: Json, place: str, pattern: re.Pattern[str]) -> str:
    rule = "write `Bearer` and the token." if pattern is _BEARER else "write the token."
    if not isinstance(value, str) or len(value) > MAXIMUM_TOKEN:
        raise MalformedTokenError(place, rule)
    found = pattern.fullmatch(value)
    if found is None:
        raise MalformedTokenError(place, rule)
    return found[found.lastindex or 0]
