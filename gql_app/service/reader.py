"""Reads runs: folds their logs once for all readers, and goes on from there when more is asked."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, TypeAlias

from gql_app.core.codec import encode_event
from gql_app.core.errors import InvalidCursorError, WorkflowNotFoundError
from gql_app.core.events import RunEvent, WorkflowSubmitted
from gql_app.core.fold import evolve, fold
from gql_app.core.ids import Namespace, NodeKey, RunId
from gql_app.core.run import NodeRun, WorkflowRun
from gql_app.ports import RunRepository
from gql_app.service.answers import Update

PAGE_EVENTS: Final = 1_000
"""So many events are folded before others get their turn."""
UPDATE_EVENTS: Final = 500
UPDATE_BYTES: Final = 256 << 10
CACHED_RUNS: Final = 256
CACHED_NODES: Final = 100_000
CACHED_UPDATES: Final = 64

Address: TypeAlias = tuple[Namespace, RunId]


class Folded:
    """A run as far as it has been folded. `lock` lets one reader at a time go on with it."""

    __slots__ = ("_copy", "lock", "run")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.run: WorkflowRun | None = None
        self._copy: WorkflowRun | None = None

    @property
    def sequence(self) -> int:
        """How far it has been folded."""
        return self.run.sequence if self.run is not None else 0

    @property
    def node_count(self) -> int:
        """How many nodes it has."""
        return len(self.run.nodes) if self.run is not None else 0

    def advance(self, events: Sequence[RunEvent]) -> None:
        """Fold the events that follow."""
        if self.run is None:
            self.run = fold(events)
            return
        for event in events:
            evolve(self.run, event)

    def copy(self) -> WorkflowRun:
        """Give the run as it is now, which never changes: the same to all until there are more events."""
        run = self.run
        assert run is not None
        if self._copy is None or self._copy.sequence != run.sequence:
            self._copy = run if run.status.final else run.copy()
        return self._copy


class RunReader:
    """Shows runs to any number of readers; what it keeps is bounded, and nothing of it is lost with it."""

    def __init__(self, repository: RunRepository) -> None:
        self._repository = repository
        self._folded: OrderedDict[Address, Folded] = OrderedDict()
        self._nodes = 0
        self._updates: OrderedDict[tuple[Address, int | None, int], Update] = OrderedDict()

    @property
    def kept(self) -> tuple[int, int, int]:
        """How many runs are kept folded, how many nodes they have, and how many updates are kept."""
        return len(self._folded), self._nodes, len(self._updates)

    async def current(self, namespace: Namespace, run_id: RunId) -> WorkflowRun:
        """Give the run as it is now. Raises `WorkflowNotFoundError`."""
        folded = self._find((namespace, run_id))
        async with folded.lock:
            await self._advance((namespace, run_id), folded)
            return folded.copy()

    async def past(self, namespace: Namespace, run_id: RunId, at: int) -> WorkflowRun:
        """Give the run as it was at the sequence `at`, folded anew: only the state now is kept.

        Raises `WorkflowNotFoundError`, and `InvalidCursorError` for a sequence that it has not come to.
        """
        last = (await self._repository.summary(namespace, run_id)).sequence
        if not 1 <= at <= last:
            raise InvalidCursorError(at, f"the run is at sequence {last}; use 1 to {last}, or none for the state now.")
        folded = Folded()
        while folded.sequence < at:
            limit = min(PAGE_EVENTS, at - folded.sequence)
            events = await self._repository.events(namespace, run_id, after=folded.sequence, limit=limit)
            if not events:
                raise WorkflowNotFoundError(run_id)
            folded.advance(events)
            await asyncio.sleep(0)
        return folded.copy()

    def forget(self, namespace: Namespace, run_id: RunId) -> None:
        """Drop what is kept of a run that is gone."""
        address = (namespace, run_id)
        self._forget(address)
        for key in [key for key in self._updates if key[0] == address]:
            del self._updates[key]

    async def first_update(self, namespace: Namespace, run_id: RunId) -> Update:
        """Tell the state now, without events."""
        run = await self.current(namespace, run_id)
        key = ((namespace, run_id), None, run.sequence)
        return self._cached(key) or self._cache(key, Update(sequence=run.sequence, events=(), changed=(), run=run))

    async def next_update(self, namespace: Namespace, run_id: RunId, after: int) -> Update | None:
        """Tell what happened after the sequence `after`, or as much of it as an update holds.

        Waits until something has; None if nothing can, because the run has ended.
        """
        address = (namespace, run_id)
        if self._is_abreast(address, after):
            await self._repository.wait(namespace, run_id, after=after)
        while True:
            # Of many who are woken by the same event, all but the first find its update here.
            update, over = self._told(address, after), False
            if update is None:
                update, over = await self._look(address, after)
            if update is not None or over:
                return update
            await self._repository.wait(namespace, run_id, after=after)

    def _is_abreast(self, address: Address, after: int) -> bool:
        """Whether as far as is known nothing has happened after the sequence `after`, and something may."""
        folded = self._folded.get(address)
        run = folded.run if folded is not None else None
        return run is not None and run.sequence == after and not run.status.final

    def _told(self, address: Address, after: int) -> Update | None:
        """Give what somebody else was told before."""
        folded = self._folded.get(address)
        if folded is None or folded.sequence <= after:
            return None
        self._folded.move_to_end(address)
        return self._cached((address, after, folded.sequence))

    async def _look(self, address: Address, after: int) -> tuple[Update | None, bool]:
        """Tell what happened after the sequence `after`, if anything did, and whether nothing more can."""
        folded = self._find(address)
        async with folded.lock:
            run = await self._advance(address, folded)
            if run.sequence <= after:
                return None, run.status.final
            key = (address, after, run.sequence)
            update = self._cached(key)
            if update is None:
                events = await self._repository.events(*address, after=after, limit=UPDATE_EVENTS)
                # Not beyond the run as it was read, though there may be more by now.
                events = events[: run.sequence - after]
                update = self._cache(key, _make_update(_fitting(events), folded.copy()))
            return update, False

    async def _advance(self, address: Address, folded: Folded) -> WorkflowRun:
        """Fold what there is; others have their turn after every page."""
        namespace, run_id = address
        before = folded.node_count
        try:
            while True:
                after = folded.sequence
                events = await self._repository.events(namespace, run_id, after=after, limit=PAGE_EVENTS)
                if events or folded.run is None:
                    folded.advance(events)
                if len(events) < PAGE_EVENTS and folded.run is not None:
                    return folded.run
                await asyncio.sleep(0)
        except WorkflowNotFoundError:
            self.forget(namespace, run_id)
            raise
        finally:
            if folded.node_count != before and self._folded.get(address) is folded:
                self._nodes += folded.node_count - before
                self._trim()

    def _find(self, address: Address) -> Folded:
        folded = self._folded.get(address)
        if folded is None:
            folded = self._folded[address] = Folded()
            self._trim()
        self._folded.move_to_end(address)
        return folded

    def _forget(self, address: Address) -> None:
        folded = self._folded.pop(address, None)
        if folded is not None:
            self._nodes -= folded.node_count

    def _trim(self) -> None:
        while len(self._folded) > CACHED_RUNS or (self._nodes > CACHED_NODES and len(self._folded) > 1):
            self._forget(next(iter(self._folded)))

    def _cached(self, key: tuple[Address, int | None, int]) -> Update | None:
        update = self._updates.get(key)
        if update is not None:
            self._updates.move_to_end(key)
        return update

    def _cache(self, key: tuple[Address, int | None, int], update: Update) -> Update:
        self._updates[key] = update
        if len(self._updates) > CACHED_UPDATES:
            self._updates.popitem(last=False)
        return update


def _fitting(events: Sequence[RunEvent]) -> Sequence[RunEvent]:
    """Take as many events as an update holds, and one at least."""
    size = 0
    for count, event in enumerate(events):
        size += _size(event)
        if size > UPDATE_BYTES and count:
            return events[:count]
    return events


def _size(event: RunEvent) -> int:
    """Tell an event's size; that of the first is taken from the document, which its plan is made of."""
    if isinstance(event, WorkflowSubmitted):
        return len(memoryview(event.document)) * 2 + event.input.size
    return len(encode_event(event))


def _make_update(events: Sequence[RunEvent], run: WorkflowRun) -> Update:
    changed: dict[int, NodeRun] = {}
    for event in events:
        key: NodeKey | None = getattr(event, "node", None)
        if key is not None:
            node = run.node(key)
            changed[node.index] = node
    return Update(sequence=events[-1].sequence, events=tuple(events), changed=tuple(changed.values()), run=run)
