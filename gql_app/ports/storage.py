"""Where runs are kept, and who may write them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gql_app.core.events import RunEvent
from gql_app.core.ids import Namespace, RunId
from gql_app.core.listing import RunPage, RunQuery, RunSummary
from gql_app.core.signals import CancelRequested


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's key and the fingerprint of what it was used for."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What was left for the executor of a run: a signal, or none for a run that is to be started."""

    id: int
    namespace: Namespace
    run_id: RunId
    signal: CancelRequested | None


class Lease(Protocol):
    """The right of one process to append, for as long as it has it."""

    @property
    def epoch(self) -> int:
        """Count how often this right has passed to somebody."""
        ...

    async def lost(self) -> None:
        """Return once the right is lost."""
        ...

    async def release(self) -> None:
        """Give it back."""
        ...


class RunRepository(Protocol):
    """The logs of all runs, and the values beside them. Every method is scoped to a namespace.

    `WorkflowNotFoundError` is raised for a run that is not there, `StoreUnavailableError` while the store cannot be
    used: then nothing is known of what was to be written; the same again is right in either case. `CorruptRunError` is
    raised for a run whose log or value cannot be read.
    """

    @property
    def durable(self) -> bool:
        """Whether what was appended survives the process."""
        ...

    @property
    def shared(self) -> bool:
        """Whether several processes may use it, of which one executes runs and others stand by."""
        ...

    async def create(
        self,
        events: Sequence[RunEvent],
        *,
        values: Mapping[str, bytes],
        idempotency: IdempotencyKey | None = None,
    ) -> RunId:
        """Store a new run: its first events and the values they refer to by sha256.

        Tells the id of the run there is now: with a key that was used before for the same fingerprint, that run's, and
        nothing is stored. Raises `IdempotencyConflictError` for another fingerprint, `OverloadedError` when there are
        as many runs, in all or in the namespace, as there may be: that check and the storing are one step.
        """
        ...

    async def append(
        self,
        namespace: Namespace,
        run_id: RunId,
        expected_sequence: int,
        events: Sequence[RunEvent],
        *,
        values: Mapping[str, bytes],
    ) -> None:
        """Append events to a run whose last sequence is `expected_sequence`, all or none, then wake whoever waits.

        The same events at the same place again succeed. Raises `StaleWriterError` for others, and `LeaseLostError` in
        a process that is not, or no longer, the executor of this store.
        """
        ...

    async def events(self, namespace: Namespace, run_id: RunId, *, after: int, limit: int) -> Sequence[RunEvent]:
        """Read up to `limit` events after the sequence `after`, in order."""
        ...

    async def wait(self, namespace: Namespace, run_id: RunId, *, after: int) -> None:
        """Return once there are events after `after`, or the run has ended. The check and the wait are one step.

        Raises `WorkflowRemovedError` if the run is removed meanwhile.
        """
        ...

    async def value(self, namespace: Namespace, run_id: RunId, sha256: str) -> bytes:
        """Read a stored value: encoded JSON. Raises `KeyError` for one that is not there."""
        ...

    async def summary(self, namespace: Namespace, run_id: RunId) -> RunSummary:
        """Read a run's summary."""
        ...

    async def list(self, namespace: Namespace, query: RunQuery) -> RunPage:
        """List runs."""
        ...

    async def unfinished(self) -> Sequence[tuple[Namespace, RunId]]:
        """Tell all runs that have not ended: those that have begun, then those that wait, each oldest first."""
        ...

    async def delete(self, namespace: Namespace, run_id: RunId) -> None:
        """Remove a run that has ended, with its values and its idempotency key; whoever watches it is told.

        Raises `WorkflowNotFinishedError` for one that has not.
        """
        ...

    async def lead(self) -> "Lease":
        """Wait until this process may append: until it is the executor of this store.

        Raises `StoreInUseError` where waiting would be for nothing.
        """
        ...

    async def send(self, namespace: Namespace, run_id: RunId, signal: CancelRequested) -> None:
        """Leave a signal for the executor, whichever process that is; returns once it is stored."""
        ...

    async def letters(self, *, limit: int = 100) -> Sequence[Letter]:
        """Read what was left for the executor, oldest first: signals, and new runs that nobody has started yet."""
        ...

    async def discard(self, letters: Sequence[Letter]) -> None:
        """Throw letters away that have been dealt with.

        Raises `LeaseLostError` in a process that is no longer the executor: they are for the next one, too.
        """
        ...

    async def wait_for_letters(self) -> None:
        """Return once there may be letters that were not there before, or after some seconds."""
        ...

    def problem(self) -> str | None:
        """Say what is wrong with the store, if anything is."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key as a store keeps it: what is known of it is `data`, which the store does not read."""

    id: str
    data: str
    revoked_at: datetime | None = None


class KeyRecords(Protocol):
    """API keys beside the runs of a store. Every method raises `StoreUnavailableError`."""

    async def read(self) -> Sequence[KeyRecord]:
        """Read all of them."""
        ...

    async def add(self, record: KeyRecord) -> None:
        """Add one."""
        ...

    async def revoke(self, key_id: str, at: datetime) -> bool:
        """Make one good for nothing, unless it is already; tell whether there is such a key."""
        ...
