"""A call of a tool while it goes on: an attempt of a node, or a try of one of its steps."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from gql_app.core.events import Usage
from gql_app.core.ids import NodeKey
from gql_app.core.redaction import Redactor
from gql_app.core.run import WorkflowRun
from gql_app.core.signals import Signal
from gql_app.core.values import Json, Value
from gql_app.engine.streams import AttemptStream
from gql_app.ports import StepSpec, StepWork, Tool


class CallHost(Protocol):
    """The run that a call is of."""

    @property
    def run(self) -> WorkflowRun:
        """Give the run as it is."""
        ...

    def tell(self, signal: Signal) -> None:
        """Tell the run something."""
        ...

    def keep(self, values: Mapping[str, bytes]) -> None:
        """Let values be stored with what is told next."""
        ...

    async def load(self, value: Value) -> Json:
        """Read a value of the run."""
        ...

    async def do_step(
        self, call: "Call", spec: StepSpec, *, work: StepWork | None = None, tool: Tool | None = None
    ) -> Json:
        """Do a step that a call asks for, `work` or the call of a tool, unless it has been done.

        Raises `StepFailedError` once it is given up.
        """
        ...

    def called(self, call: "Call", signal: Signal, values: dict[str, bytes]) -> None:
        """Hear that an attempt has ended: what to tell the run, and the values to store with it."""
        ...


class Call:
    """One attempt of a node, or (with `step`) one try of a step of it, while it goes on."""

    __slots__ = (
        "abandoned",
        "asked",
        "attempt",
        "beat_at",
        "deadline",
        "host",
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
        "stream",
        "task",
        "usage",
    )

    def __init__(
        self,
        host: CallHost,
        node: NodeKey,
        attempt: int,
        started_at: datetime,
        *,
        step: str | None = None,
        step_attempt: int = 0,
        parent: "Call | None" = None,
    ) -> None:
        self.host = host
        self.node = node
        self.attempt = attempt
        self.started_at = started_at
        self.step = step
        self.step_attempt = step_attempt
        self.parent = parent
        self.deadline: datetime | None = None
        self.isolation = "async"
        self.started = False
        self.stopping = False
        self.asked = False
        """Whether it has asked for a step."""
        self.abandoned = False
        self.in_thread = False
        self.beat_at: datetime | None = None
        self.task: asyncio.Task[None] | None = None
        self.stream: AttemptStream | None = None
        """What the attempt shows, once it shows something. Its steps show theirs there."""
        self.usage: Usage | None = None
        """What language models were used for, as far as the call has said."""
        self.redactor: Redactor | None = parent.redactor if parent is not None else None
        """Takes out the secrets that the call was handed, if it was."""

    @property
    def root(self) -> "Call":
        """Give the attempt that the call is, or is part of."""
        call = self
        while call.parent is not None:
            call = call.parent
        return call

    def is_within(self, outer: "Call") -> bool:
        """Tell whether the call is another one, or part of it."""
        call: Call | None = self
        while call is not None and call is not outer:
            call = call.parent
        return call is outer

    def stopped(self) -> bool:
        """Whether the attempt, or what the step is part of, was asked to stop."""
        return self.stopping or self.abandoned or (self.parent is not None and self.parent.stopped())

    def over(self) -> bool:
        """Whether the call, or what it is part of, has ended or was let go of: nothing that it says counts any more."""
        call: Call | None = self
        while call is not None:
            if call.abandoned or call.task is None:
                return True
            call = call.parent
        return False

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
