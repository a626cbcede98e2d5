"""The fold of what happens inside attempts: what they show, and their steps."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from gql_app.core.event_parts import Event, Usage, add_usage
from gql_app.core.ids import NodeKey
from gql_app.core.run import NodeRun, Progress, WorkflowRun
from gql_app.core.step_events import (
    NodeLog,
    NodeOutputChunk,
    NodeProgress,
    StepCompleted,
    StepFailed,
    StepQueued,
    StepStarted,
)
from gql_app.core.step_run import FINAL_STEP, StepRun, StepStatus


def end_steps(steps: tuple[StepRun, ...], status: StepStatus, at: datetime, *, within: str = "") -> tuple[StepRun, ...]:
    """Let the steps that go on end with the attempt of their node, or with the try of the step that they are within."""
    if not any(step.id.startswith(within) and step.status not in FINAL_STEP for step in steps):
        return steps
    return tuple(
        msgspec.structs.replace(
            step,
            status=status,
            finished_at=at,
            next_attempt_at=None,
            queued_at=None,
            queued_for=None,
            queued_name=None,
        )
        if step.id.startswith(within) and step.status not in FINAL_STEP
        else step
        for step in steps
    )


def inner_steps(node: NodeRun, step: StepRun) -> list[StepRun]:
    """Find the steps that go on within a step of a node, at any depth."""
    within = f"{step.id}/"
    return [
        other for other in _after(node.steps, step) if other.id.startswith(within) and other.status not in FINAL_STEP
    ]


def _after(steps: tuple[StepRun, ...], step: StepRun) -> tuple[StepRun, ...]:
    """Give the steps that were asked for after one: those within it are among them, and mostly there are few."""
    place = _place(steps, step.id)
    return () if place is None else steps[place + 1 :]


def _place(steps: tuple[StepRun, ...], step_id: str) -> int | None:
    """Find where a step stands, from the end: what happens to one happens soon after it was asked for."""
    for place in range(len(steps) - 1, -1, -1):
        if steps[place].id == step_id:
            return place
    return None


def _output_chunk(run: WorkflowRun, event: NodeOutputChunk) -> Sequence[int]:
    size = len(event.text.encode())
    node = run.node(event.node)
    run.nodes[node.index] = msgspec.structs.replace(node, streamed_bytes=node.streamed_bytes + size)
    run.value_bytes += size
    return ()


def _log(run: WorkflowRun, event: NodeLog) -> Sequence[int]:
    run.value_bytes += len(event.message.encode()) + len(memoryview(event.fields))
    return ()


def _progress(run: WorkflowRun, event: NodeProgress) -> Sequence[int]:
    node = run.node(event.node)
    before, now = node.progress or Progress(), Progress(event.fraction, event.message)
    run.progressed += now.millionths - before.millionths
    run.nodes[node.index] = msgspec.structs.replace(node, progress=now)
    return ()


def _queued(run: WorkflowRun, event: StepQueued) -> Sequence[int]:
    node, before = run.node(event.node), run.step(event.node, event.step)
    step = _asked_for(run, event, before)
    since = step.queued_at if step.status is StepStatus.QUEUED and step.queued_at is not None else event.at
    _put(
        run,
        node,
        msgspec.structs.replace(
            step,
            status=StepStatus.QUEUED,
            queued_at=since,
            queued_for=event.limit,
            queued_name=event.name,
            next_attempt_at=None,
        ),
    )
    return ()


def _started(run: WorkflowRun, event: StepStarted) -> Sequence[int]:
    node, before = run.node(event.node), run.step(event.node, event.step)
    step = _asked_for(run, event, before)
    _put(
        run,
        node,
        msgspec.structs.replace(
            step,
            status=StepStatus.RUNNING,
            attempt=event.step_attempt,
            started_at=step.started_at or event.at,
            attempt_started_at=event.at,
            queued_at=None,
            queued_for=None,
            queued_name=None,
            next_attempt_at=None,
        ),
    )
    return ()


def _asked_for(run: WorkflowRun, event: StepQueued | StepStarted, before: StepRun | None) -> StepRun:
    """Give the step as it is now, or as it begins when an attempt asks for it."""
    if event.request is None:
        assert before is not None, f"Step {event.step!r} begins without a request."
        return before
    run.value_bytes += event.request.input.size
    if before is None:
        return StepRun(id=event.step, node_attempt=event.attempt, request=event.request, status=StepStatus.QUEUED)
    tried = before.attempt if before.node_attempt == event.attempt else 0
    return StepRun(
        id=event.step,
        node_attempt=event.attempt,
        request=event.request,
        status=StepStatus.QUEUED,
        attempt=tried,
        tried_before=tried,
        usage=before.usage,
    )


def _failed(run: WorkflowRun, event: StepFailed) -> Sequence[int]:
    step = run.step(event.node, event.step)
    assert step is not None
    retried = event.retry_at is not None
    step = msgspec.structs.replace(
        step,
        status=StepStatus.RETRYING if retried else StepStatus.FAILED,
        error=event.error,
        retry_state=event.retry_state,
        next_attempt_at=event.retry_at,
        finished_at=None if retried else event.at,
        usage=add_usage(step.usage, event.usage),
        queued_at=None,
        queued_for=None,
        queued_name=None,
    )
    _end(run, event.node, step)
    _use(run, event.node, event.usage)
    return ()


def _completed(run: WorkflowRun, event: StepCompleted) -> Sequence[int]:
    step = run.step(event.node, event.step)
    assert step is not None
    step = msgspec.structs.replace(
        step,
        status=StepStatus.COMPLETED,
        output=event.output,
        error=None,
        finished_at=event.at,
        usage=add_usage(step.usage, event.usage),
    )
    run.value_bytes += event.output.size
    _end(run, event.node, step)
    _use(run, event.node, event.usage)
    return ()


def _end(run: WorkflowRun, key: NodeKey, step: StepRun) -> None:
    """Let a try of a step have ended, and with it the steps that it was taking."""
    node = run.node(key)
    if inner_steps(node, step):
        steps = end_steps(node.steps, StepStatus.CANCELLED, run.at, within=f"{step.id}/")
        node = msgspec.structs.replace(node, steps=steps)
    _put(run, node, step)


def _put(run: WorkflowRun, node: NodeRun, step: StepRun) -> None:
    place, steps = _place(node.steps, step.id), (*node.steps, step)
    if place is not None:
        steps = (*node.steps[:place], step, *node.steps[place + 1 :])
    run.nodes[node.index] = msgspec.structs.replace(node, steps=steps)


def _use(run: WorkflowRun, key: NodeKey, usage: Usage | None) -> None:
    """Add up what was used, for the attempt in flight, the node and the run."""
    if usage is None:
        return
    node = run.node(key)
    last = node.attempts[-1]
    last = msgspec.structs.replace(last, usage=add_usage(last.usage, usage))
    run.nodes[node.index] = msgspec.structs.replace(
        node, attempts=(*node.attempts[:-1], last), usage=add_usage(node.usage, usage)
    )
    run.usage = add_usage(run.usage, usage)


# One function per event type, each typed for its own event; the table cannot say so.
APPLY: Final[dict[type[Event], Callable[..., Sequence[int]]]] = {
    NodeOutputChunk: _output_chunk,
    NodeLog: _log,
    NodeProgress: _progress,
    StepQueued: _queued,
    StepStarted: _started,
    StepFailed: _failed,
    StepCompleted: _completed,
}
