"""Runs as far as their logs have been folded."""

import asyncio
from collections.abc import Sequence
from typing import Final, TypeAlias

from gql_app.core.errors import WorkflowNotFoundError
from gql_app.core.events import RunEvent
from gql_app.core.fold import evolve, fold
from gql_app.core.ids import Namespace, RunId
from gql_app.core.run import WorkflowRun
from gql_app.ports import RunRepository
from gql_app.service.streamed import Streamed

PAGE_EVENTS: Final = 1_000
"""So many events are folded before others get their turn."""

Address: TypeAlias = tuple[Namespace, RunId]


class Folded:
    """A run as far as it has been folded. `lock` lets one reader at a time go on with it."""

    __slots__ = ("_copy", "lock", "run", "streamed")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.run: WorkflowRun | None = None
        self.streamed = Streamed()
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
        self.streamed.advance(events)
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


async def fold_again(repository: RunRepository, address: Address, at: int) -> Folded:
    """Fold a log anew, up to the sequence `at`. Raises `WorkflowNotFoundError`."""
    folded = Folded()
    while folded.sequence < at:
        limit = min(PAGE_EVENTS, at - folded.sequence)
        events = await repository.events(*address, after=folded.sequence, limit=limit)
        if not events:
            raise WorkflowNotFoundError(address[1])
        folded.advance(events)
        await asyncio.sleep(0)
    return folded
