"""Ends what takes too long, by the time on the wall: also while an event loop is on virtual time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_NEVER: Final = float("inf")


class Watchdog:
    """Calls what ends a piece of work when its time is up. All work is watched by one thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[Callable[[], None], float] = {}
        self._wakes_at = _NEVER
        self._thread: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def watching(self, seconds: float, end: Callable[[], None]) -> Iterator[None]:
        """Call `end` if the block takes longer than this, at the latest when it is left."""
        due = time.monotonic() + seconds
        with self._changed:
            self._due[end] = due
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._watch, name="gql_app watchdog", daemon=True)
                self._thread.start()
            # It will look at all of them when it wakes for an earlier one.
            if due < self._wakes_at:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                overdue = self._due.pop(end, None) is not None and time.monotonic() > due
            if overdue:
                end()

    def close(self) -> None:
        """Let the thread end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                for end in [end for end, due in self._due.items() if due <= now]:
                    del self._due[end]
                    end()
                self._wakes_at = min(self._due.values(), default=_NEVER)
                self._changed.wait(None if self._wakes_at == _NEVER else max(0.0, self._wakes_at - now))
