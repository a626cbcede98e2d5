"""The seam between what goes on and those who count, log and trace it."""

from collections.abc import Sequence
from typing import Final, Protocol

from gql_app.core.events import RunEvent, WorkflowSubmitted
from gql_app.core.plan import NodePlan
from gql_app.core.run import WorkflowRun


class Monitor(Protocol):
    """Hears of runs, on the event loop they go on. It must be quick, must not raise, and keeps no run it is shown."""

    def submitted(self, event: WorkflowSubmitted) -> None:
        """Hear that a new run was stored."""
        ...

    def taken_over(self, run: WorkflowRun) -> None:
        """Hear that the executor goes on with a run, a new one or one that was left."""
        ...

    def stored(self, run: WorkflowRun, events: Sequence[RunEvent]) -> None:
        """Hear what has happened in a run, which is shown as it stands after the last event."""
        ...

    def attempting(self, run: WorkflowRun, node: NodePlan, attempt: int) -> None:
        """Hear, within its task, that an attempt begins. The context variables set here are those the tool finds."""
        ...

    def left(self, run: WorkflowRun) -> None:
        """Hear that the executor has let go of a run, which need not have ended."""
        ...


class Unmonitored:
    """Hears nothing. Also the base of those who do not want to hear everything."""

    def submitted(self, event: WorkflowSubmitted) -> None:
        """Do nothing."""

    def taken_over(self, run: WorkflowRun) -> None:
        """Do nothing."""

    def stored(self, run: WorkflowRun, events: Sequence[RunEvent]) -> None:
        """Do nothing."""

    def attempting(self, run: WorkflowRun, node: NodePlan, attempt: int) -> None:
        """Do nothing."""

    def left(self, run: WorkflowRun) -> None:
        """Do nothing."""


UNMONITORED: Final[Monitor] = Unmonitored()


class Monitors:
    """Several, each told what it wants to hear."""

    def __init__(self, *monitors: Monitor) -> None:
        self._submitted = [each.submitted for each in monitors if type(each).submitted is not Unmonitored.submitted]
        self._taken_over = [each.taken_over for each in monitors if type(each).taken_over is not Unmonitored.taken_over]
        self._stored = [each.stored for each in monitors if type(each).stored is not Unmonitored.stored]
        self._attempting = [each.attempting for each in monitors if type(each).attempting is not Unmonitored.attempting]
        self._left = [each.left for each in monitors if type(each).left is not Unmonitored.left]

    def submitted(self, event: WorkflowSubmitted) -> None:
        """Tell of a new run."""
        for tell in self._submitted:
            tell(event)

    def taken_over(self, run: WorkflowRun) -> None:
        """Tell of a run that goes on."""
        for tell in self._taken_over:
            tell(run)

    def stored(self, run: WorkflowRun, events: Sequence[RunEvent]) -> None:
        """Tell what has happened."""
        for tell in self._stored:
            tell(run, events)

    def attempting(self, run: WorkflowRun, node: NodePlan, attempt: int) -> None:
        """Tell of an attempt."""
        for tell in self._attempting:
            tell(run, node, attempt)

    def left(self, run: WorkflowRun) -> None:
        """Tell of a run that was let go."""
        for tell in self._left:
            tell(run)
