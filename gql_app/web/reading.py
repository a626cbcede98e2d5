"""Reads what a client asks from the body or the address of its request."""

from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from gql_app.core.values import Json
from gql_app.schema.execution import GraphQLRequest
from gql_app.web.content import is_json
from gql_app.web.encoding import InvalidJsonError, decode
from gql_app.web.refusals import RefusedRequestError

_MEMBERS: Final = frozenset({"query", "documentId", "variables", "operationName", "extensions"})
_ENCODED: Final = frozenset({"variables", "extensions"})
_PLAIN: Final = frozenset({b"", b"identity"})
_LONGEST_SEQUENCE: Final = 15
_PERSISTED: Final = "persistedQuery"


def check_content(content_type: bytes | None, encoding: bytes) -> None:
    """Refuse a body that is not JSON in UTF-8; whatever a foreign page could send unasked is among it."""
    if content_type != b"application/json" and not is_json((content_type or b"").decode("latin-1")):
        message = (
            "Send the operation as JSON in UTF-8, with one header Content-Type: application/json"
            f" (there is {(content_type or b'none')[:64].decode('latin-1')!r})."
        )
        raise RefusedRequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
    if encoding.lower() not in _PLAIN:
        message = "Send the body as it is: no Content-Encoding is understood."
        raise RefusedRequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)


async def read_body(receive: Receive) -> GraphQLRequest:
    """Read the body to its end, and what it asks. Raises `RefusedRequestError`."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts = [body]
        while message.get("more_body"):
            message = await receive()
            parts.append(message.get("body", b""))
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return _check(_decode(body, what="body"))


def read_address(query_string: bytes) -> GraphQLRequest:
    """Read what the parameters of an address ask. Raises `RefusedRequestError`."""
    asked: dict[str, Json] = {}
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise _bad("The parameters of the address are not readable: they are URL-encoded text in UTF-8.") from None
    for name, value in pairs:
        if name in asked:
            raise _bad(f"The parameter {name[:64]!r} is there more than once.")
        if name in _MEMBERS and not (name in _ENCODED and not value):
            asked[name] = _decode(value, what=f"parameter {name!r}") if name in _ENCODED else value
    return _check(asked)


def read_last_event_id(header: bytes | None) -> int | None:
    """Read where a client that comes back goes on. Raises `RefusedRequestError`."""
    if header is None:
        return None
    if not (header.isdigit() and len(header) <= _LONGEST_SEQUENCE):
        message = "The header Last-Event-ID is not one that was handed out: it is the sequence of an update, a number."
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "INVALID_CURSOR", message)
    return int(header)


def _decode(data: bytes | str, *, what: str) -> Json:
    try:
        return decode(data, what=what)
    except InvalidJsonError as error:
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "INVALID_JSON", str(error)) from None


def _check(asked: Json) -> GraphQLRequest:
    if isinstance(asked, list):
        raise _bad("Batches are not understood: send each operation in a request of its own.")
    try:
        request = msgspec.convert(asked, GraphQLRequest)
    except msgspec.ValidationError as error:
        raise _bad(f"The request is not one of GraphQL ({{query, variables, operationName}}): {error}") from None
    if not (request.query or request.document_id or _PERSISTED in (request.extensions or {})):
        raise _bad("There is nothing to carry out: the request has no query, or an empty one.")
    return request


def _bad(message: str) -> RefusedRequestError:
    return RefusedRequestError(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", message)
