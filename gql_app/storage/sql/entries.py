"""What is written to the store: each entry checks itself against what is there, then adds its rows."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gql_app.core.codec import encode_event, encode_events
from gql_app.core.errors import (
    IdempotencyConflictError,
    LeaseLostError,
    StaleWriterError,
    WorkflowNotFinishedError,
    WorkflowNotFoundError,
)
from gql_app.core.events import TERMINAL_EVENTS, RunEvent, WorkflowSubmitted
from gql_app.core.ids import Namespace, RunId
from gql_app.core.run import RunStatus
from gql_app.core.signals import CancelRequested
from gql_app.ports import IdempotencyKey, Letter
from gql_app.storage.shown import shown_bytes
from gql_app.storage.sql.rows import Values, microseconds
from gql_app.storage.sql.wakeups import End
from gql_app.storage.statuses import STATUS


@dataclass(slots=True)
class RunState:
    """What must be known of a run to write to it."""

    namespace: Namespace
    sequence: int
    status: RunStatus
    created_at: int
    started_at: int | None = None
    values: dict[str, int] | None = None
    """The sizes of its values; None if that is not known, nor the next."""
    shown_bytes: int = 0
    """What its attempts have shown."""


class Page(Protocol):
    """What is gathered for one transaction, and what is known of the tables in it."""

    epoch: int
    """The one that may append."""

    def state(self, run_id: RunId) -> RunState | None:
        """Tell what is known of a run; none if it is not there."""
        ...

    def stored(self, run_id: RunId, after: int, limit: int) -> Sequence[RunEvent]:
        """Read events."""
        ...

    def run_of_key(self, namespace: Namespace, key: str) -> tuple[str, RunId] | None:
        """Find the fingerprint and the run of an idempotency key."""
        ...

    def admit(self, namespace: Namespace) -> None:
        """Check that there is room for one more run. Raises `OverloadedError`."""
        ...

    def add_run(self, first: WorkflowSubmitted, idempotency: IdempotencyKey | None) -> RunState:
        """Let there be a run."""
        ...

    def add_events(self, run_id: RunId, state: RunState, rows: Sequence[Values], values: Mapping[str, bytes]) -> None:
        """Let these events and values be part of its log."""
        ...

    def change_status(self, run_id: RunId, state: RunState, status: RunStatus, at: int) -> None:
        """Let a run have another status from now on."""
        ...

    def remove(self, run_id: RunId, state: RunState) -> None:
        """Let a finished run be gone."""
        ...

    def add_letter(self, namespace: Namespace, run_id: RunId, signal: CancelRequested | None) -> None:
        """Leave something for the executor."""
        ...

    def discard(self, letters: Sequence[Letter]) -> None:
        """Throw letters away."""
        ...


@dataclass(slots=True, eq=False)
class WriteEntry:
    """An entry and whoever waits for it."""

    stored: "asyncio.Future[None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future(), kw_only=True
    )
    size: int = field(default=256, kw_only=True)
    doubted: bool = field(default=False, kw_only=True)

    def settle(self, error: Exception | None = None) -> None:
        """Tell whoever waits."""
        if self.stored.done():
            return
        if error is None:
            self.stored.set_result(None)
        else:
            self.stored.set_exception(error)

    def apply(self, page: Page) -> None:
        """Check it, then add what is to be written."""
        raise NotImplementedError


@dataclass(slots=True, eq=False)
class Create(WriteEntry):
    """A new run; `run_id` is that of the run there is then. Without the `epoch` the executor is told by a letter."""

    events: Sequence[RunEvent]
    values: Mapping[str, bytes]
    idempotency: IdempotencyKey | None
    epoch: int | None
    first: WorkflowSubmitted
    rows: Sequence[Values]
    run_id: RunId

    def apply(self, page: Page) -> None:
        """Add the run, unless it is there."""
        first, key = self.first, self.idempotency
        # It may be tried a second time, and what was there the first time need not be there any more.
        self.run_id = first.run_id
        _check_places(self.run_id, 0, self.events)
        used = None if key is None else page.run_of_key(first.namespace, key.key)
        if key is not None and used is not None:
            fingerprint, self.run_id = used
            if fingerprint != key.fingerprint:
                raise IdempotencyConflictError(self.run_id, key.key)
            return
        there = page.state(self.run_id)
        if there is not None:
            _check_repeated(page, self.run_id, there, 0, self.events)
            return
        page.admit(first.namespace)
        state = page.add_run(first, key)
        _add(page, state, self)
        if self.epoch != page.epoch:
            page.add_letter(first.namespace, self.run_id, None)


@dataclass(slots=True, eq=False)
class Append(WriteEntry):
    """What happened in a run."""

    namespace: Namespace
    run_id: RunId
    expected: int
    events: Sequence[RunEvent]
    values: Mapping[str, bytes]
    epoch: int
    rows: Sequence[Values]

    def apply(self, page: Page) -> None:
        """Add the events, if this is their place."""
        if self.epoch != page.epoch:
            raise LeaseLostError(self.run_id, self.epoch)
        state = find(page, self.namespace, self.run_id)
        if state.sequence != self.expected:
            _check_repeated(page, self.run_id, state, self.expected, self.events)
            return
        _add(page, state, self)

    def end(self) -> End:
        """Tell how far the run goes with it."""
        finished = bool(self.events) and isinstance(self.events[-1], TERMINAL_EVENTS)
        return End(self.namespace, self.expected + len(self.events), finished)


@dataclass(slots=True, eq=False)
class Delete(WriteEntry):
    """A run that is to be gone."""

    namespace: Namespace
    run_id: RunId

    def apply(self, page: Page) -> None:
        """Remove it, if it has ended."""
        state = find(page, self.namespace, self.run_id)
        if not state.status.final:
            raise WorkflowNotFinishedError(self.run_id, state.status)
        page.remove(self.run_id, state)


@dataclass(slots=True, eq=False)
class Send(WriteEntry):
    """A signal for the executor."""

    namespace: Namespace
    run_id: RunId
    signal: CancelRequested

    def apply(self, page: Page) -> None:
        """Leave it, if there is such a run."""
        find(page, self.namespace, self.run_id)
        page.add_letter(self.namespace, self.run_id, self.signal)


@dataclass(slots=True, eq=False)
class Discard(WriteEntry):
    """Letters that have been dealt with."""

    letters: Sequence[Letter]
    epoch: int

    def apply(self, page: Page) -> None:
        """Throw them away, unless they are for another executor by now, which has yet to read them."""
        if self.epoch != page.epoch:
            raise LeaseLostError(self.letters[0].run_id, self.epoch)
        page.discard(self.letters)


@dataclass(slots=True, eq=False)
class Expire(WriteEntry):
    """Nothing but what is due anyway: finished runs that have to go."""

    def apply(self, page: Page) -> None:
        """Add nothing."""


def event_rows(run_id: RunId, events: Sequence[RunEvent]) -> list[Values]:
    """Make the rows of events."""
    return [{"run_id": run_id, "sequence": event.sequence, "data": encode_event(event)} for event in events]


def size_of(rows: Sequence[Values], values: Mapping[str, bytes]) -> int:
    """Tell about how many bytes are to be written."""
    return 128 * len(rows) + sum(len(row["data"]) for row in rows) + sum(map(len, values.values()))


def find(page: Page, namespace: Namespace, run_id: RunId) -> RunState:
    """Find a run of a namespace. Raises `WorkflowNotFoundError`."""
    state = page.state(run_id)
    if state is None or state.namespace != namespace:
        raise WorkflowNotFoundError(run_id)
    return state


def _check_repeated(page: Page, run_id: RunId, state: RunState, after: int, events: Sequence[RunEvent]) -> None:
    """Let the same events at the same place pass: their writer has not heard that they are stored."""
    same = after <= state.sequence and encode_events(page.stored(run_id, after, len(events))) == encode_events(events)
    if not same:
        raise StaleWriterError(run_id, after, state.sequence)


def _add(page: Page, state: RunState, entry: Create | Append) -> None:
    run_id, events = entry.run_id, entry.events
    if state.status.final:
        raise ValueError(f"Run {run_id} has ended ({state.status}); nothing can follow.")
    _check_places(run_id, state.sequence, events)
    page.add_events(run_id, state, entry.rows, entry.values)
    state.shown_bytes += shown_bytes(events)
    for event in events:
        status = STATUS.get(type(event))
        if status is not None:
            page.change_status(run_id, state, status, microseconds(event.at))


def _check_places(run_id: RunId, after: int, events: Sequence[RunEvent]) -> None:
    for sequence, event in enumerate(events, after + 1):
        if event.sequence != sequence:
            raise ValueError(f"Run {run_id}: event {event.sequence} stands where {sequence} belongs.")
