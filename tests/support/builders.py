"""Plans, runs and signals in a few words."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from gql_app.core.events import Failure, RunEvent, WorkflowSubmitted
from gql_app.core.fold import begin
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace, NodeKey, RunId
from gql_app.core.machine import Step, advance
from gql_app.core.plan import NodePlan, Plan
from gql_app.core.run import NodeRun, NodeStatus, WorkflowRun
from gql_app.core.signals import (
    AttemptErred,
    AttemptStopped,
    AttemptSucceeded,
    Begin,
    Command,
    Evaluated,
    EvaluationTarget,
    Signal,
    Slots,
    TimerFired,
    TimerKind,
    Unlimited,
)
from gql_app.core.spec import Budget, RetryPolicy, TimeoutPolicy
from gql_app.core.values import NULL, Json, Value
from gql_app.testing.virtual_time import NOON

RUN_ID = RunId("019c0000-0000-7000-8000-000000000001")
AT_ONCE = RetryPolicy(maximum_attempts=3, initial_interval_seconds=1.0)
ONCE = RetryPolicy(maximum_attempts=1)


def node(
    name: str,
    *,
    after: Iterable[str] = (),
    reads: Iterable[str] = (),
    tool: str = "echo",
    retry: RetryPolicy = AT_ONCE,
    timeout: TimeoutPolicy | None = None,
    **fields: Json,
) -> NodePlan:
    """Plan a node; what it reads it also depends on. Other fields are those of `NodePlan`."""
    return NodePlan(
        key=NodeKey(name),
        tool=tool,
        depends_on=tuple(dict.fromkeys((*after, *reads))),
        reads=tuple(reads),
        retry=retry,
        timeout=timeout or TimeoutPolicy(),
        **fields,
    )


def plan(
    *nodes: NodePlan,
    output: Json = None,
    timeout_seconds: float = 3600.0,
    maximum_concurrency: int | None = None,
    budget: Budget | None = None,
) -> Plan:
    """Plan a workflow."""
    return Plan(
        name="test",
        nodes=nodes,
        output=output,
        timeout_seconds=timeout_seconds,
        maximum_concurrency=maximum_concurrency,
        budget=budget,
    )


def submitted(
    what: Plan,
    *,
    run_id: RunId = RUN_ID,
    at: datetime = NOON,
    value: Value = NULL,
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> WorkflowSubmitted:
    """Make the first event of a run."""
    return WorkflowSubmitted(
        sequence=1,
        at=at,
        run_id=run_id,
        namespace=namespace,
        plan=what,
        document=msgspec.Raw(b"{}"),
        input=value,
    )


def kinds(events: Sequence[RunEvent]) -> list[type]:
    """Tell the types of events."""
    return [type(event) for event in events]


def inline(data: bytes) -> Value:
    """Make an inline value of JSON."""
    return Value(json=msgspec.Raw(data), size=len(data))


class Story:
    """A run that is told one thing after another, its whole log, and what must go on."""

    def __init__(self, *nodes: NodePlan, slots: Slots | None = None, begun: bool = True, **options: Json) -> None:
        first = submitted(plan(*nodes, **options))
        self.slots = slots or Unlimited()
        self.now = NOON
        self.run: WorkflowRun = begin(first)
        self.log: list[RunEvent] = [first]
        self.commands: list[Command] = []
        if begun:
            self.tell(Begin())

    def tell(self, signal: Signal, *, after: float = 0.0) -> list[RunEvent]:
        """Tell the run something, so many seconds later; says what happened."""
        self.now += timedelta(seconds=after)
        step: Step = advance(self.run, signal, self.now, self.slots)
        self.log += step.events
        self.commands = step.commands
        return step.events

    def succeed(self, name: str, *, after: float = 0.0, output: Value = NULL) -> list[RunEvent]:
        """Let the attempt in flight return."""
        attempt = len(self[name].attempts)
        return self.tell(AttemptSucceeded(node=NodeKey(name), attempt=attempt, output=output), after=after)

    def fail(
        self,
        name: str,
        *,
        after: float = 0.0,
        type: str = "Boom",
        retryable: bool = True,
        retry_after: float | None = None,
        draw: float = 0.5,
    ) -> list[RunEvent]:
        """Let the attempt in flight fail."""
        error = Failure(type, "it broke", retryable, retry_after)
        attempt = len(self[name].attempts)
        return self.tell(AttemptErred(node=NodeKey(name), attempt=attempt, error=error, draw=draw), after=after)

    def stopped(self, name: str, *, after: float = 0.0) -> list[RunEvent]:
        """Let the attempt in flight have stopped, as it was asked to."""
        return self.tell(AttemptStopped(node=NodeKey(name), attempt=len(self[name].attempts)), after=after)

    def fire(
        self,
        kind: TimerKind,
        name: str | None = None,
        *,
        after: float = 0.0,
        attempt: int | None = None,
        beat_at: datetime | None = None,
    ) -> list[RunEvent]:
        """Let a timer fire, of the attempt in flight or the next one if there is none."""
        key = None if name is None else NodeKey(name)
        if attempt is None and name is not None:
            attempt = len(self[name].attempts) + (kind is TimerKind.RETRY)
        return self.tell(TimerFired(kind=kind, node=key, attempt=attempt or 0, beat_at=beat_at), after=after)

    def when(self, name: str, truth: bool | None, *, error: Failure | None = None) -> list[RunEvent]:
        """Answer a node's condition."""
        return self.tell(Evaluated(target=EvaluationTarget.WHEN, node=NodeKey(name), truth=truth, error=error))

    def answer_output(self, output: Value = NULL, *, error: Failure | None = None) -> list[RunEvent]:
        """Answer the run's output."""
        return self.tell(Evaluated(target=EvaluationTarget.OUTPUT, output=output, error=error))

    def __getitem__(self, name: str) -> NodeRun:
        return self.run.node(NodeKey(name))

    def statuses(self) -> dict[str, NodeStatus]:
        """Tell where every node stands."""
        return {node.key.id: node.status for node in self.run.nodes}
