"""Reads lines off a file descriptor in a thread that keeps nobody from ending."""

import asyncio
import os
import select
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Final

MAXIMUM_LINE_BYTES: Final = 16 << 20
"""The longest line that is read; of a longer one comes so much, and one byte more."""

_CHUNK_BYTES: Final = 1 << 16
_AHEAD: Final = 4
"""How many lines are read before somebody wants them."""


class Lines:
    """The lines that come in at a file descriptor, without their ends.

    Python's own streams would not do: a thread that waits in one holds a lock that the interpreter wants at its end.
    """

    def __init__(self, source: int) -> None:
        self._source = source
        self._items: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = threading.Semaphore(_AHEAD)
        self._loop = asyncio.get_running_loop()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        threading.Thread(target=self._pump, name="lines", daemon=True).start()
        while (line := await self._items.get()) is not None:
            self._room.release()
            yield line

    def _pump(self) -> None:
        try:
            for line in _split(self._source):
                self._room.acquire()
                self._loop.call_soon_threadsafe(self._items.put_nowait, line)
            self._loop.call_soon_threadsafe(self._items.put_nowait, None)
        except RuntimeError:
            # The loop is closed: nobody wants lines any more.
            return


def _split(source: int) -> Iterator[bytes]:
    line = bytearray()
    while chunk := _read(source):
        for number, part in enumerate(chunk.split(b"\n")):
            if number:
                yield bytes(line)
                line.clear()
            line += part[: MAXIMUM_LINE_BYTES + 1 - len(line)]
    if line:
        yield bytes(line)


def _read(source: int) -> bytes:
    while True:
        try:
            return os.read(source, _CHUNK_BYTES)
        except BlockingIOError:
            # Whoever shares the descriptor has made it so.
            select.select([source], [], [])
        except OSError:
            # The terminal is gone.
            return b""
