"""A server that speaks HTTP/2 over TLS, and does to its streams what a test says."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
from h2.settings import SettingCodes, Settings

Handler: TypeAlias = "Callable[[Stream], Awaitable[None]]"


@dataclass
class Stream:
    """A request, and the way to answer it."""

    connection: "Connection"
    number: int
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)
    whole: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the request has come to its end, or the client has gone."""
    given_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the client has reset the stream, or has gone."""

    def begin(self, status: int | str = 200, **headers: str) -> None:
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        self.connection.h2.send_headers(self.number, [(":status", str(status)), *named])
        self.connection.flush()

    async def send(self, data: bytes) -> None:
        """Send all of it, as fast as the client lets us."""
        while data and not self.given_up.is_set():
            room = min(
                self.connection.h2.local_flow_control_window(self.number), self.connection.h2.max_outbound_frame_size
            )
            if room == 0:
                await self.connection.heard()
                continue
            self.connection.h2.send_data(self.number, data[:room])
            data = data[room:]
            self.connection.flush()
            await self.connection.writer.drain()

    def end(self) -> None:
        self.connection.h2.end_stream(self.number)
        self.connection.flush()

    async def answer(self, body: bytes = b"", status: int | str = 200, **headers: str) -> None:
        self.begin(status, **headers)
        await self.send(body)
        self.end()

    def reset(self, code: h2.errors.ErrorCodes) -> None:
        self.connection.h2.reset_stream(self.number, code)
        self.connection.flush()

    def go_away(self, code: h2.errors.ErrorCodes, *, done: int) -> None:
        """Tell the client that the connection ends, and that the streams after `done` were not looked at."""
        self.connection.h2.close_connection(code, last_stream_id=done)
        self.connection.flush()


class Connection:
    """One connection: reads what comes, and hands each request to its handler."""

    def __init__(self, server: "Http2Server", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.streams: dict[int, Stream] = {}
        self.writer = writer
        self._server = server
        self._reader = reader
        self._heard = asyncio.Event()
        self._handlers: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        limit = {SettingCodes.MAX_CONCURRENT_STREAMS: self._server.maximum_streams}
        self.h2.local_settings = Settings(client=False, initial_values=limit)
        self.h2.initiate_connection()
        self.flush()
        try:
            while data := await self._reader.read(65_536):
                for event in self.h2.receive_data(data):
                    self._take(event)
                self.flush()
                self._wake()
        except (ConnectionError, ssl.SSLError, h2.exceptions.ProtocolError):
            pass
        finally:
            for stream in self.streams.values():
                stream.given_up.set()
                stream.whole.set()
            self._wake()
            self.writer.transport.abort()
            await asyncio.gather(*self._handlers)

    def flush(self) -> None:
        if not self.writer.transport.is_closing():
            self.writer.write(self.h2.data_to_send())

    async def heard(self) -> None:
        """Wait until something has come from the client, or it has gone."""
        await self._heard.wait()

    def _wake(self) -> None:
        self._heard.set()
        self._heard = asyncio.Event()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int(number), headers=list(headers)):
                stream = self.streams[number] = Stream(self, number, {str(key): str(value) for key, value in headers})
                self._server.take(stream)
                task = asyncio.create_task(self._handle(stream))
                self._handlers.add(task)
                task.add_done_callback(self._handlers.discard)
            case h2.events.DataReceived(stream_id=int(number), data=bytes(data), flow_controlled_length=int(length)):
                self.streams[number].body += data
                self.h2.acknowledge_received_data(length, number)
            case h2.events.StreamEnded(stream_id=int(number)):
                self.streams[number].whole.set()
            case h2.events.StreamReset(stream_id=int(number)):
                self.streams[number].given_up.set()
            case _:
                pass

    async def _handle(self, stream: Stream) -> None:
        path = stream.headers[":path"].partition("?")[0]
        with suppress(ConnectionError, h2.exceptions.ProtocolError):
            await self._server.handlers[path](stream)


@dataclass
class Http2Server:
    """Answers each path with a handler of its own, and keeps what it was asked."""

    handlers: Mapping[str, Handler]
    maximum_streams: int = 100
    asked: list[Stream] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    next_request: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at the next request; there is a new one for the one after."""
    open: "dict[Connection, asyncio.Task[None]]" = field(default_factory=dict)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"https://{host}:{self.port}{path}"

    def take(self, stream: Stream) -> None:
        self.asked.append(stream)
        self.next_request.set()
        self.next_request = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = Connection(self, reader, writer)
        self.open[connection] = asyncio.create_task(connection.serve())
        try:
            await self.open[connection]
        finally:
            del self.open[connection]

    async def close(self) -> None:
        """Cut every connection, and see all handlers end."""
        ending = list(self.open.items())
        for connection, _ in ending:
            connection.writer.transport.abort()
        await asyncio.gather(*(task for _, task in ending))


@asynccontextmanager
async def http2_served(
    context: ssl.SSLContext, host: str = "127.0.0.1", maximum_streams: int = 100, **handlers: Handler
) -> AsyncIterator[Http2Server]:
    server = Http2Server({f"/{name}": handler for name, handler in handlers.items()}, maximum_streams)
    listening = await asyncio.start_server(server.serve, host, 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server
        await server.close()
