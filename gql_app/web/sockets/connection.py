"""One websocket, from the moment it is open until it is closed."""

import asyncio
from typing import Final

from starlette.requests import HTTPConnection
from starlette.types import Message as Event
from starlette.types import Receive, Scope, Send

from gql_app.core.values import Json
from gql_app.schema.context import Context
from gql_app.telemetry.context import set_trace_parent
from gql_app.web.gate import UnauthenticatedError
from gql_app.web.sockets import messages
from gql_app.web.sockets.guests import Guests, Party
from gql_app.web.sockets.messages import (
    CloseCode,
    ClosedError,
    Complete,
    ConnectionInit,
    Message,
    Ping,
    Pong,
    Subscribe,
)
from gql_app.web.sockets.operations import SocketOperations

INIT_SECONDS: Final = 10.0
"""How long a client may take to introduce itself."""
PING_SECONDS: Final = 30.0
"""After so long a silence a client is asked whether it is there, and after as long again it is taken for dead."""


class DisconnectedError(Exception):
    """The other side has gone."""


class Connection:
    """Talks to one client: reads its messages one by one, and answers each before it reads the next."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, guests: Guests, *, maximum: int) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._guests = guests
        self._maximum = maximum
        self._party: Party | None = None
        self._operations: SocketOperations | None = None
        self._introduced = self._asked = False
        self._deadline = asyncio.get_running_loop().time() + INIT_SECONDS
        self._waiting: asyncio.Timeout | None = None
        self._end: ClosedError | None = None

    async def serve(self) -> None:
        """Talk until one side has enough."""
        try:
            async with asyncio.TaskGroup() as tasks:
                try:
                    await self._talk(tasks)
                except ClosedError as closed:
                    self._stop()
                    await self._send({"type": "websocket.close", "code": closed.code, "reason": closed.reason})
                finally:
                    self._stop()
        except* (DisconnectedError, OSError):
            pass
        finally:
            if self._party is not None:
                await self._guests.leave(self, self._party)

    def end(self, closed: ClosedError) -> None:
        """Stop all operations, and close the connection as soon as the client lets it be told so."""
        self._end = closed
        self._stop()
        if self._waiting is not None:
            self._waiting.reschedule(0)

    async def send(self, text: str) -> None:
        """Send a message, as soon as there is room for it. Raises `OSError` if the client has gone."""
        await self._send({"type": "websocket.send", "text": text})

    async def _talk(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            match await self._next():
                case ConnectionInit(payload=payload):
                    await self._introduce(tasks, payload)
                case Subscribe(id=operation_id, payload=request):
                    if self._operations is None:
                        raise ClosedError(CloseCode.UNAUTHORIZED, "Unauthorized")
                    await self._operations.start(operation_id, request)
                case Complete(id=operation_id):
                    if self._operations is not None:
                        self._operations.complete(operation_id)
                case Ping(payload=payload):
                    await self.send(messages.pong(payload))
                case Pong():
                    pass

    async def _introduce(self, tasks: asyncio.TaskGroup, payload: dict[str, Json] | None) -> None:
        if self._introduced:
            raise ClosedError(CloseCode.TOO_MANY_INITIALISATION_REQUESTS, "Too many initialisation requests")
        self._introduced = True
        self._be_patient()
        state = self._scope["state"]
        try:
            identity = await state["gate"].admit(HTTPConnection(self._scope), payload)
        except UnauthenticatedError as error:
            raise ClosedError(CloseCode.FORBIDDEN, f"Forbidden: {error}") from None
        if state["application"].settings.tracing:
            set_trace_parent((payload or {}).get("traceparent"))
        self._party = self._guests.enter(self, state["gate"], identity)
        context = Context(service=state["application"].service, identity=identity, transport="websocket")
        self._operations = SocketOperations(tasks, state["operations"], context, self.send, maximum=self._maximum)
        await self.send(messages.ACKNOWLEDGED)

    async def _next(self) -> Message:
        while True:
            if self._end is not None:
                raise self._end
            try:
                event = await self._wait()
            except TimeoutError:
                await self._overdue()
            else:
                return self._read(event)

    async def _wait(self) -> Event:
        try:
            async with asyncio.timeout_at(self._deadline) as self._waiting:
                return await self._receive()
        finally:
            self._waiting = None

    def _read(self, event: Event) -> Message:
        if event["type"] == "websocket.disconnect":
            raise DisconnectedError
        if self._introduced:
            self._asked = False
            self._be_patient()
        text = event.get("text")
        if text is None:
            raise ClosedError(CloseCode.BAD_REQUEST, "WebSocket message type must be text")
        return messages.read(text)

    async def _overdue(self) -> None:
        """Ask a client that is silent whether it is there; close the connection if that was asked before."""
        if self._end is not None:
            return
        if not self._introduced:
            raise ClosedError(CloseCode.INITIALISATION_TIMEOUT, "Connection initialisation timeout")
        if self._asked:
            raise ClosedError(CloseCode.TERMINATED, f"Terminated: no pong within {PING_SECONDS:g} seconds")
        self._asked = True
        self._be_patient()
        await self.send(messages.PING)

    def _be_patient(self) -> None:
        self._deadline = asyncio.get_running_loop().time() + PING_SECONDS

    def _stop(self) -> None:
        if self._operations is not None:
            self._operations.stop()
