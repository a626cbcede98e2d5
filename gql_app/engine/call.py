"""A call of a tool while it goes on: an attempt of a node, or a try of one of its steps."""

import asyncio
from datetime import datetime

from gql_app.core.events import Usage
from gql_app.core.ids import NodeKey
from gql_app.core.redaction import Redactor


class Call:
    """One attempt of a node, or (with `step`) one try of a step of it, while it goes on."""

    __slots__ = (
        "abandoned",
        "attempt",
        "beat_at",
        "in_thread",
        "isolation",
        "node",
        "parent",
        "redactor",
        "started",
        "started_at",
        "step",
        "step_attempt",
        "stopping",
        "task",
        "usage",
    )

    def __init__(
        self,
        node: NodeKey,
        attempt: int,
        started_at: datetime,
        *,
        step: str | None = None,
        step_attempt: int = 0,
        parent: "Call | None" = None,
    ) -> None:
        self.node = node
        self.attempt = attempt
        self.started_at = started_at
        self.step = step
        self.step_attempt = step_attempt
        self.parent = parent
        self.isolation = "async"
        self.started = False
        self.stopping = False
        self.abandoned = False
        self.in_thread = False
        self.beat_at: datetime | None = None
        self.task: asyncio.Task[None] | None = None
        self.usage: Usage | None = None
        """What language models were used for, as far as the call has said."""
        self.redactor: Redactor | None = parent.redactor if parent is not None else None
        """Takes out the secrets that the call was handed, if it was."""

    def stopped(self) -> bool:
        """Whether the attempt, or what the step is part of, was asked to stop."""
        return self.stopping or self.abandoned or (self.parent is not None and self.parent.stopped())

    def beat(self, now: datetime) -> None:
        """Give a sign of life, which is one of what the step is part of, too."""
        call: Call | None = self
        while call is not None:
            call.beat_at = now
            call = call.parent

    def interrupt(self) -> None:
        """Cancel the task, unless it has not begun: it looks for itself then."""
        if self.started and self.task is not None:
            self.task.cancel()
