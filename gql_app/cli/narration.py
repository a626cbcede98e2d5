"""Tells the events of a run in lines, and why something failed only where it is new."""

from typing import Final

from gql_app.cli.activity import SHOWN_KINDS, describe_activity
from gql_app.cli.streamed import Streamed
from gql_app.cli.words import (
    SKIPPED,
    add_sentence,
    describe_cause,
    describe_delay,
    describe_failure,
    describe_limit,
    seconds_to,
)
from gql_app.client import RunEvent

_EVENTS: Final = {
    "WorkflowSubmitted": "submitted",
    "WorkflowStarted": "started",
    "WorkflowStopping": "stopping",
    "WorkflowCompleted": "completed",
    "WorkflowFailed": "failed",
    "WorkflowCancelled": "cancelled",
    "WorkflowTimedOut": "timed out",
    "NodeReused": "completed in the run before",
    "NodeQueued": "waits for a slot",
    "NodeCompleted": "completed",
    "NodeFailed": "failed",
    "NodeSkipped": "skipped",
    "NodeCancelled": "cancelled",
    "AttemptStarted": "started",
    "AttemptFailed": "failed",
    "AttemptTimedOut": "timed out",
    "AttemptLost": "lost",
    "AttemptCancelled": "cancelled",
}


class Narrator:
    """Puts one event after the other into words, but for streamed text.

    It remembers the last error told of each node, and of the run, and what became void.
    """

    def __init__(self) -> None:
        self._told: dict[str | None, str] = {}
        self._streamed = Streamed()

    def describe(self, event: RunEvent) -> str:
        """Say what happened, in one line."""
        void = self._streamed.tell(event)
        line = _what(event) + self._why(event)
        if void:
            line = add_sentence(line, "what it wrote is void")
        if event.retry_at:
            delay = describe_delay(seconds_to(event.retry_at, event.at))
            return add_sentence(line, f"next {'attempt' if event.step_id is None else 'try'} {delay}")
        return line

    def _why(self, event: RunEvent) -> str:
        """Tell the error; of one that was told where it happened, only where that was."""
        if event.error is None:
            return ""
        whose = event.node_id or event.error.node_id
        # An attempt's error is news even if the one before failed alike.
        if event.attempt is None and self._told.get(whose) == describe_failure(event.error):
            return "" if event.node_id or whose is None else f" because of {whose}"
        self._told[whose] = describe_failure(event.error)
        reason = describe_failure(event.error) if event.node_id else describe_cause(event.error)
        return f": {reason}" if reason else ""


def _what(event: RunEvent) -> str:
    if event.kind in SHOWN_KINDS:
        what = describe_activity(event)
        if event.limit:
            return f"{what} waits for a slot {describe_limit(event.limit, event.limit_name)}"
        return f"{what} ({event.retry_state})" if event.retry_state else what
    what = _EVENTS.get(event.kind, event.kind)
    if event.kind == "NodeQueued" and event.limit:
        return f"waits for a slot {describe_limit(event.limit, event.limit_name)}"
    if event.kind == "NodeSkipped" and event.reason:
        cause = f" ({event.cause})" if event.cause else ""
        return f"skipped: {SKIPPED.get(event.reason, event.reason)}{cause}"
    if event.kind == "AttemptLost" and event.reason:
        what = f"{what} ({event.reason})"
    if event.attempt is not None:
        ended = event.kind == "NodeCompleted"
        what = f"{what} (attempt {event.attempt})" if ended else f"attempt {event.attempt} {what}"
    if event.outcome:
        return f"{what}, will be {event.outcome}"
    return f"{what} ({event.retry_state})" if event.retry_state else what
