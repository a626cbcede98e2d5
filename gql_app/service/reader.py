"""Reads runs: folds their logs once for all readers, and goes on from there when more is asked."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, TypeAlias

from gql_app.core.codec import encode_event
from gql_app.core.errors import InvalidCursorError, WorkflowNotFoundError
from gql_app.core.events import NodeLog, RunEvent, WorkflowSubmitted
from gql_app.core.ids import Namespace, NodeKey, RunId
from gql_app.core.run import NodeRun, WorkflowRun
from gql_app.ports import RunRepository
from gql_app.service.answers import Update
from gql_app.service.filters import EVERYTHING, UpdateFilter
from gql_app.service.folding import PAGE_EVENTS, Address, Folded, fold_again
from gql_app.service.streamed import Streamed, StreamedText, has_streamed

UPDATE_EVENTS: Final = 500
UPDATE_BYTES: Final = 256 << 10
CACHED_RUNS: Final = 256
CACHED_NODES: Final = 100_000
CACHED_UPDATES: Final = 64
CACHED_TEXT_BYTES: Final = 64 << 20
CACHED_PASTS: Final = 8

_Key: TypeAlias = tuple[Address, int, int, UpdateFilter | None]


class RunReader:
    """Shows runs to any number of readers; what it keeps is bounded, and nothing of it is lost with it."""

    def __init__(self, repository: RunRepository) -> None:
        self._repository = repository
        self._folded: OrderedDict[Address, Folded] = OrderedDict()
        self._nodes = 0
        self._text_bytes = 0
        self._updates: OrderedDict[_Key, Update] = OrderedDict()
        self._pasts: OrderedDict[tuple[Address, int], Streamed] = OrderedDict()
        self._past_lock = asyncio.Lock()

    @property
    def kept(self) -> tuple[int, int, int]:
        """How many runs are kept folded, how many nodes they have, and how many updates are kept."""
        return len(self._folded), self._nodes, len(self._updates)

    @property
    def kept_text_bytes(self) -> int:
        """How many bytes of streamed text are kept with the runs that are kept folded, about."""
        return self._text_bytes

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
        folded = await fold_again(self._repository, (namespace, run_id), at)
        self._keep_past((namespace, run_id), at, folded.streamed)
        return folded.copy()

    async def streamed(self, run: WorkflowRun, node: NodeRun) -> StreamedText | None:
        """Give what the latest attempt of a node had streamed where `run` stands; None if that is nothing.

        It is at hand for what goes on; for what is past, the log is read. Raises `WorkflowNotFoundError`.
        """
        if not has_streamed(node):
            return None
        address = (run.namespace, run.run_id)
        folded = self._folded.get(address)
        found = folded.streamed.find(node, run.sequence) if folded is not None else None
        return found or (await self._past_streamed(address, run.sequence)).find(node, run.sequence)

    async def logged(self, run: WorkflowRun, node: NodeRun, count: int) -> Sequence[NodeLog]:
        """Give the last lines, up to `KEPT_LINES`, that a node had logged where `run` stands, from all its attempts.

        Raises `WorkflowNotFoundError`.
        """
        if not node.attempts:
            return ()
        address = (run.namespace, run.run_id)
        folded = self._folded.get(address)
        if folded is not None and folded.sequence >= run.sequence:
            lines = folded.streamed.lines(node.key, run.sequence, count)
            if lines is not None:
                return lines
        streamed = await self._past_streamed(address, run.sequence)
        return streamed.lines(node.key, run.sequence, count) or ()

    def forget(self, namespace: Namespace, run_id: RunId) -> None:
        """Drop what is kept of a run that is gone."""
        address = (namespace, run_id)
        self._forget(address)
        for key in [key for key in self._updates if key[0] == address]:
            del self._updates[key]
        for past in [past for past in self._pasts if past[0] == address]:
            del self._pasts[past]

    async def first_update(self, namespace: Namespace, run_id: RunId) -> Update:
        """Tell the state now, without events."""
        run = await self.current(namespace, run_id)
        return self._standing(run, run.sequence)

    async def still_update(self, namespace: Namespace, run_id: RunId, after: int) -> Update:
        """Tell that up to the sequence `after` nothing has happened that was asked for."""
        return self._standing(await self.current(namespace, run_id), after)

    async def next_update(
        self, namespace: Namespace, run_id: RunId, after: int, wanted: UpdateFilter = EVERYTHING
    ) -> Update | None:
        """Tell what happened after the sequence `after`, or as much of it as an update holds.

        Waits until something has, wanted or not; None if nothing can, because the run has ended.
        """
        address = (namespace, run_id)
        if self._is_abreast(address, after):
            await self._repository.wait(namespace, run_id, after=after)
        while True:
            # Of many who are woken by the same event, all but the first find its update here.
            update, over = self._told(address, after, wanted), False
            if update is None:
                update, over = await self._look(address, after, wanted)
            if update is not None or over:
                return update
            await self._repository.wait(namespace, run_id, after=after)

    def _is_abreast(self, address: Address, after: int) -> bool:
        """Whether as far as is known nothing has happened after the sequence `after`, and something may."""
        folded = self._folded.get(address)
        run = folded.run if folded is not None else None
        return run is not None and run.sequence == after and not run.status.final

    def _told(self, address: Address, after: int, wanted: UpdateFilter) -> Update | None:
        """Give what somebody else was told before."""
        folded = self._folded.get(address)
        if folded is None or folded.sequence <= after:
            return None
        self._folded.move_to_end(address)
        return self._cached((address, after, folded.sequence, wanted))

    async def _look(self, address: Address, after: int, wanted: UpdateFilter) -> tuple[Update | None, bool]:
        """Tell what happened after the sequence `after`, if anything did, and whether nothing more can."""
        folded = self._find(address)
        async with folded.lock:
            run = await self._advance(address, folded)
            if run.sequence <= after:
                return None, run.status.final
            key = (address, after, run.sequence, wanted)
            update = self._cached(key)
            if update is None:
                events = await self._repository.events(*address, after=after, limit=UPDATE_EVENTS)
                # Not beyond the run as it was read, though there may be more by now.
                events = events[: run.sequence - after]
                update = self._cache(key, _make_update(events, wanted, folded.copy()))
            return update, False

    async def _advance(self, address: Address, folded: Folded) -> WorkflowRun:
        """Fold what there is; others have their turn after every page."""
        namespace, run_id = address
        nodes, size = folded.node_count, folded.streamed.size
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
            changed = (folded.node_count, folded.streamed.size) != (nodes, size)
            if changed and self._folded.get(address) is folded:
                self._nodes += folded.node_count - nodes
                self._text_bytes += folded.streamed.size - size
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
            self._text_bytes -= folded.streamed.size

    def _trim(self) -> None:
        while len(self._folded) > CACHED_RUNS or (self._nodes > CACHED_NODES and len(self._folded) > 1):
            self._forget(next(iter(self._folded)))
        if self._text_bytes > CACHED_TEXT_BYTES:
            self._trim_texts()

    def _trim_texts(self) -> None:
        """Drop texts of the runs that were read least recently, but not of the last one."""
        for folded in list(self._folded.values())[:-1]:
            self._text_bytes -= folded.streamed.size
            folded.streamed = Streamed(whole=False)
            if self._text_bytes <= CACHED_TEXT_BYTES:
                return

    async def _past_streamed(self, address: Address, at: int) -> Streamed:
        """Give what had been streamed at the sequence `at`; of many who ask at once, one reads the log."""
        async with self._past_lock:
            streamed = self._pasts.get((address, at))
            if streamed is None:
                streamed = (await fold_again(self._repository, address, at)).streamed
                self._keep_past(address, at, streamed)
            return streamed

    def _keep_past(self, address: Address, at: int, streamed: Streamed) -> None:
        self._pasts[address, at] = streamed
        self._pasts.move_to_end((address, at))
        while len(self._pasts) > CACHED_PASTS or (
            len(self._pasts) > 1 and sum(each.size for each in self._pasts.values()) > CACHED_TEXT_BYTES
        ):
            self._pasts.popitem(last=False)

    def _standing(self, run: WorkflowRun, sequence: int) -> Update:
        """Make an update without events, the same to all who are told it."""
        key = ((run.namespace, run.run_id), sequence, run.sequence, None)
        return self._cached(key) or self._cache(key, Update(sequence=sequence, events=(), changed=(), run=run))

    def _cached(self, key: _Key) -> Update | None:
        update = self._updates.get(key)
        if update is not None:
            self._updates.move_to_end(key)
        return update

    def _cache(self, key: _Key, update: Update) -> Update:
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


def _make_update(considered: Sequence[RunEvent], wanted: UpdateFilter, run: WorkflowRun) -> Update:
    """Tell those of the events that are wanted, as far as an update holds them."""
    passed = considered if wanted is EVERYTHING else [event for event in considered if wanted.passes(event)]
    events = _fitting(passed)
    sequence = events[-1].sequence if len(events) < len(passed) else considered[-1].sequence
    changed: dict[int, NodeRun] = {}
    for event in events:
        key: NodeKey | None = getattr(event, "node", None)
        if key is not None:
            node = run.node(key)
            changed[node.index] = node
    return Update(sequence=sequence, events=tuple(events), changed=tuple(changed.values()), run=run)
