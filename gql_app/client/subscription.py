"""Subscriptions over a websocket, by the protocol graphql-transport-ws."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from gql.transport.exceptions import (
    TransportConnectionFailed,
    TransportError,
    TransportProtocolError,
    TransportQueryError,
)
from gql.transport.websockets import WebsocketsTransport
from graphql import ExecutionResult
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

from gql_app.client.address import Address
from gql_app.client.backoff import ConnectionLostError
from gql_app.client.errors import NotAllowedError, NotAServerError
from gql_app.client.request import OperationRequest
from gql_app.client.results import read_errors
from gql_app.core.values import Json

PROTOCOL: Final = WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL
MESSAGE_BYTES: Final = 64 << 20
"""The biggest message that is read."""
RESULTS_AHEAD: Final = 4
"""How many results are read before somebody wants them."""
OPEN_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 2.0

_TEMPORARY: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_NOT_ALLOWED: Final = {4401: "UNAUTHENTICATED", 4403: "FORBIDDEN"}


async def subscribe(address: Address, token: str | None, operation: str, variables: Json) -> AsyncGenerator[Json, None]:
    """Open a connection for one subscription: first nothing, once it stands, then the data of each result.

    Raises `ConnectionLostError` for what may pass, and `ClientError` for what will not.
    """
    connection = _Connection(address, token)
    try:
        await connection.connect()
        yield None
        async for result in connection.results(OperationRequest(operation, variables)):
            if result.errors:
                raise read_errors(result.errors, address.url)
            yield result.data
    except (TransportError, TimeoutError) as error:
        raise _explain(error, address) from None
    finally:
        await connection.close()


class _Connection(WebsocketsTransport):
    """A connection that reads no further than its reader, and is closed by whatever it does not understand."""

    def __init__(self, address: Address, token: str | None) -> None:
        super().__init__(
            address.websocket,
            init_payload={"authorization": f"Bearer {token}"} if token else None,
            connect_timeout=None,  # `open_timeout` is the same
            ack_timeout=OPEN_SECONDS,
            close_timeout=2 * CLOSE_SECONDS,
            subprotocols=[PROTOCOL],
            connect_args={
                "open_timeout": OPEN_SECONDS,
                "close_timeout": CLOSE_SECONDS,
                "max_size": MESSAGE_BYTES,
                "proxy": None if address.is_local else True,
            },
        )
        self._room = asyncio.Semaphore(RESULTS_AHEAD)

    async def results(self, request: OperationRequest) -> AsyncGenerator[ExecutionResult, None]:
        """Subscribe, and give each result."""
        results = self.subscribe(request)
        try:
            async for result in results:
                self._room.release()
                yield result
        finally:
            await results.aclose()

    async def close(self) -> None:
        await super().close()
        if (task := self.receive_data_task) is not None:
            # It may be waiting for room. Nobody else awaits it.
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _send_init_message_and_wait_ack(self) -> None:
        if self.adapter.websocket is None or self.adapter.websocket.subprotocol != PROTOCOL:
            raise TransportProtocolError(f"it does not speak {PROTOCOL}.")
        await super()._send_init_message_and_wait_ack()

    def _parse_answer(self, answer: str) -> tuple[str, int | None, ExecutionResult | None]:
        try:
            return super()._parse_answer(answer)
        except (AttributeError, LookupError, RecursionError, TypeError) as error:
            # The transport's own task would die of it, and the subscription would wait for ever.
            raise TransportProtocolError("it sent a message that is none of the protocol.") from error

    async def _handle_answer(
        self, answer_type: str, answer_id: int | None, execution_result: ExecutionResult | None
    ) -> None:
        if execution_result is not None:
            await self._room.acquire()
        await super()._handle_answer(answer_type, answer_id, execution_result)

    async def _stop_listener(self, query_id: int) -> None:
        # It is told while a cancellation is under way, of which a broken connection would take the place.
        with suppress(TransportConnectionFailed):
            await super()._stop_listener(query_id)


def _explain(error: Exception, address: Address) -> Exception:
    """Make the error that a failure of the transport stands for."""
    cause = _cause(error)
    match error, cause:
        case TransportQueryError(), _:
            return read_errors(error.errors, address.url)
        case TransportProtocolError(), _:
            return NotAServerError(address.url, str(error))
        case _, TimeoutError():
            return ConnectionLostError("no answer in time")
        case _, ConnectionClosed():
            return _explain_close(cause, address)
        case _, InvalidHandshake():
            return _explain_handshake(cause, address)
        case _, OSError():
            return ConnectionLostError(cause.strerror or str(cause))
        case _:
            return ConnectionLostError(str(cause) or type(cause).__name__)


def _cause(error: BaseException) -> BaseException:
    """Find what went wrong: the transport's own errors tell little more than that something did."""
    while isinstance(error, TransportError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _explain_close(closed: ConnectionClosed, address: Address) -> Exception:
    code = _NOT_ALLOWED.get(closed.rcvd.code) if closed.rcvd else None
    if closed.rcvd and code:
        reason = closed.rcvd.reason or "no reason was told"
        return NotAllowedError(f"{address.url} closed the connection: {reason.removesuffix('.')}.", code)
    return ConnectionLostError(str(closed))


def _explain_handshake(error: InvalidHandshake, address: Address) -> Exception:
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        if status in _TEMPORARY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return ConnectionLostError(f"it answered {status}")
        if status == HTTPStatus.UNAUTHORIZED:
            return NotAllowedError(f"{address.websocket} answered {status}: it wants another token.", "UNAUTHENTICATED")
        return NotAServerError(address.url, f"{address.websocket} answered {status}.")
    if isinstance(error, InvalidMessage) and isinstance(error.__cause__, EOFError):
        return ConnectionLostError("it closed the connection")
    return NotAServerError(address.url, f"{error}.")
