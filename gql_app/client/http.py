"""Queries and mutations over HTTP."""

import json
from http import HTTPStatus
from typing import Final

import httpx
import msgspec

from gql_app.client.address import Address
from gql_app.client.errors import ConnectionFailedError, NotAServerError, ServerFailedError
from gql_app.client.operations import load_operation
from gql_app.client.results import read_errors
from gql_app.core.values import Json

CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 60.0

_HEADERS: Final = {
    "content-type": "application/json",
    "accept": "application/graphql-response+json, application/json;q=0.9",
}
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

    def __init__(self, address: Address) -> None:
        self._address = address
        self._client = httpx.AsyncClient(
            headers=_HEADERS,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            trust_env=not address.is_local,
        )

    async def execute(self, operation: str, variables: Json) -> Json:
        """Carry out an operation and give its data. Raises `ClientError`."""
        request = {"query": load_operation(operation), "operationName": operation, "variables": variables}
        url = self._address.url
        try:
            content = json.dumps(request, allow_nan=False, separators=(",", ":"))
            response = await self._client.post(self._address.graphql, content=content)
        except httpx.TimeoutException as error:
            raise ConnectionFailedError(url, f"no answer in time ({type(error).__name__}).") from None
        except httpx.HTTPError as error:
            raise ConnectionFailedError(url, f"{_reason(error)} Is the server running? See `gql-app serve`.") from None
        return self._read(response)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def _read(self, response: httpx.Response) -> Json:
        url = self._address.url
        status = f"{response.status_code} {response.reason_phrase}".strip()
        try:
            body = msgspec.json.decode(response.content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            body = None
        if isinstance(body, dict) and body.get("errors"):
            raise read_errors(body["errors"], url)
        if isinstance(body, dict) and isinstance(body.get("data"), dict):
            return body["data"]
        if response.status_code in _FAILED:
            raise ServerFailedError(f"The server at {url} failed: it answered {status}.")
        raise NotAServerError(url, f"{self._address.graphql} answered {status}, which is not GraphQL.")


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."
