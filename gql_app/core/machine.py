"""Every rule of a run, in one place: what follows when it is told something.

The machine knows no clock, no randomness and no value of a node. It is told a `Signal` at a time, says what happened
(`RunEvent`) and what must go on from there (`Command`). A signal about an attempt or a timer that is over is ignored.
An event costs in proportion to its node's dependents, never to the size of the run; only stopping and beginning look
at every node, once.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from gql_app.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    AttemptTimedOut,
    Failure,
    LostReason,
    NodeCancelled,
    NodeCompleted,
    NodeFailed,
    NodeQueued,
    NodeSkipped,
    Outcome,
    RetryState,
    RunEvent,
    SkipReason,
    SlotLimit,
    Timeout,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    WorkflowStopping,
    WorkflowTimedOut,
)
from gql_app.core.fold import evolve
from gql_app.core.ids import NodeKey
from gql_app.core.run import NodeRun, NodeStatus, RunStatus, WorkflowRun
from gql_app.core.signals import (
    AttemptErred,
    AttemptStopped,
    AttemptSucceeded,
    Begin,
    CancelRequested,
    Command,
    Evaluate,
    Evaluated,
    EvaluationTarget,
    SetTimer,
    ShuttingDown,
    Signal,
    SlotGranted,
    SlotMoved,
    Slots,
    StartAttempt,
    StopAttempt,
    TimerFired,
    TimerKind,
    Unlimited,
)
from gql_app.core.spec import DAYS_30, Jitter, RetryPolicy

GOLDEN_RATIO: Final = 0.618_033_988_749_895
"""Steps of this size, modulo 1, spread the draws of several attempts that are lost at once."""


class Step(NamedTuple):
    """What follows from a signal: what happened, and what must go on."""

    events: list[RunEvent]
    commands: list[Command]


def advance(run: WorkflowRun, signal: Signal, now: datetime, slots: Slots) -> Step:
    """Tell `run` a signal at `now`: it is changed, and what happened and must go on is returned."""
    turn = Turn(run, now, slots)
    turn.tell(signal)
    return Step(turn.events, turn.commands)


def decide(run: WorkflowRun, signal: Signal, now: datetime, slots: Slots | None = None) -> list[RunEvent]:
    """Say what would happen to `run` if it were told `signal` at `now`; it is left as it is."""
    return advance(run.copy(), signal, now, slots or Unlimited()).events


def retry_delay(policy: RetryPolicy, attempt: int, draw: float) -> float:
    """Tell the seconds between a failed attempt and the next: exponential, capped, with full jitter.

    Full jitter is uniform between nothing and the delay
    ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """
    delay = min(
        policy.maximum_interval_seconds, policy.initial_interval_seconds * policy.backoff_coefficient ** (attempt - 1)
    )
    return delay * draw if policy.jitter is Jitter.FULL else delay


class Turn:
    """One or more signals told to a run at one instant, and what follows from them. While `closing`, nothing starts."""

    __slots__ = ("_closing", "_fresh", "commands", "events", "now", "run", "slots", "unanswered")

    def __init__(self, run: WorkflowRun, now: datetime, slots: Slots, *, closing: bool = False) -> None:
        self.run = run
        self.now = max(now, run.at)
        self.slots = slots
        self.events: list[RunEvent] = []
        self.commands: list[Command] = []
        self.unanswered: list[Evaluate] = []
        """Those of the commands that ask for an evaluation; for a shell that answers within the turn."""
        self._fresh: list[int] = []
        self._closing = closing

    def tell(self, signal: Signal) -> None:
        """Tell the run a signal and let everything follow that follows at once."""
        run = self.run
        if run.finished_at is not None:
            if type(signal) is SlotGranted:
                self.slots.release(signal.node)
            return
        unfinished = run.unfinished
        _HANDLERS[type(signal)](self, signal)
        while self._fresh or (run.waiting and self._fill()):
            fresh, self._fresh = self._fresh, []
            for i in fresh:
                self._ready(i)
        if not run.unfinished and (unfinished or run.status is RunStatus.STOPPING or type(signal) is Begin):
            self._conclude()

    def _emit(self, event: RunEvent) -> None:
        self.events.append(event)
        ready = evolve(self.run, event)
        if ready:
            self._fresh.extend(ready)

    # Beginning, and going on after a crash

    def _begin(self, signal: Begin) -> None:
        run = self.run
        taken_over = run.status is not RunStatus.PENDING
        if not taken_over:
            self._emit(WorkflowStarted(sequence=run.sequence + 1, at=self.now))
        assert run.started_at is not None or run.status is RunStatus.STOPPING
        # A run whose time is over while nobody had it has timed out, whatever becomes of its nodes.
        self._workflow_timer()
        if taken_over:
            self._lose_attempts(LostReason.CRASH, signal.draw)
            self._resume_waits()
        self._fresh.clear()
        if run.status is RunStatus.RUNNING:
            pending = NodeStatus.PENDING
            self._fresh.extend(i for i, node in enumerate(run.nodes) if node.status is pending and not run.remaining[i])

    def _lose_attempts(self, reason: LostReason, draw: float) -> None:
        lost = [node for node in self.run.nodes if node.status is NodeStatus.RUNNING]
        for count, node in enumerate(lost):
            error = Failure("WorkerLost", _LOST_MESSAGES[reason])
            spread = (draw + count * GOLDEN_RATIO) % 1.0
            retry_at, state = self._retry(node, error, spread)
            attempt = len(node.attempts)
            self._emit(
                AttemptLost(
                    sequence=self.run.sequence + 1,
                    at=self.now,
                    node=node.key,
                    attempt=attempt,
                    reason=reason,
                    error=error,
                    retry_at=retry_at,
                )
            )
            self._after_attempt(node, error, retry_at, state)

    def _resume_waits(self) -> None:
        run = self.run
        for i in range(len(run.nodes)):
            node = run.nodes[i]
            if node.attempts and node.finished_at is None:
                self._set_total_timer(node)
            if node.status is NodeStatus.RETRYING:
                assert node.next_attempt_at is not None
                self._set_timer_at(TimerKind.RETRY, node.next_attempt_at, node.key, len(node.attempts) + 1)
            elif node.status is NodeStatus.QUEUED:
                self._set_queue_timer(node)
                if node.queued_for is not SlotLimit.WORKFLOW:
                    self._acquire(i)

    def _shut_down(self, signal: ShuttingDown) -> None:
        self._closing = True
        self._lose_attempts(signal.reason, signal.draw)

    # Starting a node

    def _ready(self, i: int) -> None:
        """Go on with a node whose dependencies have all ended."""
        run = self.run
        node = run.nodes[i]
        if run.status is not RunStatus.RUNNING or node.status is not NodeStatus.PENDING or self._closing:
            return
        plan = run.plan.nodes[i]
        for name in plan.reads:
            cause = run.nodes[run.topology.index[name]]
            if self._has_no_output(cause):
                self._skip(node, SkipReason.DEPENDENCY_UNAVAILABLE, cause.key)
                return
        if plan.when is not None:
            self._ask(EvaluationTarget.WHEN, node.key)
        else:
            self._admit(i)

    def _has_no_output(self, node: NodeRun) -> bool:
        if node.status is NodeStatus.COMPLETED:
            return False
        return node.status is not NodeStatus.FAILED or not self.run.plan.nodes[node.index].continue_on_failure

    def _skip(self, node: NodeRun, reason: SkipReason, cause: NodeKey | None = None) -> None:
        self._emit(NodeSkipped(sequence=self.run.sequence + 1, at=self.now, node=node.key, reason=reason, cause=cause))

    def _admit(self, i: int) -> None:
        """Start a node's next attempt, or let it wait for the first limit that is in its way."""
        run = self.run
        if self._closing:
            return
        limit = run.plan.maximum_concurrency
        if limit is not None and run.running + run.held >= limit:
            self._queue(run.nodes[i], SlotLimit.WORKFLOW)
        else:
            self._acquire(i)

    def _acquire(self, i: int) -> None:
        node = self.run.nodes[i]
        plan = self.run.plan.nodes[i]
        wanted = self.slots.acquire(node.key, plan.tool, plan.limits)
        if wanted is None:
            self._start_attempt(i)
        else:
            self._queue(node, wanted.limit, wanted.name)

    def _queue(self, node: NodeRun, limit: SlotLimit, name: str | None = None) -> None:
        newly = node.status is not NodeStatus.QUEUED
        if newly or node.queued_for is not limit or node.queued_name != name:
            self._emit(NodeQueued(sequence=self.run.sequence + 1, at=self.now, node=node.key, limit=limit, name=name))
        if newly:
            self._set_queue_timer(self.run.nodes[node.index])

    def _fill(self) -> bool:
        """Let the first of those who wait for the run's own limit go on; tell whether one did."""
        run = self.run
        limit = run.plan.maximum_concurrency
        assert limit is not None
        if run.status is not RunStatus.RUNNING or self._closing or run.running + run.held >= limit:
            return False
        self._acquire(next(iter(run.waiting)))
        return True

    def _slot_granted(self, signal: SlotGranted) -> None:
        node = self.run.node(signal.node)
        wanted = node.status is NodeStatus.QUEUED and node.queued_for is not SlotLimit.WORKFLOW and not self._closing
        if wanted and self.run.status is RunStatus.RUNNING:
            self._start_attempt(node.index)
        else:
            self.slots.release(signal.node)

    def _slot_moved(self, signal: SlotMoved) -> None:
        node = self.run.node(signal.node)
        if node.status is NodeStatus.QUEUED and node.queued_for is not SlotLimit.WORKFLOW:
            self._queue(node, signal.limit, signal.name)

    def _start_attempt(self, i: int) -> None:
        run = self.run
        before = run.nodes[i]
        plan = run.plan.nodes[i]
        key = plan.key
        attempt = len(before.attempts) + 1
        self._emit(AttemptStarted(sequence=run.sequence + 1, at=self.now, node=key, attempt=attempt))
        self.commands.append(StartAttempt(node=key, attempt=attempt))
        timeout = plan.timeout
        if timeout.attempt_seconds is not None:
            self._set_timer(TimerKind.ATTEMPT, self.now, timeout.attempt_seconds, key, attempt)
        if timeout.heartbeat_seconds is not None:
            self._set_timer(TimerKind.HEARTBEAT, self.now, timeout.heartbeat_seconds, key, attempt)
        if attempt == 1 and timeout.total_seconds is not None:
            self._set_total_timer(run.nodes[i])

    # The end of an attempt

    def _in_flight(self, key: NodeKey, attempt: int) -> NodeRun | None:
        """Find the node if this very attempt is in flight."""
        run = self.run
        node = run.nodes[run.topology.index[key.id]]
        return node if node.status is NodeStatus.RUNNING and len(node.attempts) == attempt else None

    def _attempt_succeeded(self, signal: AttemptSucceeded) -> None:
        node = self._in_flight(signal.node, signal.attempt)
        if node is None:
            return
        seconds = self.run.plan.nodes[node.index].timeout.attempt_seconds
        if seconds is not None and (self.now - node.attempts[-1].started_at).total_seconds() >= seconds:
            self._time_out(node, Timeout.ATTEMPT, seconds, draw=0.5)
            return
        self.slots.release(signal.node)
        self._emit(
            NodeCompleted(
                sequence=self.run.sequence + 1,
                at=self.now,
                node=signal.node,
                attempt=signal.attempt,
                output=signal.output,
            )
        )

    def _attempt_erred(self, signal: AttemptErred) -> None:
        node = self._in_flight(signal.node, signal.attempt)
        if node is None:
            return
        retry_at, state = self._retry(node, signal.error, signal.draw)
        self._emit(
            AttemptFailed(
                sequence=self.run.sequence + 1,
                at=self.now,
                node=signal.node,
                attempt=signal.attempt,
                error=signal.error,
                retry_at=retry_at,
            )
        )
        self._after_attempt(node, signal.error, retry_at, state)

    def _attempt_stopped(self, signal: AttemptStopped) -> None:
        node = self._in_flight(signal.node, signal.attempt)
        if node is not None and self.run.status is RunStatus.STOPPING:
            self._cancel_attempt(node)

    def _cancel_attempt(self, node: NodeRun) -> None:
        self.slots.release(node.key)
        sequence, attempt = self.run.sequence, len(node.attempts)
        self._emit(AttemptCancelled(sequence=sequence + 1, at=self.now, node=node.key, attempt=attempt))
        self._emit(NodeCancelled(sequence=sequence + 2, at=self.now, node=node.key))

    def _time_out(self, node: NodeRun, timeout: Timeout, seconds: float, draw: float) -> None:
        error = Failure(_TIMEOUT_ERRORS[timeout], _TIMEOUT_MESSAGES[timeout].format(seconds=seconds))
        attempt = len(node.attempts)
        retry_at, state = self._retry(node, error, draw)
        if timeout is Timeout.TOTAL:
            retry_at, state = None, RetryState.TIMEOUT
        self._emit(
            AttemptTimedOut(
                sequence=self.run.sequence + 1,
                at=self.now,
                node=node.key,
                attempt=attempt,
                timeout=timeout,
                error=error,
                retry_at=retry_at,
            )
        )
        self.commands.append(StopAttempt(node=node.key, attempt=attempt, abandon=True))
        self._after_attempt(node, error, retry_at, state)

    def _after_attempt(
        self, node: NodeRun, error: Failure, retry_at: datetime | None, state: RetryState | None
    ) -> None:
        self.slots.release(node.key)
        if retry_at is not None:
            self._set_timer_at(TimerKind.RETRY, retry_at, node.key, len(node.attempts) + 1)
        else:
            assert state is not None
            self._fail(node, error, state)

    def _retry(self, node: NodeRun, error: Failure, draw: float) -> tuple[datetime | None, RetryState | None]:
        """Say when the node is tried again, or why it is not."""
        run = self.run
        plan = run.plan.nodes[node.index]
        policy = plan.retry
        attempt = len(node.attempts)
        if not error.retryable or error.type in policy.non_retryable_errors:
            return None, RetryState.NON_RETRYABLE_ERROR
        if attempt >= policy.maximum_attempts:
            return None, RetryState.MAXIMUM_ATTEMPTS_REACHED
        if run.status is not RunStatus.RUNNING:
            stopped_by_time = run.outcome is Outcome.TIMED_OUT
            return None, RetryState.TIMEOUT if stopped_by_time else RetryState.CANCEL_REQUESTED
        delay = retry_delay(policy, attempt, draw) if error.retry_after is None else error.retry_after
        retry_at = _after(self.now, min(max(delay, 0.0), DAYS_30))
        assert run.started_at is not None
        too_late = retry_at > _after(run.started_at, run.plan.timeout_seconds)
        total = plan.timeout.total_seconds
        if total is not None:
            too_late = too_late or retry_at > _after(node.attempts[0].started_at, total)
        return (None, RetryState.TIMEOUT) if too_late else (retry_at, None)

    def _fail(self, node: NodeRun, error: Failure, state: RetryState) -> None:
        run = self.run
        self._emit(NodeFailed(sequence=run.sequence + 1, at=self.now, node=node.key, error=error, retry_state=state))
        if run.status is RunStatus.RUNNING and not run.plan.nodes[node.index].continue_on_failure:
            self._stop(Outcome.FAILED, Failure(error.type, error.message, node=node.key))

    # Expressions

    def _ask(self, target: EvaluationTarget, node: NodeKey | None = None) -> None:
        command = Evaluate(target=target, node=node)
        self.commands.append(command)
        self.unanswered.append(command)

    def _evaluated(self, signal: Evaluated) -> None:
        if self.run.status is not RunStatus.RUNNING:
            return
        if signal.target is EvaluationTarget.OUTPUT:
            self._output_evaluated(signal)
            return
        assert signal.node is not None
        node = self.run.node(signal.node)
        if node.status is not NodeStatus.PENDING or self.run.remaining[node.index]:
            return
        if signal.truth:
            self._admit(node.index)
        elif signal.truth is False:
            self._skip(node, SkipReason.CONDITION_FALSE)
        else:
            error = signal.error or Failure("ExpressionError", "`when` is not a boolean.", retryable=False)
            self._fail(node, error, RetryState.NON_RETRYABLE_ERROR)

    def _output_evaluated(self, signal: Evaluated) -> None:
        run = self.run
        if run.unfinished:
            return
        if signal.error is not None:
            self._emit(WorkflowFailed(sequence=run.sequence + 1, at=self.now, error=signal.error))
        else:
            self._emit(WorkflowCompleted(sequence=run.sequence + 1, at=self.now, output=signal.output))

    # Timers

    def _timer_fired(self, signal: TimerFired) -> None:
        match signal.kind:
            case TimerKind.WORKFLOW:
                self._workflow_timer()
            case TimerKind.STOP_GRACE:
                self._grace_timer()
            case TimerKind.ATTEMPT | TimerKind.HEARTBEAT:
                self._attempt_timer(signal)
            case TimerKind.RETRY | TimerKind.QUEUE | TimerKind.TOTAL:
                self._node_timer(signal)

    def _workflow_timer(self) -> None:
        run = self.run
        if run.status is not RunStatus.RUNNING or run.started_at is None:
            return
        seconds = run.plan.timeout_seconds
        if not self._early(TimerKind.WORKFLOW, _after(run.started_at, seconds)):
            self._stop(Outcome.TIMED_OUT, Failure("WorkflowTimeout", f"The run did not end within its {seconds:g} s."))

    def _grace_timer(self) -> None:
        run = self.run
        if run.stopping_at is None or self._early(
            TimerKind.STOP_GRACE, _after(run.stopping_at, run.plan.stop_grace_seconds)
        ):
            return
        for node in run.nodes.copy():
            if node.status is NodeStatus.RUNNING:
                self.commands.append(StopAttempt(node=node.key, attempt=len(node.attempts), abandon=True))
                self._cancel_attempt(node)

    def _attempt_timer(self, signal: TimerFired) -> None:
        assert signal.node is not None
        node = self._in_flight(signal.node, signal.attempt)
        if node is None:
            return
        timeout = self.run.plan.nodes[node.index].timeout
        beats = signal.kind is TimerKind.HEARTBEAT
        seconds = timeout.heartbeat_seconds if beats else timeout.attempt_seconds
        assert seconds is not None
        since = node.attempts[-1].started_at
        if beats and signal.beat_at is not None:
            since = max(since, signal.beat_at)
        if not self._early(signal.kind, _after(since, seconds), node.key, signal.attempt):
            self._time_out(node, Timeout.HEARTBEAT if beats else Timeout.ATTEMPT, seconds, signal.draw)

    def _node_timer(self, signal: TimerFired) -> None:
        assert signal.node is not None
        node = self.run.node(signal.node)
        if node.finished_at is not None:
            return
        match signal.kind:
            case TimerKind.RETRY:
                self._retry_timer(node, signal.attempt)
            case TimerKind.QUEUE:
                self._queue_timer(node)
            case _:
                self._total_timer(node, signal.draw)

    def _retry_timer(self, node: NodeRun, attempt: int) -> None:
        if node.status is not NodeStatus.RETRYING or len(node.attempts) + 1 != attempt:
            return
        assert node.next_attempt_at is not None
        if not self._early(TimerKind.RETRY, node.next_attempt_at, node.key, attempt):
            self._admit(node.index)

    def _queue_timer(self, node: NodeRun) -> None:
        seconds = self.run.plan.nodes[node.index].timeout.queue_seconds
        if node.status is not NodeStatus.QUEUED or node.queued_at is None or seconds is None:
            return
        if not self._early(TimerKind.QUEUE, _after(node.queued_at, seconds), node.key):
            self.slots.release(node.key)
            name = "" if node.queued_name is None else f" `{node.queued_name}`"
            message = f"No slot became free within {seconds:g} s ({node.queued_for} limit{name})."
            self._fail(node, Failure("QueueTimeout", message, retryable=False), RetryState.TIMEOUT)

    def _total_timer(self, node: NodeRun, draw: float) -> None:
        seconds = self.run.plan.nodes[node.index].timeout.total_seconds
        if seconds is None or not node.attempts:
            return
        if self._early(TimerKind.TOTAL, _after(node.attempts[0].started_at, seconds), node.key):
            return
        if node.status is NodeStatus.RUNNING:
            self._time_out(node, Timeout.TOTAL, seconds, draw)
        else:
            self.slots.release(node.key)
            message = _TIMEOUT_MESSAGES[Timeout.TOTAL].format(seconds=seconds)
            self._fail(node, Failure("TotalTimeout", message, retryable=False), RetryState.TIMEOUT)

    def _early(self, kind: TimerKind, due: datetime, node: NodeKey | None = None, attempt: int = 0) -> bool:
        """Tell whether a timer fired before its time; it is set again then."""
        if self.now >= due:
            return False
        self.commands.append(SetTimer(kind=kind, at=due, node=node, attempt=attempt))
        return True

    def _set_timer(
        self, kind: TimerKind, since: datetime, seconds: float, node: NodeKey | None = None, attempt: int = 0
    ) -> None:
        self.commands.append(SetTimer(kind=kind, at=_after(since, seconds), node=node, attempt=attempt))

    def _set_timer_at(self, kind: TimerKind, at: datetime, node: NodeKey, attempt: int) -> None:
        self.commands.append(SetTimer(kind=kind, at=at, node=node, attempt=attempt))

    def _set_total_timer(self, node: NodeRun) -> None:
        seconds = self.run.plan.nodes[node.index].timeout.total_seconds
        if seconds is not None:
            self._set_timer(TimerKind.TOTAL, node.attempts[0].started_at, seconds, node.key)

    def _set_queue_timer(self, node: NodeRun) -> None:
        seconds = self.run.plan.nodes[node.index].timeout.queue_seconds
        if seconds is not None:
            assert node.queued_at is not None
            self._set_timer(TimerKind.QUEUE, node.queued_at, seconds, node.key)

    # Stopping

    def _cancel(self, signal: CancelRequested) -> None:
        if self.run.status is not RunStatus.STOPPING:
            error = None if signal.reason is None else Failure("Cancelled", signal.reason, retryable=False)
            self._stop(Outcome.CANCELLED, error)

    def _stop(self, outcome: Outcome, error: Failure | None) -> None:
        """Settle how the run ends. The first cause wins: a run that is stopping is not stopped again."""
        run = self.run
        self._emit(WorkflowStopping(sequence=run.sequence + 1, at=self.now, outcome=outcome, error=error))
        for node in run.nodes.copy():
            if node.finished_at is not None:
                continue
            if node.status is NodeStatus.RUNNING:
                self.commands.append(StopAttempt(node=node.key, attempt=len(node.attempts), abandon=False))
                continue
            if node.status is NodeStatus.QUEUED:
                self.slots.release(node.key)
            if node.attempts:
                self._emit(NodeCancelled(sequence=run.sequence + 1, at=self.now, node=node.key))
            else:
                self._skip(node, SkipReason.WORKFLOW_STOPPING)
        if run.running:
            self._set_timer(TimerKind.STOP_GRACE, self.now, run.plan.stop_grace_seconds)

    def _conclude(self) -> None:
        """End a run whose nodes have all ended, or ask for its output first."""
        run = self.run
        sequence, error = run.sequence + 1, run.error
        if run.status is not RunStatus.STOPPING:
            self._ask(EvaluationTarget.OUTPUT)
        elif run.outcome is Outcome.CANCELLED:
            self._emit(WorkflowCancelled(sequence=sequence, at=self.now, error=error))
        elif run.outcome is Outcome.TIMED_OUT:
            assert error is not None
            self._emit(WorkflowTimedOut(sequence=sequence, at=self.now, error=error))
        else:
            assert error is not None
            self._emit(WorkflowFailed(sequence=sequence, at=self.now, error=error))


def _after(since: datetime, seconds: float) -> datetime:
    return since + timedelta(seconds=seconds)


_LOST_MESSAGES: Final = {
    LostReason.CRASH: "The process that ran the attempt is gone.",
    LostReason.SHUTDOWN: "The process that ran the attempt was shut down.",
}
_TIMEOUT_ERRORS: Final = {
    Timeout.ATTEMPT: "AttemptTimeout",
    Timeout.HEARTBEAT: "HeartbeatTimeout",
    Timeout.TOTAL: "TotalTimeout",
}
_TIMEOUT_MESSAGES: Final = {
    Timeout.ATTEMPT: "The attempt did not end within {seconds:g} s.",
    Timeout.HEARTBEAT: "The attempt gave no sign of life for {seconds:g} s.",
    Timeout.TOTAL: "The node did not end within {seconds:g} s, all attempts and waits together.",
}
# One method per signal type, each typed for its own; the table cannot say so.
_HANDLERS: Final[dict[type, Callable[..., None]]] = {
    Begin: Turn._begin,
    AttemptSucceeded: Turn._attempt_succeeded,
    AttemptErred: Turn._attempt_erred,
    AttemptStopped: Turn._attempt_stopped,
    SlotGranted: Turn._slot_granted,
    SlotMoved: Turn._slot_moved,
    TimerFired: Turn._timer_fired,
    Evaluated: Turn._evaluated,
    CancelRequested: Turn._cancel,
    ShuttingDown: Turn._shut_down,
}
