"""Answers that say no: problem details (RFC 9457), or GraphQL errors where GraphQL is spoken."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from gql_app.core.values import Json
from gql_app.web.encoding import encode

GRAPHQL_PATH: Final = "/graphql"

_CODES: Final = {
    HTTPStatus.BAD_REQUEST: "BAD_REQUEST",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.METHOD_NOT_ALLOWED: "METHOD_NOT_ALLOWED",
}


class RefusedRequestError(Exception):
    """The request cannot be carried out; `status`, `code` and the message say why."""

    def __init__(
        self, status: HTTPStatus, code: str, message: str, *, headers: Mapping[str, str] | None = None, **details: Json
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = graphql_errors(code, message, **details)


def graphql_errors(code: str, message: str, **details: Json) -> bytes:
    """Encode an answer of one error and no data."""
    return encode({"errors": [{"message": message, "extensions": {"code": code, **details}}]})


def refuse(
    scope: Scope,
    status: HTTPStatus,
    code: str,
    message: str,
    *,
    headers: Mapping[str, str] | None = None,
    **details: Json,
) -> Response:
    """Make the answer that a client at the address of `scope` understands. `code` is for programs to read."""
    if scope["path"] == GRAPHQL_PATH:
        return Response(graphql_errors(code, message, **details), status, headers, media_type="application/json")
    return problem(status, code, message, headers=headers, **details)


def problem(
    status: HTTPStatus, code: str, message: str, *, headers: Mapping[str, str] | None = None, **details: Json
) -> Response:
    """Make problem details; `details` are its extension members."""
    body = {"title": status.phrase, "status": status.value, "code": code, "detail": message, **details}
    return Response(encode(body), status, headers, media_type="application/problem+json")


def refuse_http_exception(request: Request, error: Exception) -> Response:
    """Make the answer for what the router refuses."""
    assert isinstance(error, HTTPException)
    status, headers = HTTPStatus(error.status_code), error.headers
    match status:
        case HTTPStatus.NOT_FOUND:
            message = f"There is nothing at {request.url.path!r}. Try /graphql, /health or /workflows/."
        case HTTPStatus.METHOD_NOT_ALLOWED:
            headers = headers or {"Allow": "GET, HEAD"}
            message = f"{request.method} is not supported at {request.url.path!r}; use {headers['Allow']}."
        case _:
            message = error.detail
    return refuse(request.scope, status, _CODES.get(status, status.name), message, headers=headers)
