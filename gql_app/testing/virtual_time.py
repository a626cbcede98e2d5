"""An event loop on virtual time: waiting costs nothing, an hour passes in a moment and in the right order."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from gql_app.core.values import Json

T = TypeVar("T")
NOON: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""The instant at which virtual time begins."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose `time()` jumps to the next timer when nothing is ready and nothing real is awaited.

    `hold_while` names what is real: while it says yes, the loop waits for it and virtual time stands still.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._held: list[Callable[[], bool]] = []
        super().__init__(_JumpingSelector(self._jump))

    def time(self) -> float:
        """Tell the virtual time, in seconds since the loop was made."""
        return self._now

    def hold_while(self, busy: Callable[[], bool]) -> None:
        """Let virtual time stand still while `busy` says so, such as while a thread is out."""
        self._held.append(busy)

    def _jump(self, seconds: float) -> bool:
        if any(busy() for busy in self._held):
            return False
        self._now += seconds
        return True


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that, instead of waiting for a time to pass, lets it have passed."""

    def __init__(self, jump: Callable[[float], bool]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout is None or timeout <= 0:
            return ready if ready or timeout is not None else super().select(None)
        if self._jump(timeout):
            return []
        # Something real is out: it wakes the loop when it is done.
        return super().select(None)


class VirtualClock:
    """The UTC time of the running loop, which begins at noon; in a thread, of the loop that last asked."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def now(self) -> datetime:
        """Tell the time. Raises `RuntimeError` in a thread before a loop has asked."""
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            if self._loop is None:
                raise
        return NOON + timedelta(seconds=self._loop.time())


def run_on_virtual_time(main: Coroutine[Json, Json, T]) -> T:
    """Run a coroutine on a loop of its own, on virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
