"""The seams of the product: what the service, the engine and the stores expect of each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from gql_app.core.events import RunEvent
from gql_app.core.ids import Namespace, RunId
from gql_app.core.listing import RunFilter, RunOrder, RunOrderField, RunPage, RunPosition, RunQuery, RunSummary
from gql_app.core.plan import ToolDefinition
from gql_app.core.signals import CancelRequested, Signal
from gql_app.core.values import Json

if TYPE_CHECKING:
    # The authors of tools import this module, and need no CEL library for it.
    from gql_app.core.formulas import Formula

__all__ = [
    "Clock",
    "Evaluator",
    "Executor",
    "ExecutorLoad",
    "IdempotencyKey",
    "Lease",
    "Letter",
    "RunFilter",
    "RunOrder",
    "RunOrderField",
    "RunPage",
    "RunPosition",
    "RunQuery",
    "RunRepository",
    "RunSummary",
    "Secrets",
    "Tool",
    "ToolContext",
    "Tools",
]


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """Tell the time in UTC. It never goes back."""
        ...


def _no_heartbeat() -> None:
    """Ignore a sign of life. A function, because a context must be picklable."""


def _never() -> bool:
    """Say no."""
    return False


class ToolContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a call of a tool is handed beside its input."""

    run_id: RunId
    namespace: Namespace
    node_id: str
    attempt: int
    deadline: datetime | None = None
    """When the attempt times out."""
    heartbeat: Callable[[], None] = _no_heartbeat
    """Give a sign of life; any thread may. Does nothing in a tool of its own process."""
    cancelled: Callable[[], bool] = _never
    """Whether the attempt was asked to stop; for sync tools, which nobody can interrupt."""

    @property
    def idempotency_key(self) -> str:
        """Name this node of this run, the same for every attempt."""
        return f"{self.run_id}/{self.node_id}"


class Tool(Protocol):
    """The unit of work. `definition.isolation` says where it runs: `async`, `thread` or `process`."""

    @property
    def definition(self) -> ToolDefinition:
        """Everything known without a call."""
        ...

    def parse(self, value: Json) -> Json:
        """Check a resolved input and make the arguments of `call` or `run` of it. Raises `InvalidInputError`."""
        ...

    async def call(self, arguments: Json, context: ToolContext) -> Json:
        """Do the work of an async tool. What it returns must be JSON."""
        ...

    def run(self, arguments: Json, context: ToolContext) -> Json:
        """Do the work of a sync tool, in a thread or (picklable then) in a process of its own."""
        ...


class Secrets(Protocol):
    """Texts that documents name and never show. Each is granted to some namespaces; to the others it is not there."""

    def names(self, namespace: Namespace) -> frozenset[str]:
        """Name the secrets there are for a namespace."""
        ...

    def value(self, namespace: Namespace, name: str) -> str | None:
        """Tell a secret as it is now, if it is there for this namespace."""
        ...


class Tools(Protocol):
    """The tools there are, by name."""

    def find(self, name: str) -> Tool | None:
        """Find a tool."""
        ...

    def definitions(self) -> Mapping[str, ToolDefinition]:
        """Tell all definitions by name, sorted by it."""
        ...


class Evaluator(Protocol):
    """Where expressions are evaluated: they are hostile until it is shown that they can do no harm."""

    async def evaluate(
        self, formula: "Formula", scope: Mapping[str, Json], *, namespace: Namespace, run_id: RunId
    ) -> Json:
        """Evaluate in this scope, on the spot if it is sure to cost little, else within limits of time and memory.

        A template is prepared: its secrets are left. Those who wait take turns by namespace, then by run. Raises
        `ExpressionError`, also for what exceeds a limit, and `ToolError` when too many wait.
        """
        ...


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
        """Throw letters away that have been dealt with."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorLoad:
    """How busy an executor is."""

    runs: int
    """Runs in flight."""
    queued_runs: int = 0
    """Runs that wait for their turn."""
    attempts: int
    """Attempts in flight."""
    queued: int
    """Nodes that wait for a slot."""
    leftovers: int
    """Calls whose attempt has ended but that still go on."""
    accepting: bool
    """False once it shuts down."""


class Executor(Protocol):
    """Where runs go on."""

    async def start(self, namespace: Namespace, run_id: RunId) -> None:
        """Take a stored run over; returns once it is under way, or in line if it must wait for its turn.

        Raises `OverloadedError` when shut down.
        """
        ...

    async def signal(self, namespace: Namespace, run_id: RunId, signal: Signal) -> None:
        """Tell a run something; returns once what follows is stored.

        Raises `WorkflowNotFoundError` for a run that is not in flight here.
        """
        ...

    def load(self) -> ExecutorLoad:
        """Tell how busy it is."""
        ...

    async def close(self) -> None:
        """Shut down: start nothing, give attempts in flight their grace, record what is left as lost."""
        ...
