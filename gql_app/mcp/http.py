"""The transport to a server at an address: streamable HTTP, with answers within limits and failures that say why.

The address comes from the operator, so nothing keeps it from being an internal one.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import httpx2
import orjson
from mcp.client.streamable_http import streamable_http_client

from gql_app.mcp.codes import REFUSED, TOO_BIG, UNAVAILABLE, UNREADABLE
from gql_app.mcp.troubles import Streams, Troubles

MAXIMUM_ERROR_BYTES: Final = 64 << 10
"""What is read of an answer that is an error."""
SECONDS: Final = 10.0
"""For connecting, sending, and waiting for a connection. How long an answer may take is for attempts to say."""
GOODBYE_SECONDS: Final = 2.0

_SESSION: Final = "mcp-session-id"
_LONGEST_WAIT: Final = 86_400.0


@asynccontextmanager
async def http_transport(
    url: str, headers: Callable[[], Mapping[str, str]], maximum_bytes: int, troubles: Troubles
) -> AsyncIterator[Streams]:
    """Talk to the server at an address; `headers` are asked for before every request."""
    async with (
        _Client(headers, maximum_bytes, troubles) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=maximum_bytes) as streams,
    ):
        yield streams


class _Client(httpx2.AsyncClient):
    """Sends the library's requests. What fails with one of them is an error for that call alone.

    The library would end the session with the first connection that cannot be made, and would not say what an HTTP
    status was.
    """

    def __init__(self, headers: Callable[[], Mapping[str, str]], maximum_bytes: int, troubles: Troubles) -> None:
        super().__init__(
            timeout=httpx2.Timeout(SECONDS, read=None),
            # How many calls there are is for attempts to limit.
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
        )
        self._own_headers = headers
        self._maximum_bytes = maximum_bytes
        self._troubles = troubles

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request, and make of what goes wrong what the library tells the call."""
        request.headers.update(self._own_headers())
        if request.method != "POST":
            return await self._send_other(request, options)
        try:
            response = await super().send(request, **options)
            if response.is_redirect:
                return response
            if response.status_code >= HTTPStatus.BAD_REQUEST:
                return await self._refused(request, response)
            if response.headers.get("content-type", "").lower().startswith("application/json"):
                return await self._whole(request, response)
            return response
        except httpx2.TransportError as error:
            reason = f"The server cannot be reached: {_describe(error)}"
            self._troubles.suspect(reason)
            return _failed(request, UNAVAILABLE, reason)

    async def _send_other(self, request: httpx2.Request, options: dict[str, Any]) -> httpx2.Response:
        """Send what no call waits for: the request for the stream of news, or the end of a session."""
        if request.method == "DELETE":
            # A goodbye that nobody hears must not keep the service from closing.
            request.extensions = {**request.extensions, "timeout": httpx2.Timeout(GOODBYE_SECONDS).as_dict()}
        try:
            return await super().send(request, **options)
        except httpx2.TransportError as error:
            self._troubles.suspect(f"The server cannot be reached: {_describe(error)}")
            raise

    async def _whole(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        body = await _read(response, self._maximum_bytes)
        if body is None:
            return _failed(request, TOO_BIG, f"The answer is longer than {self._maximum_bytes} bytes.")
        if not _is_message(body):
            return _failed(request, UNREADABLE, "The answer is not a message of JSON-RPC.")
        kept = {name: value for name, value in response.headers.items() if name in ("content-type", _SESSION)}
        return httpx2.Response(response.status_code, headers=kept, content=body, request=request)

    async def _refused(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        """Tell the error in the answer if it is one of JSON-RPC, else what the status means."""
        status, had_session = response.status_code, _SESSION in request.headers
        body = await _read(response, MAXIMUM_ERROR_BYTES)
        said = f"HTTP status {status} {_phrase(status)}".rstrip()
        if had_session and (status == HTTPStatus.NOT_FOUND or _is_about_session(status, body)):
            self._troubles.lose("The server has no session of ours any more")
            return _failed(request, UNAVAILABLE, "The server has no session of ours any more.")
        if body is not None and _is_error(body):
            return httpx2.Response(status, headers={"content-type": "application/json"}, content=body, request=request)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            self._troubles.suspect(f"The server answered with {said}")
        return _failed(request, REFUSED, said, {"status": status, "retryAfter": _retry_after(response)})


async def _read(response: httpx2.Response, maximum: int) -> bytes | None:
    """Read an answer, or nothing if it is too long."""
    parts: list[bytes] = []
    size = 0
    try:
        async for part in response.aiter_bytes():
            size += len(part)
            if size > maximum:
                return None
            parts.append(part)
    finally:
        await response.aclose()
    return b"".join(parts)


def _is_message(body: bytes) -> bool:
    try:
        return isinstance(orjson.loads(body), dict)
    except orjson.JSONDecodeError:
        return False


def _is_about_session(status: int, body: bytes | None) -> bool:
    """Tell whether an answer says that it does not know our session: many say so with 400, in their own words."""
    return status == HTTPStatus.BAD_REQUEST and body is not None and b"session" in body.lower()


def _is_error(body: bytes) -> bool:
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(message, dict) and isinstance(message.get("error"), dict)


def _failed(request: httpx2.Request, code: int, message: str, data: dict[str, Any] | None = None) -> httpx2.Response:
    """Make an answer that the library tells the call as an error of this code."""
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    content = orjson.dumps({"jsonrpc": "2.0", "id": None, "error": error})
    headers = {"content-type": "application/json"}
    return httpx2.Response(HTTPStatus.BAD_GATEWAY, headers=headers, content=content, request=request)


def _describe(error: httpx2.TransportError) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _retry_after(response: httpx2.Response) -> float | None:
    """Read how many seconds to wait, if the answer says so in seconds."""
    text = response.headers.get("retry-after", "")
    return min(float(text), _LONGEST_WAIT) if text.isascii() and text.isdigit() and len(text) < 10 else None
