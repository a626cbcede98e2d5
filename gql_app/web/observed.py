"""What every request passes first: it gets an id, and is counted and logged when it has been answered."""

import logging
import re
import secrets
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gql_app.telemetry.context import log_fields, set_log_fields, set_trace_parent
from gql_app.telemetry.requests import HttpMetrics
from gql_app.telemetry.runs import OTHER

logger: Final = logging.getLogger("gql_app.access")
REQUEST_ID: Final = b"x-request-id"
_SAFE_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_PATH_CHARACTERS: Final = 200
_STREAMS: Final = (b"text/event-stream", b"multipart/")


class Observed:
    """Lets nobody's request go unnoticed. A client may give its request an id of 1 to 64 harmless characters."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics, *, traced: bool = False) -> None:
        self.app = app
        self.metrics = metrics
        self._traced = traced

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        sight = _Sight(_request_id(scope), send, self.metrics)
        before = log_fields()
        set_log_fields({"request_id": sight.request_id.decode()})
        if self._traced:
            set_trace_parent(_trace_parent(scope))
        started = time.perf_counter()
        try:
            await self.app(scope, receive, sight.send)
        finally:
            seconds = time.perf_counter() - started
            if sight.upgraded:
                self.metrics.websockets -= 1
            self._tell(scope, sight, seconds)
            set_log_fields(before)

    def _tell(self, scope: Scope, sight: "_Sight", seconds: float) -> None:
        method = scope.get("method", "GET")
        self.metrics.count(_route(scope), method, sight.status, None if sight.lasting else seconds)
        if logger.isEnabledFor(logging.INFO):
            path = scope.get("raw_path", b"").decode("latin-1")[:_PATH_CHARACTERS]
            more = {
                "method": method,
                "path": path,
                "status": sight.status,
                "seconds": round(seconds, 6),
                "bytes": sight.bytes,
            }
            logger.info("%s %s %s", method, path, sight.status, extra=more)


class _Sight:
    """What is seen of the answer to one request."""

    __slots__ = ("_metrics", "_send", "bytes", "lasting", "request_id", "status", "upgraded")

    def __init__(self, request_id: bytes, send: Send, metrics: HttpMetrics) -> None:
        self.request_id = request_id
        self._metrics = metrics
        self._send = send
        self.status: int | None = None
        self.bytes = 0
        self.lasting = False
        self.upgraded = False

    async def send(self, message: Message) -> None:
        """Take a look at what is sent, and put the id on it."""
        match message["type"]:
            case "http.response.body":
                self.bytes += len(message.get("body", b""))
            case "http.response.start" | "websocket.http.response.start":
                self.status = message["status"]
                headers = message.get("headers", ())
                self.lasting = _is_stream(headers)
                message = {**message, "headers": [*headers, (REQUEST_ID, self.request_id)]}
            case _:
                message = self._of_websocket(message)
        await self._send(message)

    def _of_websocket(self, message: Message) -> Message:
        match message["type"]:
            case "websocket.accept":
                self.status, self.lasting, self.upgraded = HTTPStatus.SWITCHING_PROTOCOLS, True, True
                self._metrics.websockets += 1
                return {**message, "headers": [*message.get("headers", ()), (REQUEST_ID, self.request_id)]}
            case "websocket.close" if self.status is None:
                # Closed before it is accepted, a websocket is refused.
                self.status = HTTPStatus.FORBIDDEN
            case "websocket.send":
                self.bytes += len(message.get("text") or message.get("bytes") or b"")
            case "websocket.http.response.body":
                self.bytes += len(message.get("body", b""))
            case _:
                pass
        return message


def _is_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    for name, value in headers:
        if name == b"content-type":
            return value.startswith(_STREAMS)
    return False


def _request_id(scope: Scope) -> bytes:
    """Take the id that the client gave its request, or make one."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID and _SAFE_ID.fullmatch(value):
            given: bytes = value
            return given
    return secrets.token_hex(8).encode()


def _trace_parent(scope: Scope) -> str | None:
    """Tell the trace that the client wants its request to belong to."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)


def _route(scope: Scope) -> str:
    """Tell the pattern that the path fits: there are only so many of them, whatever clients ask for."""
    path = getattr(scope.get("route"), "path", None)
    return OTHER if path is None else path
