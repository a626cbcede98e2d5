"""Queries and mutations over HTTP."""

import json
from http import HTTPStatus
from typing import Final

import msgspec
from gql.transport.exceptions import TransportConnectionFailed, TransportError
from gql.transport.httpx import HTTPXAsyncTransport

from gql_app.client.address import Address
from gql_app.client.errors import (
    ClientError,
    ConnectionFailedError,
    NotAllowedError,
    NotAServerError,
    ServerFailedError,
    ServerOverloadedError,
)
from gql_app.client.request import OperationRequest
from gql_app.client.results import read_errors
from gql_app.core.values import Json

try:
    # gql's transport takes this one where it is installed, and wants and raises its types.
    import httpx2 as httpx
except ModuleNotFoundError:
    # The same names of the same types, as far as they are used here.
    import httpx  # type: ignore[no-redef]

CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 60.0

_HEADERS: Final = {
    "content-type": "application/json",
    "accept": "application/graphql-response+json, application/json;q=0.9",
}
_BUSY: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_FAILED: Final = frozenset(
    {
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class HttpTransport:
    """Sends operations to one service over pooled connections."""

    def __init__(self, address: Address, token: str | None) -> None:
        self._address = address
        self._transport = HTTPXAsyncTransport(
            address.graphql,
            json_deserialize=_decode,
            headers={**_HEADERS, "authorization": f"Bearer {token}"} if token else _HEADERS,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            trust_env=not address.is_local,
        )

    async def execute(self, operation: str, variables: Json) -> Json:
        """Carry out an operation and give its data. Raises `ClientError`."""
        request = OperationRequest(operation, variables)
        # httpx would write what is no text of Unicode (half a surrogate pair) as it is, and fail.
        content = json.dumps(request.payload, allow_nan=False, separators=(",", ":"))
        if self._transport.client is None:
            await self._transport.connect()  # type: ignore[no-untyped-call] # gql does not annotate it
        try:
            result = await self._transport.execute(request, extra_args={"content": content, "json": None})
        except TransportError as error:
            raise _explain(error, self._address) from None
        if result.errors:
            raise read_errors(result.errors, self._address.url)
        if not isinstance(result.data, dict):
            raise NotAServerError(self._address.url, f"{self._address.graphql} answered without data.")
        return result.data

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()  # type: ignore[no-untyped-call] # gql does not annotate it


def _decode(content: bytes) -> dict[str, Json]:
    return msgspec.json.decode(content, type=dict[str, Json])


def _explain(error: TransportError, address: Address) -> ClientError:
    """Make the error that an answer without a GraphQL result stands for, or that there was no answer."""
    cause = error.__cause__
    if isinstance(cause, httpx.HTTPStatusError):
        return _explain_status(cause.response, address)
    if isinstance(cause, httpx.TimeoutException):
        return ConnectionFailedError(address.url, f"no answer in time ({type(cause).__name__}).")
    if isinstance(error, TransportConnectionFailed):
        reason = _reason(cause or error)
        return ConnectionFailedError(address.url, f"{reason} Is the server running? See `gql-app serve`.")
    return NotAServerError(address.url, f"{address.graphql} answered what is not GraphQL.")


def _explain_status(response: httpx.Response, address: Address) -> ClientError:
    status = f"{response.status_code} {response.reason_phrase}".strip()
    seconds = response.headers.get("retry-after", "")
    if response.status_code in _BUSY and seconds.isascii() and seconds.isdigit():
        message = f"The server at {address.url} is busy: it answered {status}."
        return ServerOverloadedError(message, "OVERLOADED", float(seconds))
    if response.status_code in _FAILED:
        return ServerFailedError(f"The server at {address.url} failed: it answered {status}.")
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        return NotAllowedError(f"{address.graphql} answered {status}: it wants another token.", "UNAUTHENTICATED")
    return NotAServerError(address.url, f"{address.graphql} answered {status}, which is not GraphQL.")


def _reason(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."
