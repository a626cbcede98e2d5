"""Work that comes to its end although whoever asked for it has gone away."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


async def complete(work: Coroutine[None, None, T]) -> T:
    """Let work come to its end even if the caller goes away meanwhile: a run is stored and started, or neither."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
