"""Wakes whoever waits for events of a run, or for letters."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from sqlalchemy import Connection

from gql_app.core.ids import Namespace, RunId
from gql_app.storage.sql.recent import RecentEvents

KNOWN_RUNS: Final = 10_000


class End(NamedTuple):
    """How far the log of a run of this namespace goes, and whether nothing can follow."""

    namespace: Namespace
    sequence: int
    finished: bool


class Wakeups:
    """Waiters by run, and how far the runs go that somebody waited for: of many who wait, one looks it up."""

    def __init__(self) -> None:
        self._waiting: dict[RunId, dict[asyncio.Future[None], None]] = {}
        self.letters: Final = asyncio.Event()
        """Whether there may be letters that nobody has read."""
        self.recent: Final = RecentEvents()
        self.recount: Callable[[], None] = lambda: None
        """What to do when another process has added or removed finished runs."""
        self._known: OrderedDict[RunId, End] = OrderedDict()
        self._looking: dict[RunId, asyncio.Future[End]] = {}

    @property
    def watched(self) -> list[RunId]:
        """The runs that somebody waits for."""
        return list(self._waiting)

    def announce(
        self, connection: Connection, run_ids: Sequence[RunId], *, letters: bool, recount: bool = False
    ) -> None:
        """Let other processes know, with the transaction, that these runs have more, or that there are letters.

        They are to count the finished runs anew (`recount`) if others were added or removed than those that they know.
        """

    async def open(self) -> None:
        """Begin to hear of other processes."""

    async def close(self) -> None:
        """Hear of nobody any more."""

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

    async def end(self, run_id: RunId, look: Callable[[], Awaitable[End]]) -> End:
        """Tell how far a run goes; it is looked up unless that is known, by one for all who ask at once."""
        known = self._known.get(run_id)
        if known is not None:
            return known
        looking = self._looking.get(run_id)
        if looking is None:
            looking = self._looking[run_id] = asyncio.ensure_future(look())
            looking.add_done_callback(lambda done: self._found(run_id, done))
        return await asyncio.shield(looking)

    def readable(self, run_id: RunId, end: End) -> End:
        """Tell how far a run that goes to `end` can be read here: not to what is committed but not known here yet.

        Who were told of that would look for it again and again, find nothing, and keep its writer from being heard.
        """
        last = self.recent.last(run_id)
        return end if last is None or last >= end.sequence else End(end.namespace, last, finished=False)

    def advance(self, run_id: RunId, end: End, *, sure: bool) -> None:
        """Hear from the writer how far a run goes now, and wake whoever waits for it.

        It is `sure` while nobody else can have written more.
        """
        if not sure:
            self.wake(run_id)
            return
        self._looking.pop(run_id, None)
        known = self._known.get(run_id)
        if known is None or known.sequence < end.sequence:
            self._know(run_id, end)
        self._rouse(run_id)

    def wake(self, run_id: RunId) -> None:
        """Wake whoever waits for a run; what is known of it has to be looked up anew."""
        self.recent.drop(run_id)
        self._known.pop(run_id, None)
        self._looking.pop(run_id, None)
        self._rouse(run_id)

    def wake_all(self) -> None:
        """Wake everybody: something may have happened that nobody told of."""
        self.recent.clear()
        self._known.clear()
        for run_id in self.watched:
            self.wake(run_id)
        self.letters.set()

    def _found(self, run_id: RunId, done: "asyncio.Future[End]") -> None:
        # What was looked up before the last wake may be old: it is not kept.
        if self._looking.get(run_id) is not done:
            return
        del self._looking[run_id]
        if not done.cancelled() and done.exception() is None:
            self._know(run_id, done.result())

    def _know(self, run_id: RunId, end: End) -> None:
        self._known[run_id] = end
        if len(self._known) > KNOWN_RUNS:
            self._known.popitem(last=False)

    def _rouse(self, run_id: RunId) -> None:
        for waiting in self._waiting.pop(run_id, ()):
            if not waiting.done():
                waiting.set_result(None)
