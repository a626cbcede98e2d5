"""GraphQL over HTTP at /graphql: queries and mutations by POST, queries by GET, and GraphiQL for browsers."""

import secrets
from http import HTTPStatus
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.execution import ExecutionResult, PreExecutionError
from strawberry.types.graphql import OperationType

from gql_app.core.values import Json
from gql_app.schema.build import schema
from gql_app.schema.context import Context
from gql_app.web.content import is_json
from gql_app.web.encoding import InvalidJsonError, decode, encode
from gql_app.web.graphiql import content_security_policy, graphiql_page
from gql_app.web.refusals import GRAPHQL_PATH, refuse
from gql_app.web.tabs import first_tabs

STATIC_PATH: Final = f"{GRAPHQL_PATH}/static"
_RESPONSE_TYPE: Final = "application/graphql-response+json"
_READING: Final = frozenset({OperationType.QUERY})
_CHANGING: Final = frozenset({OperationType.QUERY, OperationType.MUTATION})


class GraphQLRequest(msgspec.Struct, frozen=True, rename="camel"):
    """What a client asks. Members we do not know are ignored, as the specification has it."""

    query: str
    variables: dict[str, Json] | None = None
    operation_name: str | None = None
    extensions: dict[str, Json] | None = None


class RefusedRequestError(Exception):
    """The request cannot be carried out; `status`, `code` and the message say why."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


async def graphql(request: Request) -> Response:
    """Carry out one operation, or show GraphiQL to who asks for a page."""
    if _wants_page(request):
        return _show_page(request)
    try:
        asked = await _from_body(request) if request.method == "POST" else _from_query(request)
        return await _execute(request, asked)
    except RefusedRequestError as error:
        headers = {"allow": "POST"} if error.status is HTTPStatus.METHOD_NOT_ALLOWED else None
        return refuse(request.scope, error.status, error.code, str(error), headers=headers)


def _wants_page(request: Request) -> bool:
    asks_html = "text/html" in request.headers.get("accept", "")
    return request.method != "POST" and asks_html and "query" not in request.query_params


def _show_page(request: Request) -> Response:
    nonce = secrets.token_urlsafe(16)
    html = graphiql_page(endpoint=GRAPHQL_PATH, static_url=STATIC_PATH, nonce=nonce, tabs=first_tabs())
    headers = {
        "cache-control": "no-store",
        "content-security-policy": content_security_policy(nonce=nonce, host=request.headers.get("host", "")),
        "referrer-policy": "no-referrer",
        "vary": "Accept",
        "x-content-type-options": "nosniff",
    }
    return HTMLResponse(html, headers=headers)


def _from_query(request: Request) -> GraphQLRequest:
    asked: dict[str, Json] = dict(request.query_params)
    for name in ("variables", "extensions"):
        if name in asked:
            asked[name] = _decode(asked[name], what=f"parameter {name!r}")
    return _check(asked)


async def _from_body(request: Request) -> GraphQLRequest:
    if not is_json(request.headers.get("content-type")):
        message = "Send the operation as JSON, with the header Content-Type: application/json."
        raise RefusedRequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
    return _check(_decode(await request.body(), what="body"))


def _decode(data: bytes | str, *, what: str) -> Json:
    try:
        return decode(data, what=what)
    except InvalidJsonError as error:
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "INVALID_JSON", str(error)) from None


def _check(asked: Json) -> GraphQLRequest:
    try:
        return msgspec.convert(asked, GraphQLRequest)
    except msgspec.ValidationError as error:
        message = f"The request is not one of GraphQL ({{query, variables, operationName}}): {error}"
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", message) from None


async def _execute(request: Request, asked: GraphQLRequest) -> Response:
    application = request.state.application
    try:
        result = await schema.execute(
            asked.query,
            variable_values=asked.variables,
            operation_name=asked.operation_name,
            context_value=Context(service=application.service),
            allowed_operation_types=_CHANGING if request.method == "POST" else _READING,
            operation_extensions=asked.extensions,
        )
    except MissingQueryError:
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", "The query is empty.") from None
    except CannotGetOperationTypeError as error:
        message = f"{error.as_http_error_reason()} Name one that is in the document."
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "UNKNOWN_OPERATION", message) from None
    except InvalidOperationTypeError as error:
        raise _wrong_transport(error.operation_type) from None
    return _answer(request, result)


def _wrong_transport(operation: OperationType) -> RefusedRequestError:
    if operation is OperationType.SUBSCRIPTION:
        message = f"Subscriptions go over a websocket at {GRAPHQL_PATH}, subprotocol graphql-transport-ws."
        return RefusedRequestError(HTTPStatus.BAD_REQUEST, "SUBSCRIPTION_NEEDS_WEBSOCKET", message)
    message = "Mutations change something: send them by POST."
    return RefusedRequestError(HTTPStatus.METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message)


def _answer(request: Request, result: ExecutionResult) -> Response:
    body: dict[str, Json] = {"data": result.data}
    if result.errors:
        body["errors"] = [error.formatted for error in result.errors]
    if result.extensions:
        body["extensions"] = result.extensions
    status = HTTPStatus.OK
    if _never_ran(result):
        del body["data"]
        status = HTTPStatus.BAD_REQUEST
    media_type = _RESPONSE_TYPE if _RESPONSE_TYPE in request.headers.get("accept", "") else "application/json"
    return Response(encode(body), status, media_type=media_type)


def _never_ran(result: ExecutionResult) -> bool:
    """Whether parsing, validation or the coercion of variables failed: errors of fields have a path."""
    if isinstance(result, PreExecutionError):
        return True
    return result.data is None and bool(result.errors) and all(error.path is None for error in result.errors or ())
