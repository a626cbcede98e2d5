"""An event loop on virtual time: waiting costs nothing, an hour passes in a moment and in the right order."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Final, ParamSpec, Protocol, TypeVar, TypeVarTuple, Unpack

from gql_app.core.values import Json
from gql_app.testing.ending import run_to_the_end

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
NOON: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""The instant at which virtual time begins."""
PATIENCE: Final = 30.0
"""Real seconds after which a test takes what does not answer to hang."""

_GRACE_SECONDS: Final = 60.0


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose `time()` jumps to the next timer when nothing is ready and nothing real is awaited.

    What goes on in threads of the loop is real, and `hold_while` names what else is: the loop waits for it, and virtual
    time stands still. With `patience` it does so for that many real seconds, and then takes it to hang: time passes, or
    if there is nothing that time would bring, `run_until_complete` raises `RuntimeError`.
    """

    def __init__(self, patience: float | None = None) -> None:
        self._now = 0.0
        self._threads_out = 0
        self._held: list[Callable[[], bool]] = [lambda: self._threads_out > 0]
        super().__init__(_JumpingSelector(self._jump, patience))

    def time(self) -> float:
        """Tell the virtual time, in seconds since the loop was made."""
        return self._now

    def hold_while(self, busy: Callable[[], bool]) -> None:
        """Let virtual time stand still while `busy` says so, such as while a thread is out."""
        self._held.append(busy)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> "asyncio.Future[T]":
        """Call a function in a thread; virtual time stands still until it returns."""
        out = super().run_in_executor(executor, func, *args)
        self._threads_out += 1
        out.add_done_callback(self._is_back)
        return out

    async def shutdown_default_executor(self, *timeout: float | None) -> None:
        """Wait for the threads of the loop; virtual time stands still meanwhile."""
        self._threads_out += 1
        try:
            await super().shutdown_default_executor(*timeout)
        finally:
            self._threads_out -= 1

    def _is_back(self, _: "asyncio.Future[T]") -> None:
        self._threads_out -= 1

    def _jump(self, seconds: float, *, unless_held: bool) -> bool:
        if unless_held and any(busy() for busy in self._held):
            return False
        self._now += seconds
        return True


class _Jump(Protocol):
    def __call__(self, seconds: float, *, unless_held: bool) -> bool: ...


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that, instead of waiting for a time to pass, lets it have passed."""

    def __init__(self, jump: "_Jump", patience: float | None) -> None:
        super().__init__()
        self._jump = jump
        self._patience = patience

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            return self._wait_for_others()
        if self._jump(timeout, unless_held=True):
            return []
        # Something real is out: it wakes the loop when it is done.
        ready = super().select(self._patience)
        if not ready and self._patience is not None:
            self._jump(timeout, unless_held=False)
        return ready

    def _wait_for_others(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for a thread or a file: no timer is set."""
        ready = super().select(self._patience)
        if not ready and self._patience is not None:
            raise RuntimeError(
                f"Every task waits for another one, no timer is set, and for {self._patience:g} real seconds nothing"
                " came from elsewhere: this would never end."
            )
        return ready


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


def run_on_virtual_time(main: Coroutine[Json, Json, T], *, patience: float | None = None) -> T:
    """Run a coroutine on a loop of its own, on virtual time; `patience` is that of the loop."""
    return run_to_the_end(main, VirtualTimeLoop(patience), grace=_GRACE_SECONDS)


def on_virtual_time(test: Callable[P, Coroutine[Json, Json, T]]) -> Callable[P, T]:
    """Make an async test one that any test runner can call, and that runs on virtual time."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_on_virtual_time(test(*args, **kwargs), patience=PATIENCE)

    return run
