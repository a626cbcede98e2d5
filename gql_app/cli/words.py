"""Puts what goes on in a run into words."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from gql_app.cli.activity import describe_progress
from gql_app.cli.output import clean
from gql_app.client import Failure, NodeRun, Problem, WaitingOn, WorkflowRun

NAMED_NODES: Final = 3
SHOWN_FAILURES: Final = 20

LIMITS: Final = {
    "RUNS": "for the whole run (as many as may be are under way)",
    "WORKFLOW": "of the workflow (maximumConcurrency)",
    "PROCESSES": "for a process (all are in use)",
    "EXECUTOR": "of the executor (all are in use)",
}
"""Which slots there are beside those of a tool and those of limits that have a name."""

SKIPPED: Final = {
    "CONDITION_FALSE": "its condition is false",
    "DEPENDENCY_UNAVAILABLE": "it reads the output of a node that has none",
    "WORKFLOW_STOPPING": "the workflow is stopping",
}
"""Why a node is skipped."""


def describe_failure(failure: Failure) -> str:
    """Say why something failed, in one line."""
    return clean(f"{failure.type}: {failure.message}" if failure.message else failure.type)


def describe_cause(failure: Failure) -> str:
    """Say why a run ended. That it was cancelled says its status, so only who did it and why is told; maybe nothing."""
    return clean(failure.message) if failure.type == "Cancelled" else describe_failure(failure)


def describe_state(node: NodeRun, now: datetime) -> str:
    """Say why a node is not running, or what became of it; nothing if there is nothing to say."""
    if node.waiting_on is not None:
        waits = _describe_wait(node.waiting_on, now)
        last = f" (after {describe_failure(node.error)})" if node.error else ""
        return waits + last
    if node.skip_reason:
        return SKIPPED.get(node.skip_reason, node.skip_reason)
    if node.error:
        state = f" ({node.retry_state})" if node.retry_state else ""
        return describe_failure(node.error) + state
    return describe_progress(node.progress, bar=True) if node.progress is not None else ""


def describe_end(run: WorkflowRun) -> list[str]:
    """Say how a run ended that did not complete, and which nodes failed and why nothing was tried again."""
    failed = [node for node in run.nodes if node.status == "FAILED"]
    shown = failed[:SHOWN_FAILURES]
    lines = [f"Run {run.id} is {run.status}{_describe_reason(run.error, shown)}"]
    for node in shown:
        attempts = "1 attempt" if node.attempt == 1 else f"{node.attempt} attempts"
        why = describe_failure(node.error) if node.error else "failed"
        lines.append(f"  {node.id}: {why} ({node.retry_state or 'FAILED'} after {attempts})")
    if len(failed) > len(shown):
        lines.append(f"  … and {len(failed) - len(shown)} more")
    return lines


def _describe_reason(error: Failure | None, shown: Iterable[NodeRun]) -> str:
    """Say why a run ended; if a node that is shown says it, only which one."""
    if error is None:
        return ""
    told = describe_failure(error)
    if any(node.id == error.node_id and node.error and describe_failure(node.error) == told for node in shown):
        return f" because of {error.node_id}"
    cause = describe_cause(error)
    return f": {cause}" if cause else ""


def describe_problems(problems: Iterable[Problem]) -> list[str]:
    """Say what is wrong with a document: code, place, reason and way out, problem by problem."""
    lines = []
    for problem in problems:
        # The message of a bad expression shows the place on lines of its own.
        first, *rest = problem.message.splitlines() or [""]
        lines.append(f"{problem.code} at {clean(problem.pointer) or 'the top'}: {clean(first, 2_000)}")
        lines += [f"    {line.translate(_NO_CONTROLS)}" for line in rest]
        if problem.hint:
            lines.append(f"    {clean(problem.hint)}")
    return lines


def format_seconds(seconds: float) -> str:
    """Write a duration with as much detail as people want."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def describe_limit(limit: str, name: str | None) -> str:
    """Say whose slot somebody waits for."""
    match limit:
        case "NAMED":
            return f"of the limit {clean(name or '')}"
        case "RATE":
            return f"in the rate of {clean(name or '')}"
        case _:
            return LIMITS.get(limit) or (f"of the tool {clean(name)}" if name else "of its tool")


def describe_delay(seconds: float) -> str:
    """Say when something comes that is so far away."""
    return "now" if seconds < 0.05 else f"in {format_seconds(seconds)}"


def add_sentence(text: str, sentence: str) -> str:
    """Go on after a text that may be a sentence itself."""
    if text.endswith((".", "!", "?", "…")):
        return f"{text} {sentence[:1].upper()}{sentence[1:]}"
    return f"{text}; {sentence}"


def seconds_to(instant: datetime, now: datetime) -> float:
    """Tell how long it takes until then; nothing if it is past."""
    return max(0.0, (instant - now).total_seconds())


def _describe_wait(wait: WaitingOn, now: datetime) -> str:
    if wait.until is not None:
        return f"next attempt {describe_delay(seconds_to(wait.until, now))}"
    if wait.limit is not None:
        return f"waits for a slot {describe_limit(wait.limit, wait.name or wait.tool)}"
    names = ", ".join(wait.node_ids[:NAMED_NODES])
    more = len(wait.node_ids) - NAMED_NODES
    return f"waits for {names}" + (f" and {more} more" if more > 0 else "")


_NO_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != 9}
