"""JSON as it comes in and goes out."""

import orjson

from gql_app.core.values import Json


class InvalidJsonError(ValueError):
    """What was sent is not JSON."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"The {what} is not JSON: {reason}")


def decode(data: bytes | str, *, what: str) -> Json:
    """Decode JSON in UTF-8 (RFC 8259: no NaN, no lone surrogates). Raises `InvalidJsonError`, which calls it `what`."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidJsonError(what, str(error)) from None


def encode(value: Json) -> bytes:
    """Encode as compact JSON, times in UTC with a Z."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)
