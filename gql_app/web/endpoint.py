"""GraphQL over HTTP at /graphql: operations by POST, queries by GET, and GraphiQL for browsers."""

import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from graphql import OperationType
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from gql_app.core.access import Identity
from gql_app.schema.context import Context
from gql_app.schema.execution import GraphQLRequest, Operation, RefusedOperationError
from gql_app.settings import Posture, Settings
from gql_app.web.gate import UnauthenticatedError
from gql_app.web.graphiql import content_security_policy, graphiql_page
from gql_app.web.negotiation import OFFER, Accepted, Form, negotiate
from gql_app.web.reading import check_content, read_address, read_body
from gql_app.web.refusals import GRAPHQL_PATH, RefusedRequestError
from gql_app.web.tabs import first_tabs

STATIC_PATH: Final = f"{GRAPHQL_PATH}/static"

_METHODS: Final = "GET, HEAD, POST, OPTIONS"
_CONTENT_TYPES: Final = {form: f"{form}; charset=utf-8".encode() for form in (Form.JSON, Form.RESPONSE)}
_ASKING: Final = (b"query=", b"documentId=", b"extensions=")

Headers = Mapping[bytes, bytes]


class GraphQLEndpoint:
    """Carries out one operation per request, or shows GraphiQL to who asks for a page."""

    def __init__(self, settings: Settings) -> None:
        self._is_open = settings.posture is Posture.DEVELOPMENT

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        headers = _headers(scope)
        accept = headers.get(b"accept")
        accepted = negotiate(None if accept is None else accept.decode("latin-1"))
        try:
            await self._answer(scope, receive, send, headers, accepted)
        except RefusedRequestError as error:
            extra = [(name.encode(), value.encode()) for name, value in (error.headers or {}).items()]
            await _send(send, accepted.errors, error.body, error.status, extra)
        except RefusedOperationError as error:
            await _send(send, accepted.errors, error.body, _status(error.status, accepted.errors))

    async def _answer(self, scope: Scope, receive: Receive, send: Send, headers: Headers, accepted: Accepted) -> None:
        match scope["method"]:
            case "POST":
                check_content(headers.get(b"content-type"), headers.get(b"content-encoding", b""))
                identity = await _admit(scope)
                asked = await read_body(receive)
            case "GET" | "HEAD":
                if accepted.page and not _asks_something(scope["query_string"]):
                    await self._show_page(scope, receive, send, headers)
                    return
                identity = await _admit(scope)
                asked = read_address(scope["query_string"])
            case "OPTIONS":
                await Response(status_code=HTTPStatus.NO_CONTENT, headers={"allow": _METHODS})(scope, receive, send)
                return
            case method:
                message = f"{method} is not supported here; use {_METHODS}."
                raise _not_allowed(message, _METHODS)
        await self._carry_out(scope, send, asked, identity, accepted)

    async def _carry_out(
        self, scope: Scope, send: Send, asked: GraphQLRequest, identity: Identity, accepted: Accepted
    ) -> None:
        if accepted.single is None:
            message = f"None of what the header Accept names is there; there are {OFFER}."
            raise RefusedRequestError(HTTPStatus.NOT_ACCEPTABLE, "NOT_ACCEPTABLE", message)
        operations = scope["state"]["operations"]
        operation = operations.prepare(asked, identity)
        self._check_method(scope["method"], operation)
        if operation.kind is OperationType.SUBSCRIPTION:
            message = f"Subscriptions go over a websocket at {GRAPHQL_PATH}, subprotocol graphql-transport-ws."
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "SUBSCRIPTION_NEEDS_STREAM", message)
        context = Context(service=scope["state"]["application"].service, identity=identity)
        answer = await operations.execute(operation, context)
        await _send(send, accepted.single, answer.body)

    def _check_method(self, method: str, operation: Operation) -> None:
        if method == "POST":
            return
        if operation.kind is OperationType.MUTATION:
            raise _not_allowed("Mutations change something: send them by POST.", "POST")
        if not self._is_open and not getattr(operation, "trusted", False):
            raise _not_allowed("Only trusted documents go by GET here: send this one by POST.", "POST")

    async def _show_page(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        if not self._is_open:
            message = "There is no page here (GQL_APP_POSTURE=production): send operations by POST as JSON."
            raise RefusedRequestError(HTTPStatus.NOT_FOUND, "NOT_FOUND", message)
        host = headers.get(b"host", b"").decode("latin-1")
        await _page(host)(scope, receive, send)


def _headers(scope: Scope) -> Headers:
    """Read the headers; where one is there twice, all its values with commas between."""
    found: dict[bytes, bytes] = dict(scope["headers"])
    if len(found) != len(scope["headers"]):
        for name in found:
            found[name] = b", ".join(value for other, value in scope["headers"] if other == name)
    return found


def _asks_something(query_string: bytes) -> bool:
    return any(part.startswith(_ASKING) for part in query_string.split(b"&"))


async def _admit(scope: Scope) -> Identity:
    try:
        identity: Identity = await scope["state"]["gate"].admit(HTTPConnection(scope))
    except UnauthenticatedError as error:
        headers = {"www-authenticate": "Bearer"}
        raise RefusedRequestError(HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED", str(error), headers=headers) from None
    return identity


def _not_allowed(message: str, allow: str) -> RefusedRequestError:
    return RefusedRequestError(HTTPStatus.METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message, headers={"allow": allow})


def _status(status: HTTPStatus, form: Form) -> HTTPStatus:
    """Tell the status of an operation that cannot begin. As `application/json`, 200 says that the request was one."""
    return HTTPStatus.OK if form is Form.JSON and status is HTTPStatus.BAD_REQUEST else status


async def _send(
    send: Send,
    form: Form,
    body: bytes,
    status: int = 200,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    start = [
        (b"content-type", _CONTENT_TYPES[form]),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"vary", b"Accept"),
    ]
    if headers:
        start += headers
    await send({"type": "http.response.start", "status": int(status), "headers": start})
    await send({"type": "http.response.body", "body": body})


def _page(host: str) -> Response:
    nonce = secrets.token_urlsafe(16)
    html = graphiql_page(endpoint=GRAPHQL_PATH, static_url=STATIC_PATH, nonce=nonce, tabs=first_tabs())
    headers = {
        "cache-control": "no-store",
        "content-security-policy": content_security_policy(nonce=nonce, host=host),
        "referrer-policy": "no-referrer",
        "vary": "Accept",
        "x-content-type-options": "nosniff",
    }
    return HTMLResponse(html, headers=headers)
