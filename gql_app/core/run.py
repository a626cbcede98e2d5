"""What is going on: a run as the fold of its events."""

from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from gql_app.core.events import (
    Failure,
    Outcome,
    RetryState,
    SkipReason,
    SlotLimit,
    Usage,
)
from gql_app.core.ids import Namespace, NodeKey, RunId
from gql_app.core.plan import NodePlan, Plan
from gql_app.core.step_run import StepRun
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
    usage: Usage | None = None


class Progress(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How far an attempt says it has come."""

    fraction: float | None = None
    """From 0 to 1, if it has said."""
    message: str = ""

    @property
    def millionths(self) -> int:
        """Tell the fraction as an integer, whose sums are exact."""
        return 0 if self.fraction is None else round(self.fraction * 1_000_000)


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
    queued_name: str | None = None
    """The name of the limit it is queued for, or of the tool whose limit that is."""
    steps: tuple[StepRun, ...] = ()
    """In the order in which they were first asked for, those of earlier attempts too."""
    progress: Progress | None = None
    """Of the attempt in flight."""
    streamed_bytes: int = 0
    """What the last attempt streamed."""
    usage: Usage | None = None
    """Of all attempts."""

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
    trace_parent: str | None = None
    submitted_by: str | None = None
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
    """What the outputs of the nodes, what went in and out of steps and what was streamed take together."""
    usage: Usage | None = None
    progressed: int = 0
    """How far the attempts in flight say that they have come: the sum of their fractions, in millionths."""

    def node(self, key: NodeKey) -> NodeRun:
        """Find a node. Raises `KeyError` for one that is not in the plan."""
        return self.nodes[self.topology.index[key.id]]

    def step(self, key: NodeKey, step_id: str) -> StepRun | None:
        """Find a step of a node, if there is one of this id."""
        # From the end: what happens to a step happens soon after it was asked for.
        for step in reversed(self.node(key).steps):
            if step.id == step_id:
                return step
        return None

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
    """Waiting, since then, for a slot of this limit; `tool` is set when it is the tool's, `name` when it has one."""

    limit: SlotLimit
    since: datetime
    tool: str | None = None
    name: str | None = None


WaitingOn: TypeAlias = UpstreamNodes | RetryBackoff | SlotWait


def waiting_on(run: WorkflowRun, node: NodeRun) -> WaitingOn | None:
    """Say what keeps a node from running; nothing does if it runs or has ended."""
    match node.status:
        case NodeStatus.PENDING if run.status is RunStatus.PENDING:
            return SlotWait(SlotLimit.RUNS, run.created_at)
        case NodeStatus.PENDING:
            open_nodes = (run.nodes[i] for i in run.topology.dependencies[node.index])
            keys = tuple(other.key for other in open_nodes if not other.status.final)
            return UpstreamNodes(keys) if keys else None
        case NodeStatus.QUEUED:
            assert node.queued_for is not None
            assert node.queued_at is not None
            tool = run.plan.nodes[node.index].tool if node.queued_for is SlotLimit.TOOL else None
            return SlotWait(node.queued_for, node.queued_at, tool, node.queued_name)
        case NodeStatus.RETRYING:
            assert node.next_attempt_at is not None
            return RetryBackoff(node.next_attempt_at)
        case _:
            return None
