"""GraphQL over websockets at /graphql, by the protocol graphql-transport-ws."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket
from strawberry.asgi import ASGIWebSocketAdapter, GraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler

from gql_app.core.values import Json
from gql_app.schema.build import schema
from gql_app.schema.context import Context
from gql_app.settings import Settings
from gql_app.web.encoding import encode

INIT_SECONDS: Final = 10.0
"""How long a client may take to introduce itself."""
REASON_BYTES: Final = 123
"""What RFC 6455 has room for."""


class Adapter(ASGIWebSocketAdapter):
    """What Strawberry reads from and writes to."""

    async def close(self, code: int, reason: str) -> None:
        """Close the connection, with as much of the reason as there is room for."""
        await super().close(code, reason.encode()[:REASON_BYTES].decode(errors="ignore"))


class Handler(BaseGraphQLTransportWSHandler[Context, None]):
    """One connection. Checks the shape of every message before Strawberry relies on it."""

    async def handle_message(self, message: Json) -> None:
        """Act on a message, or close the connection over one that the protocol does not know."""
        if reason := complaint(message):
            await self.handle_invalid_message(reason)
        elif message["type"] == "ping" and message.get("payload") is not None:
            await self.websocket.send_json({"type": "pong", "payload": message["payload"]})
        else:
            await super().handle_message(without_nulls(message))

    @staticmethod
    def _get_pre_execution_close_reason(error: object) -> str | None:
        # Strawberry would close the connection, and every other subscription on it, over a syntax error.
        return None


class GraphQLSockets(GraphQL[Context, None]):
    """Accepts websockets of programs, of our own pages and of allowed origins; other pages are refused with 403."""

    graphql_transport_ws_handler_class = Handler
    websocket_adapter_class = Adapter

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=timedelta(seconds=INIT_SECONDS),
            max_subscriptions_per_connection=settings.maximum_subscriptions,
            allowed_origins=settings.allowed_origins,
        )

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """Say who asks."""
        return Context(service=request.state.application.service)

    def decode_json(self, data: str | bytes) -> Json:
        """Decode a message."""
        return orjson.loads(data)

    def encode_json(self, data: object) -> str:
        """Encode a message. Text: clients close the connection over binary frames."""
        return encode(data).decode()


def complaint(message: Json) -> str | None:
    """Say what is wrong with the shape of a message, if anything."""
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return "A message is an object with a type"
    payload = message.get("payload")
    match message["type"]:
        case "connection_init" | "ping" | "pong":
            return None if payload is None or isinstance(payload, dict) else "The payload must be an object"
        case "subscribe":
            return _id_complaint(message) or _operation_complaint(payload)
        case "complete":
            return _id_complaint(message)
        case _:
            return f"Unknown message type: {message['type']!r}"


def without_nulls(message: Mapping[str, Json]) -> Json:
    """Leave out members that are null, which mean the same as absent ones."""
    return {name: value for name, value in message.items() if value is not None}


def _id_complaint(message: Mapping[str, Json]) -> str | None:
    name = message.get("id")
    return None if isinstance(name, str) and name else "The id must be a string that is not empty"


def _operation_complaint(payload: Json) -> str | None:
    if not isinstance(payload, dict) or not isinstance(payload.get("query"), str):
        return "The payload must be an object with a query"
    if not isinstance(payload.get("variables"), dict | None):
        return "The variables must be an object"
    return None if isinstance(payload.get("operationName"), str | None) else "The operationName must be a string"
