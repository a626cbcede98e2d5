"""Where runs go on: the executor, its clock, and the evaluator of expressions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from gql_app.core.ids import Namespace, RunId
from gql_app.core.signals import Signal
from gql_app.core.values import Json

if TYPE_CHECKING:
    # The authors of tools import this module, and need no CEL library for it.
    from gql_app.core.formulas import Formula


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """Tell the time in UTC. It never goes back."""
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
    left: int = 0
    """Runs that cannot be gone on with: what is stored of them cannot be read, or fails again and again."""
    accepting: bool
    """False once it shuts down."""


class Executor(Protocol):
    """Where runs go on."""

    async def start(self, namespace: Namespace, run_id: RunId) -> None:
        """Take a stored run over; returns once it is under way, or in line if it must wait for its turn.

        Raises `OverloadedError` when shut down.
        """
        ...

    def look_again(self) -> None:
        """Hear that a run may be stored that nobody was told to start: the store's answer was lost."""
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
