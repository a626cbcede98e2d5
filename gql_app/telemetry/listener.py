"""Tells the metrics at a port of their own, to whoever can reach it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from gql_app.telemetry.metrics import Metrics

logger: Final = logging.getLogger(__name__)
_HEAD_BYTES: Final = 16 << 10
_SECONDS: Final = 10.0
"""How long a request and its answer may take together."""
_CONNECTIONS: Final = 32


@asynccontextmanager
async def listening(metrics: Metrics, host: str, port: int) -> AsyncIterator[int]:
    """Answer `GET /metrics` in the block; tells the port. Raises `OSError` if it cannot be listened on."""
    listener = _Listener(metrics)
    server = await asyncio.start_server(listener.answer, host, port, limit=_HEAD_BYTES)
    taken: int = server.sockets[0].getsockname()[1]
    logger.info("Metrics are told at http://%s:%d/metrics.", host, taken)
    try:
        yield taken
    finally:
        server.close()
        listener.abort()


class _Listener:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._open: set[asyncio.StreamWriter] = set()

    def abort(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= _CONNECTIONS:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            async with asyncio.timeout(_SECONDS):
                writer.write(self._answer(await reader.readuntil(b"\r\n\r\n")))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            writer.transport.abort()
        finally:
            self._open.discard(writer)

    def _answer(self, head: bytes) -> bytes:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = first.partition(" ")
        if rest.partition(" ")[0].partition("?")[0] != "/metrics":
            return _write("404 Not Found", "text/plain", b"Metrics are at /metrics.\n")
        if method not in {"GET", "HEAD"}:
            return _write("405 Method Not Allowed", "text/plain", b"Use GET.\n", "Allow: GET, HEAD\r\n")
        headers = [line.partition(":") for line in lines]
        accept = ",".join(value for name, _, value in headers if name.lower() == "accept")
        body, media_type = self._metrics.expose(accept)
        answer = _write("200 OK", media_type, body)
        return answer if method == "GET" else answer[: -len(body)]


def _write(status: str, media_type: str, body: bytes, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n{more}"
    return f"{head}Connection: close\r\n\r\n".encode("latin-1") + body
