"""GraphQL over HTTP at /graphql: operations by POST, reading ones by GET, and GraphiQL for browsers."""

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
from gql_app.schema.execution import Answer, GraphQLRequest, Operation, Operations, RefusedOperationError
from gql_app.settings import Posture, Settings
from gql_app.web.abandonment import unless_gone
from gql_app.web.foreign import check_site
from gql_app.web.gate import CHALLENGE
from gql_app.web.graphiql import content_security_policy, graphiql_page
from gql_app.web.multipart import Parts
from gql_app.web.negotiation import OFFER, Accepted, Form, negotiate
from gql_app.web.reading import check_content, read_address, read_body, read_last_event_id
from gql_app.web.refusals import GRAPHQL_PATH, RefusedRequestError
from gql_app.web.sse import Events
from gql_app.web.streams import Connection, Framing, Streams
from gql_app.web.tabs import first_tabs

STATIC_PATH: Final = f"{GRAPHQL_PATH}/static"

_METHODS: Final = "GET, HEAD, POST, OPTIONS"
_CONTENT_TYPES: Final = {
    Form.JSON: (b"content-type", b"application/json; charset=utf-8"),
    Form.RESPONSE: (b"content-type", b"application/graphql-response+json; charset=utf-8"),
    Form.EVENTS: (b"content-type", Events.content_type),
    Form.PARTS: (b"content-type", Parts.content_type),
}
_VARY: Final = (b"vary", b"Accept")
_FRAMINGS: Final[Mapping[Form, Framing]] = {Form.EVENTS: Events(), Form.PARTS: Parts()}
_ASKING: Final = (b"query=", b"documentId=", b"extensions=")

Headers = Mapping[bytes, bytes]


class GraphQLEndpoint:
    """Carries out one operation per request, or shows GraphiQL to who asks for a page."""

    def __init__(self, settings: Settings) -> None:
        self._is_open = settings.posture is Posture.DEVELOPMENT
        self._allowed_origins = frozenset(settings.allowed_origins)
        self._streams = Streams(settings.maximum_streams)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        headers = _headers(scope)
        accept = headers.get(b"accept")
        accepted = negotiate(None if accept is None else accept.decode("latin-1"))
        connection = Connection(scope, receive, send)
        try:
            await self._answer(connection, headers, accepted)
        except RefusedRequestError as error:
            await _send(send, accepted.errors, error.body, error.status, error.headers)
        except RefusedOperationError as error:
            challenge = {"www-authenticate": CHALLENGE} if error.status is HTTPStatus.UNAUTHORIZED else None
            await _send(send, accepted.errors, error.body, _status(error.status, accepted), challenge)

    async def _answer(self, connection: Connection, headers: Headers, accepted: Accepted) -> None:
        scope = connection.scope
        match scope["method"]:
            case "POST":
                check_content(headers.get(b"content-type"), headers.get(b"content-encoding", b""))
                identity = await scope["state"]["gate"].admit(HTTPConnection(scope))
                asked = await read_body(connection.receive)
            case "GET" | "HEAD":
                if accepted.page and not _asks_something(scope["query_string"]):
                    await self._show_page(connection, headers)
                    return
                check_site(headers, self._allowed_origins)
                identity = await scope["state"]["gate"].admit(HTTPConnection(scope))
                asked = read_address(scope["query_string"])
            case "OPTIONS":
                answer = Response(status_code=HTTPStatus.NO_CONTENT, headers={"allow": _METHODS})
                await answer(scope, connection.receive, connection.send)
                return
            case method:
                raise _not_allowed(f"{method} is not supported here; use {_METHODS}.", _METHODS)
        await self._carry_out(connection, headers, accepted, asked, identity)

    async def _carry_out(
        self, connection: Connection, headers: Headers, accepted: Accepted, asked: GraphQLRequest, identity: Identity
    ) -> None:
        if accepted.single is None and accepted.stream is None:
            message = f"None of what the header Accept names is there; there are {OFFER}."
            raise RefusedRequestError(HTTPStatus.NOT_ACCEPTABLE, "NOT_ACCEPTABLE", message)
        state = connection.scope["state"]
        operations: Operations = state["operations"]
        operation = operations.prepare(asked, identity)
        method = connection.scope["method"]
        self._check_method(method, operation)
        service = state["application"].service
        if operation.kind is not OperationType.SUBSCRIPTION:
            await _answer_once(connection, accepted, operations, operation, Context(service=service, identity=identity))
            return
        form = _stream(accepted, method)
        after = read_last_event_id(headers.get(b"last-event-id")) if form is Form.EVENTS else None
        transport = "sse" if form is Form.EVENTS else "multipart"
        context = Context(service=service, identity=identity, resume_after=after, transport=transport)
        answers = operations.subscribe(operation, context)
        await self._streams.run(connection, _FRAMINGS[form], answers, identity)

    def _check_method(self, method: str, operation: Operation) -> None:
        if method == "POST":
            return
        if operation.kind is OperationType.MUTATION:
            raise _not_allowed("Mutations change something: send them by POST.", "POST")
        if not self._is_open and not operation.trusted:
            raise _not_allowed("Only trusted documents go by GET here: send this one by POST.", "POST")

    async def _show_page(self, connection: Connection, headers: Headers) -> None:
        if not self._is_open:
            message = "There is no page here (GQL_APP_POSTURE=production): send operations by POST as JSON."
            raise RefusedRequestError(HTTPStatus.NOT_FOUND, "NOT_FOUND", message)
        page = _page(headers.get(b"host", b"").decode("latin-1"))
        await page(connection.scope, connection.receive, connection.send)


def _headers(scope: Scope) -> Headers:
    """Read the headers; where one is there twice, all its values with commas between."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    found = dict(headers)
    if len(found) == len(headers):
        return found
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    return {name: b", ".join(those) for name, those in values.items()}


def _asks_something(query_string: bytes) -> bool:
    return any(part.startswith(_ASKING) for part in query_string.split(b"&"))


def _stream(accepted: Accepted, method: str) -> Form:
    if accepted.stream is None:
        message = (
            f"A subscription is a stream: send it with the header Accept: {Form.EVENTS}, or {Form.PARTS};"
            f"subscriptionSpec=1.0, or over a websocket at {GRAPHQL_PATH}, subprotocol graphql-transport-ws."
        )
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "SUBSCRIPTION_NEEDS_STREAM", message)
    if method == "HEAD":
        raise _not_allowed("A stream has no end that its head could be told of.", "GET, POST")
    return accepted.stream


def _not_allowed(message: str, allow: str) -> RefusedRequestError:
    return RefusedRequestError(HTTPStatus.METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message, headers={"allow": allow})


def _status(status: HTTPStatus, accepted: Accepted) -> HTTPStatus:
    """Tell the status of an operation that cannot begin. As `application/json`, 200 says that the request was one."""
    return HTTPStatus.OK if accepted.single is Form.JSON and status is HTTPStatus.BAD_REQUEST else status


async def _answer_once(
    connection: Connection, accepted: Accepted, operations: Operations, operation: Operation, context: Context
) -> None:
    """Carry out a query, which ends with its client, or a mutation, which nobody can leave half done."""
    execution = operations.execute(operation, context)
    if operation.kind is OperationType.QUERY:
        answer = await unless_gone(connection, execution)
    else:
        answer = await execution
    form = accepted.stream if accepted.prefers_stream else accepted.single
    assert form is not None
    framing = _FRAMINGS.get(form)
    await _send(connection.send, form, answer.body if framing is None else _stream_of_one(framing, answer))


def _stream_of_one(framing: Framing, answer: Answer) -> bytes:
    return framing.opening + framing.result(answer) + framing.completed


async def _send(
    send: Send, form: Form, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> None:
    start = [_CONTENT_TYPES[form], (b"content-length", b"%d" % len(body)), _VARY]
    if headers:
        start += [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": int(status), "headers": start})
    await send({"type": "http.response.body", "body": body})


def _page(host: str) -> Response:
    nonce = secrets.token_urlsafe(16)
    html = graphiql_page(endpoint=GRAPHQL_PATH, static_url=STATIC_PATH, nonce=nonce, tabs=first_tabs())
    policy = content_security_policy(nonce=nonce, host=host)
    return HTMLResponse(html, headers={"content-security-policy": policy, "vary": "Accept"})
