"""Stopping a call without harm: httpcore guards its bookkeeping by scopes of anyio, and a plain cancel ignores them."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import anyio

T = TypeVar("T")


async def stoppable(work: Awaitable[T]) -> T:
    """Do some work so that a cancel of this task reaches it as the cancel of a scope, and wait until it has ended."""
    scope = anyio.CancelScope()
    task = asyncio.create_task(_within(scope, work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # Nobody asks any more how it ended.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        scope.cancel()
        await asyncio.wait([task])
        raise


async def _within(scope: anyio.CancelScope, work: Awaitable[T]) -> T:
    with scope:
        return await work
    raise asyncio.CancelledError
