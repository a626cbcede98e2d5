"""HTTP/2 as httpcore speaks it, except that a request which is given up costs the others on its connection nothing."""

import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import anyio
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import httpcore
from anyio.lowlevel import checkpoint_if_cancelled
from httpcore._async.http2 import HTTPConnectionState
from httpcore._synchronization import AsyncSemaphore

RESET_SECONDS: Final = 1.0
"""How long the server has to take the news that a request was given up."""
BROKEN: Final = (httpcore.NetworkError, ssl.SSLError, anyio.EndOfStream)
"""How a connection fails; httpcore lets the latter two pass as they are."""
_ENDINGS: Final = (h2.events.StreamEnded, h2.events.StreamReset)
_MAXIMUM_STREAMS: Final = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS


class _Open(AsyncSemaphore):
    """A semaphore that lets everybody in: whoever waits for a stream does so before it is asked, or in the pool."""

    async def acquire(self) -> None:
        pass

    async def release(self) -> None:
        pass


_OPEN: Final = _Open(1)


class Http2Connection(httpcore.AsyncHTTP2Connection):
    """Resets the streams of requests that were given up, says what the server did wrong, and takes no more than fit."""

    def __init__(
        self,
        origin: httpcore.Origin,
        stream: httpcore.AsyncNetworkStream,
        keepalive_expiry: float | None,
        learn: Callable[[int], None],
    ) -> None:
        super().__init__(origin, stream, keepalive_expiry)
        self._learn = learn
        # One that is never used goes, too.
        self._expire_at = None if keepalive_expiry is None else time.monotonic() + keepalive_expiry
        self._settled = False
        """Whether the server has said how many streams it takes."""
        self._waiting: set[httpcore.Request] = set()
        """Those without a stream yet."""
        self._news = anyio.Event()

    @property
    def _max_streams_semaphore(self) -> _Open:
        return _OPEN

    @_max_streams_semaphore.setter
    def _max_streams_semaphore(self, semaphore: object) -> None:
        """Leave out httpcore's: whoever was stopped while it was made, or lowered, would leave it in disorder."""

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request. Where the server takes no further one, the pool finds or makes another connection."""
        while not self._settled and (self._waiting or self._events):
            await self._news.wait()
        if not self.is_available():
            raise httpcore.ConnectionNotAvailable
        self._waiting.add(request)
        try:
            return await super().handle_async_request(request)
        except httpcore.RemoteProtocolError as error:
            raise httpcore.RemoteProtocolError(_explain(error)) from error
        except httpcore.LocalProtocolError as error:
            if isinstance(error.args[0], h2.exceptions.TooManyStreamsError):
                raise httpcore.ConnectionNotAvailable from error
            # What is asked was checked before: the connection is not what it was when the request began.
            raise httpcore.RemoteProtocolError("the server ended the connection meanwhile") from error
        finally:
            self._waiting.discard(request)
            self._wake()

    def is_available(self) -> bool:
        """Tell whether one request more would begin at once."""
        return super().is_available() and not self._is_full()

    def is_idle(self) -> bool:
        """Tell whether it may be closed to make room; not just before its first request."""
        return super().is_idle() and self._request_count > 0

    def has_expired(self) -> bool:
        """Tell whether an idle connection is of no use: kept for long enough, or closed by the server."""
        return super().has_expired() or (self.is_idle() and bool(self._network_stream.get_extra_info("is_readable")))

    def _is_full(self) -> bool:
        return self._settled and len(self._waiting) + len(self._events) >= self._max_streams

    def _wake(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def _send_request_headers(self, request: httpcore.Request, stream_id: int) -> None:
        self._waiting.discard(request)
        await super()._send_request_headers(request, stream_id)

    async def _receive_remote_settings_change(self, event: h2.events.RemoteSettingsChanged) -> None:
        most: int = self._h2_state.local_settings.max_concurrent_streams
        limit = event.changed_settings.get(_MAXIMUM_STREAMS)
        if limit is not None:
            self._max_streams = min(limit.new_value, most)
        elif not self._settled:
            # Who names no limit has none; httpcore would send one request after the other.
            self._max_streams = most
        self._settled = True
        self._learn(self._max_streams)
        self._wake()

    async def _send_request_body(self, request: httpcore.Request, stream_id: int) -> None:
        try:
            await super()._send_request_body(request, stream_id)
        except h2.exceptions.StreamClosedError:
            # The server wants no more of it: its answer, or the reset, says why.
            return

    async def _wait_for_outgoing_flow(self, request: httpcore.Request, stream_id: int) -> int:
        while True:
            if any(isinstance(event, _ENDINGS) for event in self._events[stream_id]):
                raise h2.exceptions.StreamClosedError(stream_id)
            flow = min(self._h2_state.local_flow_control_window(stream_id), self._h2_state.max_outbound_frame_size)
            if flow > 0:
                return flow
            await self._receive_events(request)

    async def _read_incoming_data(self, request: httpcore.Request) -> list[h2.events.Event]:
        try:
            return await super()._read_incoming_data(request)
        except h2.exceptions.ProtocolError as error:
            self._connection_error = True
            self._read_exception = httpcore.RemoteProtocolError("what the server sent is not HTTP/2")
            raise self._read_exception from error

    async def _receive_response(
        self, request: httpcore.Request, stream_id: int
    ) -> tuple[int, list[tuple[bytes, bytes]]]:
        try:
            return await super()._receive_response(request, stream_id)
        except ValueError as error:
            raise httpcore.RemoteProtocolError("the answer's status is not a number") from error

    async def _receive_stream_event(
        self, request: httpcore.Request, stream_id: int
    ) -> h2.events.ResponseReceived | h2.events.DataReceived | h2.events.StreamEnded:
        try:
            return await super()._receive_stream_event(request, stream_id)
        except httpcore.RemoteProtocolError as error:
            raise httpcore.RemoteProtocolError(_explain(error)) from error

    async def _write_outgoing_data(self, request: httpcore.Request) -> None:
        await self._flush()

    async def _flush(self) -> None:
        async with self._write_lock:
            if self._write_exception is not None:
                raise self._write_exception
            await checkpoint_if_cancelled()
            try:
                # From here to the transport nothing pauses: whoever is stopped leaves no frame cut in two.
                await self._network_stream.write(self._h2_state.data_to_send())
            except BROKEN as error:
                self._connection_error = True
                self._write_exception = error
                raise

    async def _response_closed(self, stream_id: int) -> None:
        is_reset = self._give_up(stream_id)
        # Without a pause until it is done: whoever is stopped in one would leave a stream that nobody ends.
        del self._events[stream_id]
        if not self._events:
            is_over = self._connection_terminated or self._connection_error or self._used_all_stream_ids
            self._state = HTTPConnectionState.CLOSED if is_over else HTTPConnectionState.IDLE
            self._expire_at = None if self._keepalive_expiry is None else time.monotonic() + self._keepalive_expiry
        self._wake()
        if self._state is HTTPConnectionState.CLOSED:
            await self.aclose()
        elif is_reset:
            with anyio.move_on_after(RESET_SECONDS), suppress(*BROKEN):
                await self._flush()

    def _give_up(self, stream_id: int) -> bool:
        """Reset a stream that has not ended, and give back the room on the connection that nobody read."""
        unread = sum(
            event.flow_controlled_length or 0
            for event in self._events[stream_id]
            if isinstance(event, h2.events.DataReceived)
        )
        try:
            if unread:
                self._h2_state.acknowledge_received_data(unread, stream_id)
            self._h2_state.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)
        except h2.exceptions.ProtocolError:
            # It has ended, or its connection has.
            return False
        return True


def _explain(error: httpcore.RemoteProtocolError) -> str:
    """Say in words what httpcore shows as an event."""
    match error.args:
        case (h2.events.StreamReset(error_code=code),):
            return f"the server reset the stream ({_name(code)})"
        case (h2.events.ConnectionTerminated(error_code=code),):
            return f"the server ended the connection ({_name(code)})"
        case _:
            return str(error)


def _name(code: h2.errors.ErrorCodes | int | None) -> str:
    return code.name if isinstance(code, h2.errors.ErrorCodes) else f"error {code}"
