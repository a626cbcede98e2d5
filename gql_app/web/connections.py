"""Websocket connections on the wire, and how long a peer may leave them hanging."""

import asyncio
from typing import ClassVar

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A connection that is cut when its peer does not read.

    Back-pressure already bounds how much is kept for such a peer; closing, too, would wait for it until all is read.
    """

    stall_seconds: ClassVar[float] = 30.0
    """How long a peer may read nothing while there is more for it than its buffers hold."""
    closing_seconds: ClassVar[float] = 1.0
    """How long a peer may take to read what is left when the server stops."""

    _stalled: asyncio.TimerHandle | None = None
    _closing: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Take note that the peer's buffers are full."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Take note that the peer reads again."""
        super().resume_writing()
        self._forget(self._stalled)

    def keepalive_timeout(self) -> None:
        """Cut a peer that does not answer pings."""
        super().keepalive_timeout()
        self.transport.abort()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Give the peer time to read the rest; the handshake of closing has its own limit."""
        super().on_task_complete(task)
        self._close_within(self.close_timeout + self.closing_seconds)

    def shutdown(self) -> None:
        """Say that the server stops, and give the peer time to hear it."""
        super().shutdown()
        self._close_within(self.closing_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end."""
        super().connection_lost(exc)
        self._forget(self._stalled)
        self._forget(self._closing)

    def _close_within(self, seconds: float) -> None:
        if self._closing is None and not self.disconnected:
            self._closing = self.loop.call_later(seconds, self.transport.abort)

    def _forget(self, timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()
