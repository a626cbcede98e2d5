"""What the nodes of a run show at the moment, beside where they stand: text, and the steps they are at."""

from collections.abc import Sequence
from typing import Final

from gql_app.cli.activity import doing
from gql_app.cli.output import clean
from gql_app.cli.streamed import Streamed
from gql_app.client import RunEvent

_ATTEMPT_ENDS: Final = frozenset(
    {"AttemptStarted", "AttemptFailed", "AttemptTimedOut", "AttemptLost", "AttemptCancelled", "NodeCompleted"}
)


class Shown:
    """What events have told of the attempts in flight."""

    def __init__(self) -> None:
        self._streamed = Streamed()
        self._steps: dict[str, dict[str, str]] = {}

    def tell(self, event: RunEvent) -> None:
        """Let an event have happened."""
        self._streamed.tell(event)
        if event.node_id is None:
            return
        if event.kind in _ATTEMPT_ENDS:
            self._steps.pop(event.node_id, None)
        elif event.step_id is not None:
            steps = self._steps.setdefault(event.node_id, {})
            if event.kind == "StepStarted":
                steps[event.step_id] = doing(event)
            elif event.kind == "StepFailed" and event.retry_at is not None:
                steps[event.step_id] = f"tries again: {doing(event)}"
            elif event.kind in {"StepFailed", "StepCompleted"}:
                steps.pop(event.step_id, None)

    def steps(self, node_id: str) -> str:
        """Say what a node is at."""
        return "; ".join(self._steps.get(node_id, {}).values())

    def last_lines(self, node_id: str, *, room: int, width: int) -> Sequence[str]:
        """Give the end of a node's text in so many lines of so many characters."""
        lines: list[str] = []
        for line in self._streamed.text(node_id).split("\n"):
            shown = clean(line, len(line) + 1)
            lines += [shown[start : start + width] for start in range(0, len(shown), width)]
        return lines[-room:] if room > 0 else []
