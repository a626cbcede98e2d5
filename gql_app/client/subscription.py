"""Subscriptions over a websocket, by the protocol graphql-transport-ws."""

import asyncio
import json
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from gql_app.client.address import Address
from gql_app.client.errors import NotAServerError
from gql_app.client.operations import load_operation
from gql_app.client.results import read_errors
from gql_app.core.values import Json

PROTOCOL: Final = Subprotocol("graphql-transport-ws")
MESSAGE_BYTES: Final = 64 << 20
"""The biggest message that is read."""
OPEN_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 2.0

_TEMPORARY: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


class ConnectionLostError(Exception):
    """The connection broke, or could not be made, for a reason that may pass."""


async def subscribe(address: Address, operation: str, variables: Json) -> AsyncGenerator[Json, None]:
    """Open a connection for one subscription: first nothing, once it stands, then the data of each result.

    Raises `ConnectionLostError` for what may pass, and `ClientError` for what will not.
    """
    try:
        async with connect(
            address.websocket,
            subprotocols=[PROTOCOL],
            open_timeout=OPEN_SECONDS,
            close_timeout=CLOSE_SECONDS,
            max_size=MESSAGE_BYTES,
            proxy=None if address.is_local else True,
        ) as connection:
            if connection.subprotocol != PROTOCOL:
                raise NotAServerError(address.url, f"it does not speak {PROTOCOL}.")
            await _introduce(connection, address.url)
            yield None
            await _send(
                connection,
                id="1",
                type="subscribe",
                payload={"query": load_operation(operation), "operationName": operation, "variables": variables},
            )
            while (message := await _receive(connection, address.url))["type"] != "complete":
                if message["type"] == "next":
                    yield _read(message.get("payload"), address.url)
    except TimeoutError:
        raise ConnectionLostError("no answer in time") from None
    except ConnectionClosed as closed:
        raise ConnectionLostError(str(closed)) from None
    except InvalidHandshake as error:
        raise _refused(error, address) from None
    except OSError as error:
        raise ConnectionLostError(error.strerror or str(error)) from None


async def _introduce(connection: ClientConnection, url: str) -> None:
    await _send(connection, type="connection_init")
    async with asyncio.timeout(OPEN_SECONDS):
        message = await _receive(connection, url)
    if message["type"] != "connection_ack":
        raise NotAServerError(url, f"it answered {message['type']!r} where connection_ack was due.")


async def _send(connection: ClientConnection, **message: Json) -> None:
    await connection.send(json.dumps(message, allow_nan=False))


async def _receive(connection: ClientConnection, url: str) -> dict[str, Json]:
    """Give the next message that is not about the connection itself. Raises the error that it tells."""
    while True:
        try:
            message = msgspec.json.decode(await connection.recv())
        except msgspec.DecodeError:
            raise NotAServerError(url, "it sent a message that is not JSON.") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise NotAServerError(url, "it sent a message without a type.")
        match message["type"]:
            case "ping":
                await _send(connection, type="pong")
            case "pong":
                pass
            case "error":
                raise read_errors(message.get("payload"), url)
            case _:
                return message


def _read(payload: Json, url: str) -> Json:
    if not isinstance(payload, dict):
        raise NotAServerError(url, "it sent a result that is not an object.")
    if payload.get("errors"):
        raise read_errors(payload["errors"], url)
    return payload.get("data")


def _refused(error: InvalidHandshake, address: Address) -> Exception:
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        if status in _TEMPORARY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return ConnectionLostError(f"it answered {status}")
        return NotAServerError(address.url, f"{address.websocket} answered {status}.")
    if isinstance(error, InvalidMessage) and isinstance(error.__cause__, EOFError):
        return ConnectionLostError("it closed the connection")
    return NotAServerError(address.url, f"{error}.")
