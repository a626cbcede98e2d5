"""HTTP/2 as httpcore speaks it, except that a request which is given up costs the others on its connection nothing."""

import ssl
from typing import Final

import anyio
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import httpcore

RESET_SECONDS: Final = 1.0
"""How long the server has to take the news that a request was given up."""
_ENDINGS: Final = (h2.events.StreamEnded, h2.events.StreamReset)
_MAXIMUM_STREAMS: Final = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS


class Http2Connection(httpcore.AsyncHTTP2Connection):
    """Resets the streams of requests that were given up, says what the server did wrong, and takes no more than fit."""

    def __init__(
        self, origin: httpcore.Origin, stream: httpcore.AsyncNetworkStream, keepalive_expiry: float | None = None
    ) -> None:
        super().__init__(origin, stream, keepalive_expiry)
        self._settled = False
        """Whether the server has said how many streams it takes."""
        self._waiting: set[httpcore.Request] = set()
        """Those without a stream yet."""
        self._news = anyio.Event()

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request. Where the server takes no further one, the pool finds or makes another connection."""
        while not self._settled and (self._waiting or self._events):
            await self._news.wait()
        if not self.is_available():
            raise httpcore.ConnectionNotAvailable
        self._waiting.add(request)
        try:
            return await super().handle_async_request(request)
        finally:
            self._waiting.discard(request)
            self._wake()

    def is_available(self) -> bool:
        """Tell whether one request more would begin at once."""
        return super().is_available() and not self._is_full()

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
        if not self._settled:
            # Requests wait in the pool from now on. Here, a server that takes fewer than before would block its reader.
            for _ in range(most - self._max_streams):
                await self._max_streams_semaphore.release()
            self._max_streams = most
        if (limit := event.changed_settings.get(_MAXIMUM_STREAMS)) is not None:
            self._max_streams = min(limit.new_value, most)
        self._settled = True
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
            try:
                await self._network_stream.write(self._h2_state.data_to_send())
            except BaseException as error:
                # Half a frame may have gone out: nobody can write after it.
                self._connection_error = True
                broken = httpcore.WriteError("another request was given up while it was being sent")
                self._write_exception = error if isinstance(error, Exception) else broken
                raise

    async def _response_closed(self, stream_id: int) -> None:
        if self._give_up(stream_id):
            with anyio.move_on_after(RESET_SECONDS):
                try:
                    await self._flush()
                except (httpcore.NetworkError, ssl.SSLError):
                    self._connection_error = True
        await super()._response_closed(stream_id)
        self._wake()
        if self._connection_error and not self._events:
            await self.aclose()

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
