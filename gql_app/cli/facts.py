"""Tells of a run in this process what a client would be told of one on a server."""

from gql_app.client import Failure, NodeRun, Problem, RunEvent, WaitingOn, WorkflowRun
from gql_app.core import errors, events, run
from gql_app.core.ids import NodeKey


def event_of(event: events.RunEvent) -> RunEvent:
    """Tell what happened."""
    limit, name = (event.limit, event.name) if isinstance(event, events.NodeQueued) else (None, None)
    node: NodeKey | None = getattr(event, "node", None)
    cause: NodeKey | None = getattr(event, "cause", None)
    error: events.Failure | None = getattr(event, "error", None)
    return RunEvent(
        kind=type(event).__name__,
        sequence=event.sequence,
        at=event.at,
        node_id=str(node) if node is not None else None,
        attempt=getattr(event, "attempt", None),
        error=failure_of(error),
        retry_at=getattr(event, "retry_at", None),
        retry_state=getattr(event, "retry_state", None),
        reason=getattr(event, "reason", None),
        limit=limit,
        limit_name=name,
        outcome=getattr(event, "outcome", None),
        cause=str(cause) if cause is not None else None,
    )


def node_of(whole: run.WorkflowRun, node: run.NodeRun) -> NodeRun:
    """Tell how a node is."""
    plan = whole.plan.nodes[node.index]
    last = node.attempts[-1] if node.attempts else None
    error = node.error or (last.error if last is not None and node.status is run.NodeStatus.RETRYING else None)
    return NodeRun(
        id=str(node.key),
        status=node.status,
        tool=plan.tool,
        attempt=last.number if last is not None else 0,
        maximum_attempts=plan.retry.maximum_attempts,
        next_attempt_at=node.next_attempt_at,
        started_at=node.started_at,
        finished_at=node.finished_at,
        skip_reason=node.skip_reason,
        retry_state=node.retry_state,
        error=failure_of(error),
        waiting_on=_waiting_on(whole, node),
    )


def run_of(whole: run.WorkflowRun) -> WorkflowRun:
    """Tell how a run is, with the nodes that failed."""
    return WorkflowRun(
        id=whole.run_id,
        status=whole.status,
        name=whole.plan.name,
        sequence=whole.sequence,
        error=failure_of(whole.error),
        nodes=tuple(node_of(whole, node) for node in whole.nodes if node.status is run.NodeStatus.FAILED),
    )


def problem_of(problem: errors.Problem) -> Problem:
    """Tell what is wrong with a document."""
    return Problem(
        code=problem.code,
        message=problem.message,
        pointer=problem.pointer,
        node_id=problem.node_id,
        hint=problem.hint,
    )


def failure_of(failure: events.Failure | None) -> Failure | None:
    """Tell why something failed."""
    if failure is None:
        return None
    node_id = str(failure.node) if failure.node is not None else None
    return Failure(type=failure.type, message=failure.message, node_id=node_id)


def _waiting_on(whole: run.WorkflowRun, node: run.NodeRun) -> WaitingOn | None:
    match run.waiting_on(whole, node):
        case run.UpstreamNodes(nodes):
            return WaitingOn(kind="WaitingOnNodes", node_ids=tuple(map(str, nodes)))
        case run.RetryBackoff(until):
            return WaitingOn(kind="WaitingOnRetry", until=until)
        case run.SlotWait() as wait:
            return WaitingOn(kind="WaitingOnSlot", limit=wait.limit, since=wait.since, tool=wait.tool, name=wait.name)
        case None:
            return None
