"""The world outside of a simulation: it sees every call of a tool, in whatever process, and what was wrong with it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from gql_app.core.events import AttemptStarted, RunEvent, StepCompleted, StepStarted
from gql_app.core.ids import NodeKey, RunId
from gql_app.ports import ToolContext
from tests.support.simulation_store import Database


@dataclass
class Calls:
    """Every call of a tool, and every step, that there has been."""

    database: Database
    count: "Counter[tuple[RunId, str, int]]" = field(default_factory=Counter)
    steps: "Counter[tuple[RunId, str, str]]" = field(default_factory=Counter)
    """How often what a step is about was done."""
    keys: dict[tuple[RunId, str, str | None], set[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    async def add(self, process: str, context: ToolContext) -> None:
        """Note a call. It may only happen once its beginning is stored, and not any more once its end is."""
        run_id, node, step = context.run_id, context.node_id, context.step_id
        what = f"{node}#{context.attempt}" if step is None else f"{node} {step}#{context.attempt}"
        self.database.note(f"{process} calls {run_id[-4:]} {what}")
        self.keys.setdefault((run_id, node, step), set()).add(context.idempotency_key)
        if step is None:
            self.count[run_id, node, context.attempt] += 1
        else:
            self.steps[run_id, node, step] += 1
        log = await self.database.runs.events(context.namespace, run_id, after=0, limit=100_000)
        if step is None:
            self._check_attempt(run_id, NodeKey(node), context.attempt, log)
        else:
            leads = self.database.holder is not None and self.database.holder.name == process
            self._check_step(run_id, NodeKey(node), step, log, leads=leads)

    def _check_attempt(self, run_id: RunId, node: NodeKey, attempt: int, log: Sequence[RunEvent]) -> None:
        begun = [event for event in log if isinstance(event, AttemptStarted) and event.node == node]
        if all(event.attempt != attempt for event in begun):
            self.faults.append(f"{run_id} {node}#{attempt} was called before its beginning was stored")

    def _check_step(self, run_id: RunId, node: NodeKey, step: str, log: Sequence[RunEvent], *, leads: bool) -> None:
        mine = [
            event
            for event in log
            if isinstance(event, StepStarted | StepCompleted) and (event.node, event.step) == (node, step)
        ]
        begun = sum(isinstance(event, StepStarted) for event in mine)
        if self.steps[run_id, node.id, step] > begun:
            self.faults.append(f"{run_id} {node} {step} was done before its beginning was stored")
        # One that was told too late that it began it, and has lost its lease meanwhile, cannot know of the end.
        if leads and begun < len(mine):
            self.faults.append(f"{run_id} {node} {step} was done again although its end was stored")
