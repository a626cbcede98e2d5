"""Serves over two file descriptors, a message a line: standard input and output, which carry nothing else."""

import logging
import os
import select
from typing import Any, Final

import anyio
import anyio.to_thread
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.server.lowlevel import Server
from mcp.shared.message import SessionMessage
from mcp_types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from gql_app.cli.assistant.lines import MAXIMUM_LINE_BYTES, Lines
from gql_app.cli.failures import ExitCode
from gql_app.core.values import Json

ENDING_SECONDS: Final = 1.0
"""How long calls may go on after the last message came in: clients that close their end wait little longer."""

logger = logging.getLogger(__name__)


async def serve(server: Server[dict[str, Any]], source: int, sink: int) -> ExitCode:
    """Serve one client, until it closes its end or does not take what it is told."""
    wire = _Wire(source, sink)
    to_server, at_server = anyio.create_memory_object_stream[SessionMessage | Exception]()
    from_server, at_wire = anyio.create_memory_object_stream[SessionMessage]()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wire.read, to_server)
            tasks.start_soon(wire.write, at_wire, tasks.cancel_scope)
            await server.run(at_server, from_server, server.create_initialization_options())
            with anyio.move_on_after(ENDING_SECONDS):
                await wire.written.wait()
            tasks.cancel_scope.cancel()
    except* anyio.BrokenResourceError:
        # Somebody was handing on a message when it was made to end.
        pass
    return ExitCode.BROKEN_PIPE if wire.is_broken else ExitCode.OK


class _Wire:
    """Reads and writes messages, and knows which requests have no answer yet."""

    def __init__(self, source: int, sink: int) -> None:
        self.is_broken = False
        self.written = anyio.Event()
        self._source = source
        self._sink = sink
        self._writing = anyio.Lock()
        self._open: set[RequestId] = set()
        self._answered = anyio.Event()

    async def read(self, to_server: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        """Hand over what comes in. After the last message, calls under way get a moment to end."""
        async with to_server:
            async for line in Lines(self._source):
                message = await self._parse(line)
                if message is not None:
                    self._note(message)
                    await to_server.send(SessionMessage(message))
            with anyio.move_on_after(ENDING_SECONDS):
                while self._open:
                    self._answered = anyio.Event()
                    await self._answered.wait()

    async def write(self, from_server: MemoryObjectReceiveStream[SessionMessage], scope: anyio.CancelScope) -> None:
        """Write what goes out, and end everything if nobody takes it."""
        try:
            async with from_server:
                async for outgoing in from_server:
                    await self._put(outgoing.message)
        except OSError:
            self.is_broken = True
            scope.cancel()
        self.written.set()

    async def _parse(self, line: bytes) -> JSONRPCMessage | None:
        """Read a message. Who sent what is none is told, and may go on."""
        if not line.strip():
            return None
        if len(line) > MAXIMUM_LINE_BYTES:
            await self._refuse(None, INVALID_REQUEST, f"A message has at most {MAXIMUM_LINE_BYTES} bytes.")
            return None
        try:
            return jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValidationError:
            await self._refuse(*_explain(line))
            return None

    async def _refuse(self, request: RequestId | None, code: int, message: str) -> None:
        logger.warning("A line of standard input was passed over: %s", message)
        await self._put(JSONRPCError(jsonrpc="2.0", id=request, error=ErrorData(code=code, message=message)))

    def _note(self, message: JSONRPCMessage) -> None:
        """Note which requests wait for an answer; those that are cancelled get none."""
        match message:
            case JSONRPCRequest():
                self._open.add(message.id)
            case JSONRPCNotification(method="notifications/cancelled", params={"requestId": str() | int() as request}):
                self._close(request)
            case _:
                pass

    def _close(self, request: RequestId | None) -> None:
        self._open.discard(request if request is not None else "")
        self._answered.set()

    async def _put(self, message: JSONRPCMessage) -> None:
        line = message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
        async with self._writing:
            await anyio.to_thread.run_sync(_write, self._sink, line, abandon_on_cancel=True)
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            self._close(message.id)


def _explain(line: bytes) -> tuple[RequestId | None, int, str]:
    """Say why a line is no message, and to which request that is the answer, as far as that can be told."""
    try:
        told: Json = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return None, PARSE_ERROR, "A message is one line of JSON."
    request = told.get("id") if isinstance(told, dict) else None
    known = request if isinstance(request, str | int) and not isinstance(request, bool) else None
    return known, INVALID_REQUEST, "A message is an object of JSON-RPC 2.0, such as MCP's."


def _write(sink: int, data: bytes) -> None:
    """Write all of it, however long that takes."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(sink, left) :]
        except BlockingIOError:
            # Whoever shares the descriptor has made it so.
            select.select([], [sink], [])
