"""Wakes whoever waits for events of a run, or for letters."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

from gql_app.core.ids import RunId


class Wakeups:
    """Waiters by run. What is known of a run's end lets many wait without each looking it up."""

    def __init__(self) -> None:
        self._waiting: dict[RunId, dict[asyncio.Future[None], None]] = {}
        self._letters: dict[asyncio.Future[None], None] = {}

    @property
    def watched(self) -> list[RunId]:
        """The runs that somebody waits for."""
        return list(self._waiting)

    def announce(self, connection: Connection, run_ids: Sequence[RunId]) -> None:
        """Let other processes know, with the transaction, that these runs have more, and that there may be letters."""

    @contextmanager
    def watching(self, run_id: RunId) -> Iterator["asyncio.Future[None]"]:
        """Be woken, once, by what happens to a run from now on."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(run_id, {})[waiting] = None
        try:
            yield waiting
        finally:
            waiters = self._waiting.get(run_id)
            if waiters is not None:
                waiters.pop(waiting, None)
                if not waiters:
                    del self._waiting[run_id]

    @contextmanager
    def watching_letters(self) -> Iterator["asyncio.Future[None]"]:
        """Be woken, once, when there may be letters."""
        waiting = asyncio.get_running_loop().create_future()
        self._letters[waiting] = None
        try:
            yield waiting
        finally:
            self._letters.pop(waiting, None)

    def wake(self, run_id: RunId) -> None:
        """Wake whoever waits for a run."""
        for waiting in self._waiting.pop(run_id, ()):
            if not waiting.done():
                waiting.set_result(None)

    def wake_all(self) -> None:
        """Wake everybody: something may have happened that nobody told of."""
        for run_id in self.watched:
            self.wake(run_id)
        self.wake_for_letters()

    def wake_for_letters(self) -> None:
        """Wake whoever waits for letters."""
        for waiting in self._letters:
            if not waiting.done():
                waiting.set_result(None)
