"""The messages of graphql-transport-ws: those that come are checked, those that go are encoded."""

from enum import IntEnum
from typing import Annotated, Final, TypeAlias

import msgspec
from graphql import GraphQLFormattedError

from gql_app.core.values import Json
from gql_app.schema.execution import GraphQLRequest
from gql_app.web.encoding import InvalidJsonError, decode, encode

PROTOCOL: Final = "graphql-transport-ws"
ACKNOWLEDGED: Final = '{"type":"connection_ack"}'
PING: Final = '{"type":"ping"}'

_REASON_BYTES: Final = 123
"""What RFC 6455 has room for."""


class CloseCode(IntEnum):
    """Why a connection is closed, in the numbers that clients know."""

    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    SUBPROTOCOL_NOT_ACCEPTABLE = 4406
    INITIALISATION_TIMEOUT = 4408
    SUBSCRIBER_ALREADY_EXISTS = 4409
    TOO_MANY_INITIALISATION_REQUESTS = 4429
    TERMINATED = 4499


class ClosedError(Exception):
    """The connection is to be closed; `reason` has as much of the message as there is room for."""

    def __init__(self, code: CloseCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = message.encode()[:_REASON_BYTES].decode(errors="ignore")


OperationId: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]


class ConnectionInit(msgspec.Struct, frozen=True, tag_field="type", tag="connection_init"):
    """A client introduces itself."""

    payload: dict[str, Json] | None = None


class Ping(msgspec.Struct, frozen=True, tag_field="type", tag="ping"):
    """A client asks whether we are there."""

    payload: dict[str, Json] | None = None


class Pong(msgspec.Struct, frozen=True, tag_field="type", tag="pong"):
    """A client is there."""

    payload: dict[str, Json] | None = None


class Subscribe(msgspec.Struct, frozen=True, tag_field="type", tag="subscribe"):
    """A client asks for an operation of any kind."""

    id: OperationId
    payload: GraphQLRequest


class Complete(msgspec.Struct, frozen=True, tag_field="type", tag="complete"):
    """A client has heard enough of an operation."""

    id: OperationId


Message: TypeAlias = ConnectionInit | Ping | Pong | Subscribe | Complete


def read(text: str) -> Message:
    """Read a message. Raises `ClosedError` for what the protocol does not know."""
    try:
        message: Message = msgspec.convert(decode(text, what="message"), Message)
    except (InvalidJsonError, msgspec.ValidationError) as error:
        raise ClosedError(CloseCode.BAD_REQUEST, f"Invalid message: {error}") from None
    if isinstance(message, Subscribe) and not _names_a_document(message.payload):
        raise ClosedError(
            CloseCode.BAD_REQUEST, "Invalid message: Object missing required field `query` - at `$.payload`"
        )
    return message


def pong(payload: dict[str, Json] | None) -> str:
    """Answer a ping with what it brought."""
    return encode({"type": "pong", "payload": payload} if payload else {"type": "pong"}).decode()


def error(operation_id: str, errors: list[GraphQLFormattedError]) -> str:
    """Say that an operation did not begin, and why."""
    return encode({"id": operation_id, "type": "error", "payload": errors}).decode()


def broken(operation_id: str, body: bytes) -> str:
    """Say that an operation cannot go on, and why: the errors of a result, which is encoded already."""
    return error(operation_id, decode(body, what="result")["errors"])


def complete(operation_id: str) -> str:
    """Say that nothing more comes of an operation."""
    return encode({"id": operation_id, "type": "complete"}).decode()


def next_head(operation_id: str) -> bytes:
    """Begin the messages that bring an operation's results; `next_message` makes one of it."""
    return b'{"id":' + encode(operation_id) + b',"type":"next","payload":'


def next_message(head: bytes, body: bytes) -> str:
    """Bring a result, which is encoded already."""
    return (head + body + b"}").decode()


def _names_a_document(request: GraphQLRequest) -> bool:
    return (
        request.query is not None or request.document_id is not None or "persistedQuery" in (request.extensions or {})
    )
