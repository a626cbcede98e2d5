"""The store in memory: fast, and gone with its process."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Final

from gql_app.core.errors import (
    IdempotencyConflictError,
    StaleWriterError,
    WorkflowNotFinishedError,
    WorkflowNotFoundError,
    WorkflowRemovedError,
)
from gql_app.core.events import RunEvent, WorkflowSubmitted
from gql_app.core.ids import Namespace, RunId
from gql_app.core.listing import RunPage, RunQuery, RunSummary
from gql_app.core.run import RunStatus
from gql_app.core.signals import CancelRequested
from gql_app.ports import Clock, IdempotencyKey, Letter
from gql_app.settings import Settings
from gql_app.storage.admission import Admission
from gql_app.storage.retention import MEMORY, make_retention
from gql_app.storage.shelf import Shelf
from gql_app.storage.stored import StoredRun

FRESH_RUNS: Final = 256
FRESH_EVENTS: Final = 20_000
"""The logs of the runs that finished last stay unpacked: they are read most, and a burst pays nothing for packing."""


class NeverLost:
    """The lease of a store that nobody else knows of."""

    epoch: Final = 1

    async def lost(self) -> None:
        """Wait for what cannot be."""
        await asyncio.get_running_loop().create_future()

    async def release(self) -> None:
        """Do nothing: nobody waits for it."""


class MemoryRunRepository:
    """Runs in memory. A finished run goes when there are too many, when it is too old, or when all take too much."""

    durable: Final = False
    shared: Final = False

    def __init__(self, *, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._admission = Admission(settings)
        self._retention = make_retention(settings, MEMORY)
        self._shelves: dict[Namespace, Shelf] = {}
        self._keys: dict[tuple[Namespace, str], tuple[str, RunId]] = {}
        self._unfinished: dict[tuple[Namespace, RunId], StoredRun] = {}
        self._finished: OrderedDict[StoredRun, datetime] = OrderedDict()
        """In the order in which they finished; so are the next two."""
        self._finished_each: dict[Namespace, OrderedDict[StoredRun, None]] = {}
        self._fresh: OrderedDict[StoredRun, None] = OrderedDict()
        self._finished_bytes = 0
        self._fresh_events = 0
        self._letters: dict[int, Letter] = {}
        self._last_letter = 0
        self._news = asyncio.Event()

    async def create(
        self,
        events: Sequence[RunEvent],
        *,
        values: Mapping[str, bytes],
        idempotency: IdempotencyKey | None = None,
    ) -> RunId:
        """Store a new run, or tell which run its idempotency key belongs to."""
        first = events[0] if events else None
        if not isinstance(first, WorkflowSubmitted):
            raise ValueError(f"A run's log begins with WorkflowSubmitted, not with {first!r}.")
        self._expire()
        there = self._find_by_key(first.namespace, idempotency)
        if there is not None:
            return there
        shelf = self._shelves.get(first.namespace)
        known = shelf and shelf.find(first.run_id)
        if known:
            self._check_repeated(known, 0, events)
            return known.run_id
        self._admission.admit(first.namespace)
        run = StoredRun(first)
        run.append(events, values)
        self._add(run, idempotency)
        return run.run_id

    async def append(
        self,
        namespace: Namespace,
        run_id: RunId,
        expected_sequence: int,
        events: Sequence[RunEvent],
        *,
        values: Mapping[str, bytes],
    ) -> None:
        """Append events to a run's log, all or none, and wake whoever waits for them."""
        run = self._find(namespace, run_id)
        if run.sequence != expected_sequence:
            self._check_repeated(run, expected_sequence, events)
            return
        before = run.status
        run.append(events, values)
        if run.status is not before:
            self._change(run, before)

    async def events(self, namespace: Namespace, run_id: RunId, *, after: int, limit: int) -> Sequence[RunEvent]:
        """Read up to `limit` events after the sequence `after`, in order."""
        return self._find(namespace, run_id).read(after, limit)

    async def wait(self, namespace: Namespace, run_id: RunId, *, after: int) -> None:
        """Return once there are events after `after`, or the run has ended."""
        run = self._find(namespace, run_id)
        while run.sequence <= after and run.finished_at is None:
            await run.more()
            shelf = self._shelves.get(namespace)
            if shelf is None or shelf.find(run_id) is not run:
                raise WorkflowRemovedError(run_id)

    async def value(self, namespace: Namespace, run_id: RunId, sha256: str) -> bytes:
        """Read a stored value. Raises `KeyError` for one that is not there."""
        return self._find(namespace, run_id).values[sha256]

    async def summary(self, namespace: Namespace, run_id: RunId) -> RunSummary:
        """Read a run's summary."""
        return self._find(namespace, run_id).summary()

    async def list(self, namespace: Namespace, query: RunQuery) -> RunPage:
        """List runs."""
        self._expire()
        return self._shelves.get(namespace, Shelf()).page(query)

    async def unfinished(self) -> Sequence[tuple[Namespace, RunId]]:
        """Tell all runs that have not ended: those that have begun, then those that wait, each oldest first."""
        waits = RunStatus.PENDING
        runs = sorted(self._unfinished.values(), key=lambda run: (run.status is waits, run.created_at, run.run_id))
        return [(run.namespace, run.run_id) for run in runs]

    async def delete(self, namespace: Namespace, run_id: RunId) -> None:
        """Remove a run that has ended; whoever watches it is told."""
        run = self._find(namespace, run_id)
        if run.finished_at is None:
            raise WorkflowNotFinishedError(run_id, run.status)
        self._remove(run)

    async def lead(self) -> NeverLost:
        """Let this process be the executor: no other knows of this store."""
        return NeverLost()

    async def send(self, namespace: Namespace, run_id: RunId, signal: CancelRequested) -> None:
        """Leave a signal for the executor."""
        self._find(namespace, run_id)
        self._last_letter += 1
        letter = Letter(id=self._last_letter, namespace=namespace, run_id=run_id, signal=signal)
        self._letters[letter.id] = letter
        self._news.set()

    async def letters(self, *, limit: int = 100) -> Sequence[Letter]:
        """Read what was left for the executor, oldest first."""
        self._news.clear()
        return list(islice(self._letters.values(), limit))

    async def discard(self, letters: Sequence[Letter]) -> None:
        """Throw letters away that have been dealt with."""
        for letter in letters:
            self._letters.pop(letter.id, None)

    async def wait_for_letters(self) -> None:
        """Return once there may be letters that were not there before."""
        await self._news.wait()

    def problem(self) -> str | None:
        """Say what is wrong with the store: nothing can be."""
        return None

    async def close(self) -> None:
        """Forget everything; whoever waits is told that the run is gone."""
        unfinished = list(self._unfinished.values())
        for table in (self._shelves, self._keys, self._unfinished, self._finished, self._finished_each, self._fresh):
            table.clear()
        self._finished_bytes = self._fresh_events = 0
        for run in unfinished:
            run.wake()

    def _find(self, namespace: Namespace, run_id: RunId) -> StoredRun:
        in_flight = self._unfinished.get((namespace, run_id))
        if in_flight is not None:
            return in_flight
        self._expire()
        shelf = self._shelves.get(namespace)
        run = shelf.find(run_id) if shelf is not None else None
        if run is None:
            raise WorkflowNotFoundError(run_id)
        return run

    def _find_by_key(self, namespace: Namespace, idempotency: IdempotencyKey | None) -> RunId | None:
        used = self._keys.get((namespace, idempotency.key)) if idempotency is not None else None
        if idempotency is None or used is None:
            return None
        fingerprint, run_id = used
        if fingerprint != idempotency.fingerprint:
            raise IdempotencyConflictError(run_id, idempotency.key)
        return run_id

    def _check_repeated(self, run: StoredRun, after: int, events: Sequence[RunEvent]) -> None:
        """Let the same events at the same place pass: their writer has not heard that they are stored."""
        if not run.holds(after, events):
            raise StaleWriterError(run.run_id, after, run.sequence)

    def _change(self, run: StoredRun, before: RunStatus) -> None:
        """Do what follows from another status."""
        took = run.finished_at - run.started_at if run.finished_at and run.started_at else None
        self._admission.change(run.namespace, before, run.status, took)
        if run.finished_at is not None:
            self._finish(run, run.finished_at)

    def _add(self, run: StoredRun, idempotency: IdempotencyKey | None) -> None:
        self._shelves.setdefault(run.namespace, Shelf()).add(run)
        if idempotency is not None:
            run.idempotency_key = idempotency.key
            self._keys[run.namespace, idempotency.key] = idempotency.fingerprint, run.run_id
        if run.finished_at is None:
            self._unfinished[run.namespace, run.run_id] = run
            self._admission.add(run.namespace, run.status)
        else:
            self._finish(run, run.finished_at)

    def _finish(self, run: StoredRun, at: datetime) -> None:
        self._unfinished.pop((run.namespace, run.run_id), None)
        self._finished[run] = at
        self._finished_each.setdefault(run.namespace, OrderedDict())[run] = None
        self._finished_bytes += run.value_bytes
        self._fresh[run] = None
        self._fresh_events += run.sequence
        while len(self._fresh) > FRESH_RUNS or (self._fresh_events > FRESH_EVENTS and len(self._fresh) > 1):
            packed, _ = self._fresh.popitem(last=False)
            self._fresh_events -= packed.sequence
            packed.pack()
        runs_each = self._retention.runs_each
        if runs_each is not None and len(self._finished_each[run.namespace]) > runs_each:
            self._remove(next(iter(self._finished_each[run.namespace])))
        self._expire(at)

    def _expire(self, now: datetime | None = None) -> None:
        """Remove finished runs, those that finished first before others, but never the last one for its size."""
        if not self._finished:
            return
        now = now or self._clock.now()
        while self._finished:
            oldest, finished_at = next(iter(self._finished.items()))
            if not self._is_due(finished_at, now):
                break
            self._remove(oldest)

    def _is_due(self, finished_at: datetime, now: datetime) -> bool:
        """Tell whether the run that finished first has to go."""
        kept = self._retention
        return (
            (kept.runs is not None and len(self._finished) > kept.runs)
            or (kept.age is not None and finished_at + kept.age <= now)
            or (kept.value_bytes is not None and self._finished_bytes > kept.value_bytes and len(self._finished) > 1)
        )

    def _remove(self, run: StoredRun) -> None:
        del self._finished[run]
        mates = self._finished_each[run.namespace]
        del mates[run]
        if not mates:
            del self._finished_each[run.namespace]
        self._finished_bytes -= run.value_bytes
        if run in self._fresh:
            del self._fresh[run]
            self._fresh_events -= run.sequence
        shelf = self._shelves[run.namespace]
        shelf.remove(run)
        if not shelf:
            del self._shelves[run.namespace]
        if run.idempotency_key is not None:
            del self._keys[run.namespace, run.idempotency_key]
        run.wake()
