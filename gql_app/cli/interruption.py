"""Ctrl-C and SIGTERM: the first asks for an orderly end, the second leaves at once."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, Self

from gql_app.cli.failures import ExitCode

_CODES: Final = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}
_SHOW_CURSOR: Final = b"\x1b[?25h\n"


class Interruption:
    """Whether somebody wants the command to end, and the exit code that says so."""

    def __init__(self) -> None:
        self.code: ExitCode | None = None
        self._requested = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @contextmanager
    def listening(self) -> Iterator[Self]:
        """Listen to signals until the end of the block."""
        # Not the loop's own handlers: these also run while a tool keeps the loop busy.
        before = {number: signal.signal(number, self._handle) for number in _CODES}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def wait(self) -> None:
        """Wait until somebody wants the command to end."""
        await self._requested.wait()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        code = _CODES[signal.Signals(number)]
        if self.code is not None:
            _leave(code)
        self.code = code
        self._loop.call_soon_threadsafe(self._requested.set)


def _leave(code: ExitCode) -> None:
    """End the process here and now. A live view may have hidden the cursor."""
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), _SHOW_CURSOR)
    os._exit(code)
