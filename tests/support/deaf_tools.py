"""Tools that do not stop when they are asked to."""

import asyncio
import time

from gql_app import tool


@tool
async def deaf() -> None:
    """Swallow every cancellation."""
    while True:
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            continue


@tool
async def borrow_a_thread() -> None:
    """Sit in a thread of the loop's own pool."""
    await asyncio.to_thread(time.sleep, 3_600)


@tool
def block() -> None:
    """Sit in a thread of ours."""
    time.sleep(3_600)
