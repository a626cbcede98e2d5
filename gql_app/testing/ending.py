"""Runs the coroutine of a test on a loop of its own, and ends that whatever tools have left behind."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from gql_app.core.values import Json

T = TypeVar("T")


def run_to_the_end(work: Coroutine[Json, Json, T], loop: asyncio.AbstractEventLoop, *, grace: float) -> T:
    """Run a coroutine, then close the loop. Tasks that are left are cancelled, and abandoned if they swallow that.

    `asyncio.run` would wait for those for ever, and a test of a tool that cannot be stopped would hang.
    """
    try:
        return loop.run_until_complete(work)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=grace))
        # What is abandoned here is no news to anybody.
        loop.set_exception_handler(lambda _loop, _context: None)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
