"""What is going on: a run as the fold of its events."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from gql_app.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    AttemptTimedOut,
    Event,
    Failure,
    NodeCancelled,
    NodeCompleted,
    NodeFailed,
    NodeQueued,
    NodeReused,
    NodeSkipped,
    Outcome,
    RetryState,
    RunEvent,
    SkipReason,
    SlotLimit,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    WorkflowStopping,
    WorkflowSubmitted,
    WorkflowTimedOut,
)
from gql_app.core.ids import Namespace, NodeKey, RunId
from gql_app.core.plan import NodePlan, Plan
from gql_app.core.values import NULL, Value


class RunStatus(StrEnum):
    """Where a run stands. The last four are final."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def final(self) -> bool:
        """Whether a run in this status has ended."""
        return self in FINAL_RUN


class NodeStatus(StrEnum):
    """Where a node stands. The last four are final."""

    PENDING = "PENDING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    RETRYING = "RETRYING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """Whether a node in this status has ended."""
        return self in FINAL_NODE


class AttemptStatus(StrEnum):
    """Where an attempt stands. All but the first are final."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    LOST = "LOST"


FINAL_RUN: Final = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.TIMED_OUT})
FINAL_NODE: Final = frozenset({NodeStatus.COMPLETED, NodeStatus.FAILED, NodeStatus.SKIPPED, NodeStatus.CANCELLED})


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One call of a node's tool; `number` counts from 1."""

    number: int
    started_at: datetime
    status: AttemptStatus = AttemptStatus.RUNNING
    finished_at: datetime | None = None
    error: Failure | None = None


class NodeRun(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A node of a run. Never changed, only replaced; `index` is its place in the plan."""

    index: int
    key: NodeKey
    status: NodeStatus = NodeStatus.PENDING
    attempts: tuple[Attempt, ...] = ()
    output: Value = NULL
    error: Failure | None = None
    retry_state: RetryState | None = None
    next_attempt_at: datetime | None = None
    skip_reason: SkipReason | None = None
    skip_cause: NodeKey | None = None
    queued_at: datetime | None = None
    queued_for: SlotLimit | None = None
    finished_at: datetime | None = None

    @property
    def started_at(self) -> datetime | None:
        """When the first attempt began."""
        return self.attempts[0].started_at if self.attempts else None


class Topology(msgspec.Struct, frozen=True, gc=False):
    """The graph of a plan by node index: where each id stands, and who depends on whom."""

    index: dict[str, int]
    dependencies: tuple[tuple[int, ...], ...]
    dependents: tuple[tuple[int, ...], ...]


class WorkflowRun(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A run. Changed only by `evolve`, by its one owner; whoever reads it gets a copy."""

    run_id: RunId
    namespace: Namespace
    plan: Plan
    document: msgspec.Raw
    topology: Topology
    created_at: datetime
    at: datetime
    nodes: list[NodeRun]
    remaining: list[int]
    """How many dependencies of each node have not ended."""
    unfinished: int
    """How many nodes have not ended."""
    sequence: int = 1
    status: RunStatus = RunStatus.PENDING
    input: Value = NULL
    output: Value = NULL
    error: Failure | None = None
    outcome: Outcome | None = None
    """How the run will end, once that is settled."""
    labels: dict[str, str] = {}
    retry_of: RunId | None = None
    started_at: datetime | None = None
    stopping_at: datetime | None = None
    finished_at: datetime | None = None
    running: int = 0
    """Attempts in flight."""
    held: int = 0
    """Nodes that wait for a slot of the executor or their tool."""
    waiting: dict[int, None] = {}
    """Nodes that wait for the run's own limit, first come first."""
    value_bytes: int = 0
    """What the outputs of the nodes take together."""

    def node(self, key: NodeKey) -> NodeRun:
        """Find a node. Raises `KeyError` for one that is not in the plan."""
        return self.nodes[self.topology.index[key.id]]

    def node_plan(self, key: NodeKey) -> NodePlan:
        """Find what was planned for a node."""
        return self.plan.nodes[self.topology.index[key.id]]

    def copy(self) -> "WorkflowRun":
        """Copy what can change; everything else is shared."""
        run: WorkflowRun = msgspec.structs.replace(
            self, nodes=self.nodes.copy(), remaining=self.remaining.copy(), waiting=self.waiting.copy()
        )
        return run


class UpstreamNodes(msgspec.Struct, frozen=True):
    """Waiting for these nodes to end."""

    nodes: tuple[NodeKey, ...]


class RetryBackoff(msgspec.Struct, frozen=True):
    """Waiting until the next attempt is due."""

    until: datetime


class SlotWait(msgspec.Struct, frozen=True):
    """Waiting, since then, for a slot of this limit; `tool` is set when it is the tool's."""

    limit: SlotLimit
    since: datetime
    tool: str | None = None


WaitingOn: TypeAlias = UpstreamNodes | RetryBackoff | SlotWait


def waiting_on(run: WorkflowRun, node: NodeRun) -> WaitingOn | None:
    """Say what keeps a node from running; nothing does if it runs or has ended."""
    match node.status:
        case NodeStatus.PENDING:
            open_nodes = (run.nodes[i] for i in run.topology.dependencies[node.index])
            keys = tuple(other.key for other in open_nodes if not other.status.final)
            return UpstreamNodes(keys) if keys else None
        case NodeStatus.QUEUED:
            assert node.queued_for is not None
            assert node.queued_at is not None
            tool = run.plan.nodes[node.index].tool if node.queued_for is SlotLimit.TOOL else None
            return SlotWait(node.queued_for, node.queued_at, tool)
        case NodeStatus.RETRYING:
            assert node.next_attempt_at is not None
            return RetryBackoff(node.next_attempt_at)
        case _:
            return None


def topology(plan: Plan) -> Topology:
    """Lay out the graph of a plan that has been checked."""
    index: dict[str, int] = {}
    for node in plan.nodes:
        index[node.key.id] = len(index)
    dependencies: list[tuple[int, ...]] = []
    dependents: list[list[int]] = [[] for _ in plan.nodes]
    for i, node in enumerate(plan.nodes):
        names = node.depends_on
        dependencies.append(tuple([index[name] for name in names]) if names else ())
        for name in names:
            dependents[index[name]].append(i)
    return Topology(index, tuple(dependencies), tuple([tuple(nodes) for nodes in dependents]))


def begin(event: WorkflowSubmitted) -> WorkflowRun:
    """Make a run from its first event."""
    graph = topology(event.plan)
    return WorkflowRun(
        run_id=event.run_id,
        namespace=event.namespace,
        plan=event.plan,
        document=event.document,
        topology=graph,
        created_at=event.at,
        at=event.at,
        nodes=[NodeRun(i, node.key) for i, node in enumerate(event.plan.nodes)],
        remaining=[len(names) for names in graph.dependencies],
        unfinished=len(event.plan.nodes),
        sequence=event.sequence,
        input=event.input,
        labels=event.labels,
        retry_of=event.retry_of,
    )


def fold(events: Iterable[RunEvent]) -> WorkflowRun:
    """Make a run from its log. Raises `ValueError` for a log that has a gap or no beginning."""
    log = iter(events)
    first = next(log, None)
    if not isinstance(first, WorkflowSubmitted) or first.sequence != 1:
        raise ValueError(f"A run's log begins with WorkflowSubmitted at sequence 1, not with {first!r}.")
    run = begin(first)
    for event in log:
        evolve(run, event)
    return run


def evolve(run: WorkflowRun, event: RunEvent) -> Sequence[int]:
    """Let `event` have happened to `run`; tell the indexes of the nodes whose last dependency has ended with it."""
    if event.sequence != run.sequence + 1:
        raise ValueError(f"Run {run.run_id} is at sequence {run.sequence}; event {event.sequence} does not follow.")
    run.sequence = event.sequence
    run.at = event.at
    return _APPLY[type(event)](run, event)


def _workflow_started(run: WorkflowRun, event: WorkflowStarted) -> Sequence[int]:
    run.status = RunStatus.RUNNING
    run.started_at = event.at
    return ()


def _workflow_stopping(run: WorkflowRun, event: WorkflowStopping) -> Sequence[int]:
    run.status = RunStatus.STOPPING
    run.outcome = event.outcome
    run.error = event.error
    run.stopping_at = event.at
    return ()


def _workflow_ended(
    run: WorkflowRun, event: WorkflowCompleted | WorkflowFailed | WorkflowCancelled | WorkflowTimedOut
) -> Sequence[int]:
    match event:
        case WorkflowCompleted():
            run.status, run.output = RunStatus.COMPLETED, event.output
        case WorkflowFailed():
            run.status, run.error = RunStatus.FAILED, event.error
        case WorkflowCancelled():
            run.status, run.error = RunStatus.CANCELLED, event.error
        case WorkflowTimedOut():
            run.status, run.error = RunStatus.TIMED_OUT, event.error
    run.outcome = Outcome(run.status)
    run.finished_at = event.at
    return ()


def _node_queued(run: WorkflowRun, event: NodeQueued) -> Sequence[int]:
    i = run.topology.index[event.node.id]
    node = run.nodes[i]
    _leave_line(run, node)
    if event.limit is SlotLimit.WORKFLOW:
        run.waiting[i] = None
    else:
        run.held += 1
    since = node.queued_at if node.status is NodeStatus.QUEUED else event.at
    run.nodes[i] = msgspec.structs.replace(
        node, status=NodeStatus.QUEUED, queued_at=since, queued_for=event.limit, next_attempt_at=None
    )
    return ()


def _leave_line(run: WorkflowRun, node: NodeRun) -> None:
    if node.status is NodeStatus.QUEUED:
        if node.queued_for is SlotLimit.WORKFLOW:
            del run.waiting[node.index]
        else:
            run.held -= 1


def _attempt_started(run: WorkflowRun, event: AttemptStarted) -> Sequence[int]:
    i = run.topology.index[event.node.id]
    node = run.nodes[i]
    _leave_line(run, node)
    run.running += 1
    run.nodes[i] = NodeRun(i, node.key, NodeStatus.RUNNING, (*node.attempts, Attempt(event.attempt, event.at)))
    return ()


def _attempt_ended(
    run: WorkflowRun, event: AttemptFailed | AttemptTimedOut | AttemptLost | AttemptCancelled
) -> Sequence[int]:
    i = run.topology.index[event.node.id]
    node = run.nodes[i]
    run.running -= 1
    error, retry_at = (None, None) if isinstance(event, AttemptCancelled) else (event.error, event.retry_at)
    last = msgspec.structs.replace(node.attempts[-1], status=_ENDED[type(event)], finished_at=event.at, error=error)
    run.nodes[i] = msgspec.structs.replace(
        node,
        attempts=(*node.attempts[:-1], last),
        status=NodeStatus.RETRYING if retry_at is not None else node.status,
        next_attempt_at=retry_at,
    )
    return ()


def _node_completed(run: WorkflowRun, event: NodeCompleted) -> Sequence[int]:
    i = run.topology.index[event.node.id]
    node = run.nodes[i]
    run.running -= 1
    last = node.attempts[-1]
    done = Attempt(last.number, last.started_at, AttemptStatus.COMPLETED, event.at)
    attempts = (done,) if len(node.attempts) == 1 else (*node.attempts[:-1], done)
    run.nodes[i] = NodeRun(i, node.key, NodeStatus.COMPLETED, attempts, event.output, finished_at=event.at)
    run.value_bytes += event.output.size
    return _node_ended(run, i)


def _node_reused(run: WorkflowRun, event: NodeReused) -> Sequence[int]:
    i = run.topology.index[event.node.id]
    run.nodes[i] = NodeRun(i, event.node, NodeStatus.COMPLETED, (), event.output, finished_at=event.at)
    run.value_bytes += event.output.size
    return _node_ended(run, i)


def _node_given_up(run: WorkflowRun, event: NodeFailed | NodeSkipped | NodeCancelled) -> Sequence[int]:
    i = run.topology.index[event.node.id]
    node = run.nodes[i]
    _leave_line(run, node)
    changed = msgspec.structs.replace(node, finished_at=event.at, next_attempt_at=None)
    match event:
        case NodeFailed():
            changed = msgspec.structs.replace(
                changed, status=NodeStatus.FAILED, error=event.error, retry_state=event.retry_state
            )
        case NodeSkipped():
            changed = msgspec.structs.replace(
                changed, status=NodeStatus.SKIPPED, skip_reason=event.reason, skip_cause=event.cause
            )
        case NodeCancelled():
            changed = msgspec.structs.replace(changed, status=NodeStatus.CANCELLED)
    run.nodes[i] = changed
    return _node_ended(run, i)


def _node_ended(run: WorkflowRun, i: int) -> Sequence[int]:
    run.unfinished -= 1
    dependents = run.topology.dependents[i]
    if not dependents:
        return ()
    ready = []
    for dependent in dependents:
        run.remaining[dependent] -= 1
        if not run.remaining[dependent]:
            ready.append(dependent)
    return ready


_ENDED: Final[dict[type[Event], AttemptStatus]] = {
    AttemptFailed: AttemptStatus.FAILED,
    AttemptTimedOut: AttemptStatus.TIMED_OUT,
    AttemptLost: AttemptStatus.LOST,
    AttemptCancelled: AttemptStatus.CANCELLED,
}
# One function per event type, each typed for its own event; the table cannot say so.
_APPLY: Final[dict[type[Event], Callable[..., Sequence[int]]]] = {
    WorkflowStarted: _workflow_started,
    WorkflowStopping: _workflow_stopping,
    WorkflowCompleted: _workflow_ended,
    WorkflowFailed: _workflow_ended,
    WorkflowCancelled: _workflow_ended,
    WorkflowTimedOut: _workflow_ended,
    NodeQueued: _node_queued,
    AttemptStarted: _attempt_started,
    AttemptFailed: _attempt_ended,
    AttemptTimedOut: _attempt_ended,
    AttemptLost: _attempt_ended,
    AttemptCancelled: _attempt_ended,
    NodeCompleted: _node_completed,
    NodeReused: _node_reused,
    NodeFailed: _node_given_up,
    NodeSkipped: _node_given_up,
    NodeCancelled: _node_given_up,
}
