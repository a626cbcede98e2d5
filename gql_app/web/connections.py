"""Connections on the wire, and how long their peers may leave them hanging."""

import asyncio
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGISendEvent

STALL_SECONDS: Final = 30.0
"""How long a peer may read nothing while there is more for it than its buffers hold.

Back-pressure bounds how much is kept for such a peer, but nothing else how long: even closing would wait for it.
"""
CLOSING_SECONDS: Final = 1.0
"""How long a peer may take to read what is left for it when its websocket is closed, or the server stops."""

_WHOLE_TEXT: Final = 0x81

HEAD_BYTES: Final = 64 << 10
"""How long the head of a request may be, and whatever else comes between the parts of a body."""


class Deadline:
    """A time at which a connection is cut, unless it is called off."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def set(self, cut: Callable[[], None], seconds: float) -> None:
        """Cut the connection then; a deadline that is set stays as it is."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, cut)

    def call_off(self) -> None:
        """Forget it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class HttpProtocol(HttpToolsProtocol):
    """An HTTP connection that is cut when its peer does not read its answers, or sends a head without an end."""

    _stall: Deadline | None = None
    _answering: RequestResponseCycle | None = None
    """Uvicorn knows only the last of several requests that came at once; this is the one whose turn it is."""
    _is_stopping = False
    _unfinished = 0
    """How many bytes have come of what the parser only tells once it is complete."""

    def data_received(self, data: bytes) -> None:
        """Read on, but not for ever the same."""
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The head of the request has more than {HEAD_BYTES} bytes.")

    def on_headers_complete(self) -> None:
        """Take note of a head's end."""
        self._unfinished = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take note of a piece of a body."""
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take note of a request's end."""
        self._unfinished = 0
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Take note that the peer's buffers are full."""
        super().pause_writing()
        self._stall = self._stall or Deadline()
        self._stall.set(self._cut, CLOSING_SECONDS if self._is_stopping else STALL_SECONDS)

    def resume_writing(self) -> None:
        """Take note that the peer reads again."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.call_off()

    def shutdown(self) -> None:
        """Let the answer end, if its peer reads it."""
        super().shutdown()
        self._is_stopping = True
        if self._stall is not None and self.flow.write_paused:
            self._stall.call_off()
            self._stall.set(self._cut, CLOSING_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end."""
        self._stop_answering()
        super().connection_lost(exc)
        if self._stall is not None:
            self._stall.call_off()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _cut(self) -> None:
        """End the connection at once. The loop tells of it a moment later; until then nobody may write any more."""
        self._stop_answering()
        self.transport.abort()

    def _stop_answering(self) -> None:
        cycle = self._answering
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()


def _head(length: int) -> bytes:
    """Begin a frame of text, by RFC 6455: whole, and unmasked as all that a server sends."""
    if length < 126:
        return bytes((_WHOLE_TEXT, length))
    return (
        struct.pack("!BBH", _WHOLE_TEXT, 126, length)
        if length < 1 << 16
        else struct.pack("!BBQ", _WHOLE_TEXT, 127, length)
    )


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A websocket that is cut when its peer does not read, does not answer pings, or does not let itself be closed."""

    _stall: Deadline | None = None
    _close: Deadline | None = None

    async def send(self, message: "ASGISendEvent") -> None:
        """Send text by the shortest way there is, and everything else as ever."""
        if message["type"] == "websocket.send" and (text := message.get("text")) and self._is_clear():
            data = text.encode()
            self.transport.write(_head(len(data)) + data)
        else:
            await super().send(message)

    def _is_clear(self) -> bool:
        """Whether a frame can be written as it is: the connection is open, has room, and changes nothing about it."""
        is_open = self.conn.state is State.OPEN and not (self.close_sent or self.disconnected)
        return is_open and self.writable.is_set() and not self.conn.extensions

    def pause_writing(self) -> None:
        """Take note that the peer's buffers are full."""
        super().pause_writing()
        self._stall = self._stall or Deadline()
        self._stall.set(self.transport.abort, STALL_SECONDS)

    def resume_writing(self) -> None:
        """Take note that the peer reads again."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.call_off()

    def keepalive_timeout(self) -> None:
        """Cut a peer that does not answer pings."""
        super().keepalive_timeout()
        self.transport.abort()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Give the peer time to read the rest; the handshake of closing has its own limit."""
        super().on_task_complete(task)
        self._close_within(self.close_timeout + CLOSING_SECONDS)

    def shutdown(self) -> None:
        """Say that the server stops, and give the peer time to hear it."""
        super().shutdown()
        self._close_within(CLOSING_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end."""
        super().connection_lost(exc)
        for deadline in (self._stall, self._close):
            if deadline is not None:
                deadline.call_off()

    def _close_within(self, seconds: float) -> None:
        if not self.disconnected:
            self._close = self._close or Deadline()
            self._close.set(self.transport.abort, seconds)
