"""Where the engine's time comes from."""

import time
from datetime import UTC, datetime
from typing import Final

_JUMP_SECONDS: Final = 1.0
"""A wall clock this far ahead of ours was set, or the machine slept: we follow."""


class SystemClock:
    """The time in UTC, counted by the monotonic clock so that it never goes back.

    It follows the wall clock forwards only: a deadline that passes while the machine sleeps has passed, and a clock
    that is set back lengthens no timeout.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> datetime:
        """Tell the time in UTC."""
        seconds = time.monotonic() + self._offset
        wall = time.time()
        if wall - seconds > _JUMP_SECONDS:
            self._offset += wall - seconds
            seconds = wall
        return datetime.fromtimestamp(seconds, UTC)
