"""Stops what is carried out for a client that has gone."""

import asyncio
from collections.abc import Awaitable
from typing import Final

from starlette.requests import ClientDisconnect

from gql_app.schema.execution import Answer
from gql_app.web.streams import Connection

WATCH_AFTER_SECONDS: Final = 0.05
"""How long an execution takes before somebody looks after its client: most have ended by then, and pay nothing."""


async def unless_gone(connection: Connection, execution: Awaitable[Answer]) -> Answer:
    """Await an execution; raises `ClientDisconnect`, and cancels it, once its client has gone."""
    watch = _Watch(connection)
    try:
        with watch:
            answer = await execution
        await watch.ended()
    except asyncio.CancelledError:
        if watch.is_gone and watch.task.uncancel() == 0:
            raise ClientDisconnect from None
        raise
    return answer


class _Watch:
    def __init__(self, connection: Connection) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self.is_gone = False
        self._connection = connection
        self._watching: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_SECONDS, self._begin)

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    async def ended(self) -> None:
        """Wait for the end of the watch: the connection is read by one at a time."""
        if self._watching is not None:
            await asyncio.wait({self._watching})

    def _begin(self) -> None:
        self._watching = asyncio.create_task(self._look())

    async def _look(self) -> None:
        await self._connection.until_gone()
        self.is_gone = True
        self.task.cancel()
