"""The log of a run made into the run: one function for each type of event, and nothing else changes a run."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from gql_app.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    AttemptTimedOut,
    Event,
    NodeCancelled,
    NodeCompleted,
    NodeFailed,
    NodeQueued,
    NodeReused,
    NodeSkipped,
    Outcome,
    RunEvent,
    SlotLimit,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    WorkflowStopping,
    WorkflowSubmitted,
    WorkflowTimedOut,
)
from gql_app.core.plan import Plan
from gql_app.core.run import Attempt, AttemptStatus, NodeRun, NodeStatus, RunStatus, Topology, WorkflowRun
from gql_app.core.step_fold import APPLY, end_steps
from gql_app.core.step_run import StepStatus


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
        trace_parent=event.trace_parent,
        submitted_by=event.submitted_by,
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
        node,
        status=NodeStatus.QUEUED,
        queued_at=since,
        queued_for=event.limit,
        queued_name=event.name,
        next_attempt_at=None,
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
    started = NodeRun(i, node.key, NodeStatus.RUNNING, (*node.attempts, Attempt(event.attempt, event.at)))
    if node.steps or node.usage is not None:
        started = msgspec.structs.replace(started, steps=node.steps, usage=node.usage)
    run.nodes[i] = started
    return ()


def _end_progress(run: WorkflowRun, node: NodeRun) -> None:
    """Let what the attempt said of its progress no longer count."""
    if node.progress is not None:
        run.progressed -= node.progress.millionths


def _attempt_ended(
    run: WorkflowRun, event: AttemptFailed | AttemptTimedOut | AttemptLost | AttemptCancelled
) -> Sequence[int]:
    i = run.topology.index[event.node.id]
    node = run.nodes[i]
    run.running -= 1
    _end_progress(run, node)
    error, retry_at = (None, None) if isinstance(event, AttemptCancelled) else (event.error, event.retry_at)
    last = msgspec.structs.replace(node.attempts[-1], status=_ENDED[type(event)], finished_at=event.at, error=error)
    run.nodes[i] = msgspec.structs.replace(
        node,
        attempts=(*node.attempts[:-1], last),
        status=NodeStatus.RETRYING if retry_at is not None else node.status,
        next_attempt_at=retry_at,
        progress=None,
        steps=node.steps and end_steps(node.steps, _ENDED_STEPS[type(event)], event.at),
    )
    return ()


def _node_completed(run: WorkflowRun, event: NodeCompleted) -> Sequence[int]:
    i = run.topology.index[event.node.id]
    node = run.nodes[i]
    run.running -= 1
    last = node.attempts[-1]
    done = Attempt(last.number, last.started_at, AttemptStatus.COMPLETED, event.at, usage=last.usage)
    attempts = (done,) if len(node.attempts) == 1 else (*node.attempts[:-1], done)
    completed = NodeRun(i, node.key, NodeStatus.COMPLETED, attempts, event.output, finished_at=event.at)
    if node.steps or node.progress is not None or node.streamed_bytes:
        _end_progress(run, node)
        completed = msgspec.structs.replace(
            completed,
            steps=end_steps(node.steps, StepStatus.CANCELLED, event.at),
            streamed_bytes=node.streamed_bytes,
            usage=node.usage,
        )
    run.nodes[i] = completed
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
_ENDED_STEPS: Final[dict[type[Event], StepStatus]] = {
    AttemptFailed: StepStatus.CANCELLED,
    AttemptTimedOut: StepStatus.CANCELLED,
    AttemptLost: StepStatus.LOST,
    AttemptCancelled: StepStatus.CANCELLED,
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
    **APPLY,
}
