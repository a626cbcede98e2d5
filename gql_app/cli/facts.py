"""Tells of a run in this process what a client would be told of one on a server."""

from typing import Final

import msgspec

from gql_app.client import Failure, NodeProgress, NodeRun, Problem, RunEvent, Usage, WaitingOn, WorkflowRun
from gql_app.core import errors, events, run
from gql_app.core.ids import NodeKey
from gql_app.core.values import NULL, Json, Value

PREVIEW: Final = 200


def event_of(whole: run.WorkflowRun, event: events.RunEvent) -> RunEvent:
    """Tell what happened in a run, which is as it was then or later."""
    limit, name = _limit(event)
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
        **_shown(event),
        **_step(whole, event),
    )


def usage_of(usage: events.Usage | None) -> Usage | None:
    """Tell what language models were used for."""
    if usage is None:
        return None
    return Usage(
        requests=usage.requests,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=usage.cost_usd,
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
        progress=_progress(node.progress),
        usage=usage_of(node.usage),
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


def _limit(event: events.RunEvent) -> tuple[str | None, str | None]:
    """Tell what something has to wait for, and whose limit that is."""
    return (event.limit, event.name) if isinstance(event, events.NodeQueued | events.StepQueued) else (None, None)


def _progress(progress: run.Progress | None) -> NodeProgress | None:
    return None if progress is None else NodeProgress(fraction=progress.fraction, message=progress.message)


def _shown(event: events.RunEvent) -> dict[str, Json]:
    """Tell what an attempt has shown."""
    match event:
        case events.NodeOutputChunk():
            return {"text": event.text, "within_step": event.step, "truncated": event.truncated}
        case events.NodeLog():
            fields = msgspec.json.decode(event.fields)
            return {
                "level": event.level,
                "message": event.message,
                "fields": fields,
                "within_step": event.step,
                "truncated": event.truncated,
            }
        case events.NodeProgress():
            return {"fraction": event.fraction, "message": event.message}
        case _:
            return {}


def _step(whole: run.WorkflowRun, event: events.RunEvent) -> dict[str, Json]:
    """Tell which step an event is about, and what it says of it."""
    if not isinstance(event, events.StepQueued | events.StepStarted | events.StepFailed | events.StepCompleted):
        return {}
    step = whole.step(event.node, event.step)
    assert step is not None
    request = step.request
    told: dict[str, Json] = {"step_id": event.step, "step_kind": request.kind, "step_name": request.name}
    if isinstance(event, events.StepStarted):
        told["input_preview"] = _preview(request.input)
    elif isinstance(event, events.StepCompleted):
        told["output_preview"] = _preview(event.output)
    if not isinstance(event, events.StepQueued):
        told["step_attempt"] = event.step_attempt
    if isinstance(event, events.StepFailed | events.StepCompleted):
        told["usage"] = usage_of(event.usage)
    return told


def _preview(value: Value) -> str | None:
    """Write the beginning of a value; of one that is stored elsewhere only how big it is."""
    if value == NULL:
        return None
    if not value.inline:
        return f"({value.size:,} bytes)"
    text = bytes(value.json).decode()
    return text if len(text) <= PREVIEW else f"{text[: PREVIEW - 1]}…"
