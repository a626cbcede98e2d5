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
    timer = asyncio.get_running_loop().call_later(WATCH_AFTER_SECONDS, watch.begin)
    try:
        try:
            return await execution
        finally:
            timer.cancel()
            if watch.watching is not None:
                await watch.end()
    except asyncio.CancelledError:
        if watch.is_gone and watch.watched.uncancel() == 0:
            raise ClientDisconnect from None
        raise


class _Watch:
    __slots__ = ("connection", "is_gone", "watched", "watching")

    def __init__(self, connection: Connection) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connection = connection
        self.watched = task
        self.watching: asyncio.Task[None] | None = None
        self.is_gone = False

    def begin(self) -> None:
        self.watching = asyncio.create_task(self._look())

    async def end(self) -> None:
        """Stop watching, and wait until that is so: a connection is read by one at a time."""
        assert self.watching is not None
        self.watching.cancel()
        await asyncio.wait({self.watching})

    async def _look(self) -> None:
        await self.connection.until_gone()
        self.is_gone = True
        self.watched.cancel()
