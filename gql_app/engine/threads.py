"""Sync work in threads of our own: one a call, and none that keeps the process from ending."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def run_in_thread(work: Callable[[], T]) -> T:
    """Call `work` in a new daemon thread and return what it returns or raise what it raises.

    If the caller is cancelled the thread goes on and its end is heard by nobody. The thread is not taken from a pool:
    one that never ends is then nobody else's trouble.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def finish(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type]  # without an error there is a result
        else:
            done.set_exception(error)

    def call() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = context.run(work)
        except StopIteration as stop:  # A future cannot hold it.
            error = RuntimeError(f"the tool raised StopIteration: {stop}")
        except BaseException as raised:  # noqa: BLE001 - an edge: whatever it raises belongs to the caller
            error = raised
        # The loop may be closed by now; nobody listens then.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(finish, result, error)

    threading.Thread(target=call, name="gql_app tool", daemon=True).start()
    return await done
