"""The operations that go on over one connection."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

from graphql import OperationType

from gql_app.schema.context import Context
from gql_app.schema.execution import Answer, GraphQLRequest, Operations, RefusedOperationError
from gql_app.web.sockets import messages
from gql_app.web.sockets.messages import CloseCode, ClosedError

TOO_MANY: Final = "TOO_MANY_OPERATIONS"


class SocketOperations:
    """Carries out what one client asks for, each operation in a task of its own, and tells it what comes of them."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        operations: Operations,
        context: Context,
        send: Callable[[str], Awaitable[None]],
        *,
        maximum: int,
    ) -> None:
        self._tasks = tasks
        self._operations = operations
        self._context = context
        self._send = send
        self._maximum = maximum
        self._turn = asyncio.Lock()
        self._running: dict[str, asyncio.Task[None]] = {}

    async def start(self, operation_id: str, request: GraphQLRequest) -> None:
        """Begin an operation. One too many is refused and harms no other. Raises `ClosedError` for an id in use."""
        if operation_id in self._running:
            message = f"Subscriber for {operation_id} already exists"
            raise ClosedError(CloseCode.SUBSCRIBER_ALREADY_EXISTS, message)
        if len(self._running) >= self._maximum:
            message = f"There are {self._maximum} operations on this connection, as many as there may be; complete one."
            await self._send(messages.error(operation_id, [{"message": message, "extensions": {"code": TOO_MANY}}]))
            return
        self._running[operation_id] = self._tasks.create_task(self._carry_out(operation_id, request))

    def complete(self, operation_id: str) -> None:
        """Say no more of an operation, and stop it. One that is not there has ended already."""
        if task := self._running.pop(operation_id, None):
            task.cancel()

    def stop(self) -> None:
        """Say no more of any operation, and stop all."""
        for operation_id in list(self._running):
            self.complete(operation_id)

    async def _carry_out(self, operation_id: str, request: GraphQLRequest) -> None:
        try:
            await self._tell(operation_id, request)
        except OSError:
            pass  # The client has gone; whoever reads the connection hears it too.
        finally:
            if self._running.get(operation_id) is asyncio.current_task():
                del self._running[operation_id]

    async def _tell(self, operation_id: str, request: GraphQLRequest) -> None:
        send, head = self._send, messages.next_head(operation_id)
        try:
            operation = self._operations.prepare(request, self._context.identity)
            if operation.kind is OperationType.SUBSCRIPTION:
                async with aclosing(self._operations.subscribe(operation, self._context)) as answers:
                    async for answer in answers:
                        if answer.broken:
                            await send(messages.broken(operation_id, answer.body))
                            return
                        await self._send_next(head, answer)
            else:
                await self._send_next(head, await self._operations.execute(operation, self._context))
        except RefusedOperationError as error:
            await send(messages.error(operation_id, error.errors))
        else:
            await send(messages.complete(operation_id))

    async def _send_next(self, head: bytes, answer: Answer) -> None:
        """Send a result. A client that does not read has one at a time made for it, whatever else waits to be told."""
        async with self._turn:
            await self._send(messages.next_message(head, answer.body))
