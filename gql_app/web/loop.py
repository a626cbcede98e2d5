"""Runs the coroutine of a server or a command and ends in bounded time, whatever tools have left behind."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Final, TypeVar

T = TypeVar("T")
GRACE_SECONDS: Final = 1.0


def run(
    work: Coroutine[None, None, T], *, make_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
) -> T:
    """Run a coroutine on a loop of its own. Tasks that are left are cancelled, and abandoned if they do not end.

    Unlike `asyncio.run`, it waits neither for a task that swallows its cancellation nor for the threads of the loop.
    """
    loop = make_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=GRACE_SECONDS))
        # What is abandoned here is no news to anybody.
        loop.set_exception_handler(lambda _loop, _context: None)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def leave(code: int) -> None:
    """End the process if a thread of a tool would keep it from ending; else return."""
    deadline = time.monotonic() + GRACE_SECONDS
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
