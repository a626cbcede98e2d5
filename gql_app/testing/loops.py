"""Where the work of a test runs: on an event loop of its own."""

import asyncio
from collections.abc import Coroutine
from typing import Final, TypeVar

from gql_app.core.values import Json
from gql_app.testing.ending import run_to_the_end
from gql_app.testing.virtual_time import run_on_virtual_time

T = TypeVar("T")

_GRACE_SECONDS: Final = 1.0


def run_on_a_loop(work: Coroutine[Json, Json, T], *, real_time: bool, patience: float) -> T:
    """Run a coroutine on a loop of its own. Raises `RuntimeError` where one runs already."""
    if _is_on_a_loop():
        work.close()
        raise RuntimeError(
            "An event loop runs here already: in an async test, await the function whose name ends in `_async`."
        )
    if real_time:
        return run_to_the_end(work, asyncio.new_event_loop(), grace=_GRACE_SECONDS)
    return run_on_virtual_time(work, patience=patience)


def _is_on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
