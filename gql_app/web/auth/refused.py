"""Logs that callers were refused, without letting them fill the log."""

import logging
import time
from collections.abc import Callable
from typing import Final

logger: Final = logging.getLogger(__name__)
QUIET_SECONDS: Final = 1.0


class RefusedCallers:
    """Logs each kind of refusal at most once a second, and how many there were in between."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._logged_at: dict[type[Exception], float] = {}
        self._unlogged: dict[type[Exception], int] = {}

    def note(self, error: Exception) -> None:
        """Log why somebody was refused, or count it."""
        kind, now = type(error), self._monotonic()
        if now - self._logged_at.get(kind, float("-inf")) < QUIET_SECONDS:
            self._unlogged[kind] = self._unlogged.get(kind, 0) + 1
            return
        self._logged_at[kind] = now
        more = self._unlogged.pop(kind, 0)
        logger.warning("A caller was refused: %s%s", error, f" ({more} more since the last line)" if more else "")
