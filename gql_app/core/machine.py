"""Every rule of a run, in one place: what follows when it is told something.

The machine knows no clock, no randomness and no value of a node. It is told a `Signal` at a time, says what happened
(`RunEvent`) and what must go on from there (`Command`). A signal about an attempt or a timer that is over is ignored.
An event costs in proportion to its node's dependents, never to the size of the run; only stopping and beginning look
at every node, once.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple, assert_never

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
    NodeLog,
    NodeOutputChunk,
    NodeProgress,
    NodeQueued,
    NodeSkipped,
    Outcome,
    RetryState,
    RunEvent,
    SkipReason,
    SlotLimit,
    StepCompleted,
    StepFailed,
    StepKind,
    StepQueued,
    StepRequest,
    StepStarted,
    Timeout,
    Usage,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    WorkflowStopping,
    WorkflowTimedOut,
)
from gql_app.core.fold import evolve
from gql_app.core.ids import Holder, NodeKey, StepKey
from gql_app.core.plan import NodePlan
from gql_app.core.reports import Chunk, LogLine, Mark, Report
from gql_app.core.run import NodeRun, NodeStatus, RunStatus, WorkflowRun
from gql_app.core.signals import (
    AnswerStep,
    AttemptErred,
    AttemptReported,
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
    SlotWanted,
    StartAttempt,
    StartStep,
    StepDropped,
    StepErred,
    StepRequested,
    StepSucceeded,
    StopAttempt,
    StopStep,
    TimerFired,
    TimerKind,
    Unlimited,
)
from gql_app.core.spec import DAYS_30, Jitter, RetryPolicy
from gql_app.core.step_fold import inner_steps
from gql_app.core.step_run import StepRun, StepStatus
from gql_app.core.values import NULL, Value

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


class _Tried(NamedTuple):
    """How often something was tried, and since when."""

    times: int
    since: datetime


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
                self.slots.release(_holder(signal))
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
        if signal.step is not None:
            self._step_slot_granted(node, signal.step)
            return
        wanted = node.status is NodeStatus.QUEUED and node.queued_for is not SlotLimit.WORKFLOW and not self._closing
        if wanted and self.run.status is RunStatus.RUNNING:
            self._start_attempt(node.index)
        else:
            self.slots.release(signal.node)

    def _slot_moved(self, signal: SlotMoved) -> None:
        node = self.run.node(signal.node)
        if signal.step is not None:
            step = self.run.step(signal.node, signal.step)
            if step is not None and step.status is StepStatus.QUEUED:
                self._queue_step(node, step.id, SlotWanted(signal.limit, signal.name))
        elif node.status is NodeStatus.QUEUED and node.queued_for is not SlotLimit.WORKFLOW:
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
        plan = self.run.plan.nodes[node.index]
        tried = _Tried(len(node.attempts), node.attempts[0].started_at)
        return self._when_to_retry(plan, tried, error, draw)

    def _when_to_retry(
        self, policies: NodePlan | StepRequest, tried: "_Tried", error: Failure, draw: float
    ) -> tuple[datetime | None, RetryState | None]:
        """Say when a node or a step is tried again, or why it is not."""
        run, policy, tries = self.run, policies.retry, tried.times
        if not error.retryable or error.type in policy.non_retryable_errors:
            return None, RetryState.NON_RETRYABLE_ERROR
        if tries >= policy.maximum_attempts:
            return None, RetryState.MAXIMUM_ATTEMPTS_REACHED
        if run.status is not RunStatus.RUNNING:
            stopped_by_time = run.outcome is Outcome.TIMED_OUT
            return None, RetryState.TIMEOUT if stopped_by_time else RetryState.CANCEL_REQUESTED
        delay = retry_delay(policy, tries, draw) if error.retry_after is None else error.retry_after
        retry_at = _after(self.now, min(max(delay, 0.0), DAYS_30))
        assert run.started_at is not None
        too_late = retry_at > _after(run.started_at, run.plan.timeout_seconds)
        total = policies.timeout.total_seconds
        if total is not None:
            too_late = too_late or retry_at > _after(tried.since, total)
        return (None, RetryState.TIMEOUT) if too_late else (retry_at, None)

    def _fail(self, node: NodeRun, error: Failure, state: RetryState) -> None:
        run = self.run
        self._emit(NodeFailed(sequence=run.sequence + 1, at=self.now, node=node.key, error=error, retry_state=state))
        if run.status is RunStatus.RUNNING and not run.plan.nodes[node.index].continue_on_failure:
            self._stop(Outcome.FAILED, Failure(error.type, error.message, node=node.key))

    # What an attempt shows

    def _attempt_reported(self, signal: AttemptReported) -> None:
        node = self._in_flight(signal.node, signal.attempt)
        if node is None:
            return
        for report in signal.reports:
            if isinstance(report, Mark) or self._is_current(report, node):
                self._emit(_shown(report, self.run.sequence + 1, self.now, signal))

    def _is_current(self, report: Chunk | LogLine, node: NodeRun) -> bool:
        """Tell whether what was reported is not of a try of a step that is over."""
        if report.step is None or isinstance(report, LogLine):
            return True
        step = self.run.step(node.key, report.step)
        return step is not None and step.status is StepStatus.RUNNING and step.attempt == report.step_attempt

    # The steps of an attempt

    def _step_requested(self, signal: StepRequested) -> None:
        node = self._in_flight(signal.node, signal.attempt)
        if node is None or self._closing:
            return
        step = self.run.step(signal.node, signal.step)
        if step is not None and step.status is StepStatus.COMPLETED:
            self._answer(node, step.id, output=step.output)
        elif self.run.status is not RunStatus.RUNNING:
            self._answer(node, signal.step, error=_STOPPING)
        elif (step is None or step.status.final) and self._is_wanted(node, signal.step):
            self._acquire_for_step(node, signal.step, signal.request, new=True)

    def _is_wanted(self, node: NodeRun, step_id: str) -> bool:
        """Tell whether the steps around one go on: what is left of a try that is over wants nothing any more."""
        around = (self.run.step(node.key, outer.step) for outer in _around(node.key, step_id))
        return all(outer is not None and outer.status is StepStatus.RUNNING for outer in around)

    def _can_afford(self, node: NodeRun, request: StepRequest) -> bool:
        """Tell whether the run's budget lets a step begin; the run is stopped if not."""
        if request.kind is not StepKind.MODEL or not self._exceeds_budget(left=0):
            return True
        self._stop_over_budget(node)
        return False

    def _acquire_for_step(self, node: NodeRun, step_id: str, request: StepRequest, *, new: bool) -> None:
        if not self._can_afford(node, request):
            return
        tool = request.name if request.kind is StepKind.TOOL else ""
        wanted = self.slots.acquire(StepKey(node.key, step_id), tool, request.limits)
        if wanted is None:
            self._start_step(node, step_id, request if new else None)
        else:
            self._queue_step(node, step_id, wanted, request if new else None)

    def _queue_step(self, node: NodeRun, step_id: str, wanted: SlotWanted, request: StepRequest | None = None) -> None:
        step = None if request is not None else self.run.step(node.key, step_id)
        newly = step is None or step.status is not StepStatus.QUEUED
        if step is not None and not newly and (step.queued_for, step.queued_name) == (wanted.limit, wanted.name):
            return
        attempt = len(node.attempts)
        self._emit(
            StepQueued(
                sequence=self.run.sequence + 1,
                at=self.now,
                node=node.key,
                attempt=attempt,
                step=step_id,
                limit=wanted.limit,
                name=wanted.name,
                request=request,
            )
        )
        if newly:
            step = self.run.step(node.key, step_id)
            assert step is not None
            self._set_step_timer(TimerKind.QUEUE, node, step, self.now, step.request.timeout.queue_seconds)

    def _step_slot_granted(self, node: NodeRun, step_id: str) -> None:
        step = self.run.step(node.key, step_id)
        wanted = node.status is NodeStatus.RUNNING and step is not None and step.status is StepStatus.QUEUED
        if wanted and self.run.status is RunStatus.RUNNING and not self._closing:
            assert step is not None
            if self._can_afford(node, step.request):
                self._start_step(node, step_id)
                return
        self.slots.release(StepKey(node.key, step_id))

    def _start_step(self, node: NodeRun, step_id: str, request: StepRequest | None = None) -> None:
        attempt, before = len(node.attempts), self.run.step(node.key, step_id)
        tried = before.attempt if before is not None and before.node_attempt == attempt else 0
        self._emit(
            StepStarted(
                sequence=self.run.sequence + 1,
                at=self.now,
                node=node.key,
                attempt=attempt,
                step=step_id,
                step_attempt=tried + 1,
                request=request,
            )
        )
        self.commands.append(StartStep(node=node.key, attempt=attempt, step=step_id, step_attempt=tried + 1))
        step = self.run.step(node.key, step_id)
        assert step is not None
        timeout = step.request.timeout
        self._set_step_timer(TimerKind.ATTEMPT, node, step, self.now, timeout.attempt_seconds)
        self._set_step_timer(TimerKind.HEARTBEAT, node, step, self.now, timeout.heartbeat_seconds)
        if step.attempt == step.tried_before + 1:
            self._set_step_timer(TimerKind.TOTAL, node, step, self.now, timeout.total_seconds)

    def _set_step_timer(
        self, kind: TimerKind, node: NodeRun, step: StepRun, since: datetime, seconds: float | None
    ) -> None:
        if seconds is not None:
            self._set_step_timer_at(kind, node, step, _after(since, seconds))

    def _set_step_timer_at(self, kind: TimerKind, node: NodeRun, step: StepRun, at: datetime) -> None:
        attempt = len(node.attempts)
        self.commands.append(
            SetTimer(kind=kind, at=at, node=node.key, attempt=attempt, step=step.id, step_attempt=step.attempt)
        )

    def _step_in_flight(self, signal: StepSucceeded | StepErred | TimerFired) -> tuple[NodeRun, StepRun] | None:
        """Find a step of the attempt in flight if this very try of it is in flight."""
        assert signal.node is not None
        assert signal.step is not None
        node, step = self._in_flight(signal.node, signal.attempt), self.run.step(signal.node, signal.step)
        if node is None or step is None or step.status is not StepStatus.RUNNING:
            return None
        return (node, step) if step.attempt == signal.step_attempt else None

    def _step_succeeded(self, signal: StepSucceeded) -> None:
        found = self._step_in_flight(signal)
        if found is None:
            return
        node, step = found
        self._release_step(node, step)
        self._emit(
            StepCompleted(
                sequence=self.run.sequence + 1,
                at=self.now,
                node=node.key,
                attempt=signal.attempt,
                step=step.id,
                step_attempt=signal.step_attempt,
                output=signal.output,
                usage=signal.usage,
            )
        )
        if signal.usage is not None and self._exceeds_budget(left=1):
            self._stop_over_budget(node)
        else:
            self._answer(node, step.id, output=signal.output)

    def _step_erred(self, signal: StepErred) -> None:
        found = self._step_in_flight(signal)
        if found is not None:
            self._fail_step(*found, signal.error, signal.draw, usage=signal.usage)

    def _step_dropped(self, signal: StepDropped) -> None:
        node, step = self._in_flight(signal.node, signal.attempt), self.run.step(signal.node, signal.step)
        if node is None:
            return
        if step is None or step.status.final:
            self._answer(node, signal.step, error=_DROPPED)
            return
        if step.status is StepStatus.RUNNING:
            self._let_go_of_step(node, step)
        self._fail_step(node, step, _DROPPED, 0.5, usage=signal.usage, final=RetryState.CANCEL_REQUESTED)

    def _fail_step(
        self,
        node: NodeRun,
        step: StepRun,
        error: Failure,
        draw: float,
        *,
        usage: Usage | None = None,
        final: RetryState | None = None,
    ) -> None:
        """Let a try of a step have failed, for good with `final`."""
        retry_at, state = (None, final) if final is not None else self._retry_step(node, step, error, draw)
        self._release_step(node, step)
        attempt = len(node.attempts)
        self._emit(
            StepFailed(
                sequence=self.run.sequence + 1,
                at=self.now,
                node=node.key,
                attempt=attempt,
                step=step.id,
                step_attempt=step.attempt,
                error=error,
                retry_at=retry_at,
                retry_state=state,
                usage=usage,
            )
        )
        if usage is not None and self._exceeds_budget(left=1):
            self._stop_over_budget(node)
        elif retry_at is not None:
            self._set_step_timer_at(TimerKind.RETRY, node, step, retry_at)
        else:
            self._answer(node, step.id, error=error)

    def _release_step(self, node: NodeRun, step: StepRun) -> None:
        """Give back what a try of a step has, and let go of the steps that it was taking."""
        for inner in inner_steps(node, step):
            self.slots.release(StepKey(node.key, inner.id))
            if inner.status is StepStatus.RUNNING:
                self._let_go_of_step(node, inner)
        self.slots.release(StepKey(node.key, step.id))

    def _retry_step(
        self, node: NodeRun, step: StepRun, error: Failure, draw: float
    ) -> tuple[datetime | None, RetryState | None]:
        """Say when a step is tried again, or why it is not: it must not outlive what it is part of."""
        tried = _Tried(step.attempt - step.tried_before, step.started_at or self.now)
        retry_at, state = self._when_to_retry(step.request, tried, error, draw)
        if retry_at is None or all(retry_at <= deadline for deadline in self._deadlines(node, step)):
            return retry_at, state
        return None, RetryState.TIMEOUT

    def _deadlines(self, node: NodeRun, step: StepRun) -> Iterator[datetime]:
        """Tell when what a step is part of has to have ended: the attempt of its node, and the steps around it."""
        timeout = self.run.plan.nodes[node.index].timeout
        if timeout.attempt_seconds is not None:
            yield _after(node.attempts[-1].started_at, timeout.attempt_seconds)
        if timeout.total_seconds is not None:
            yield _after(node.attempts[0].started_at, timeout.total_seconds)
        for key in _around(node.key, step.id):
            outer = self.run.step(node.key, key.step)
            assert outer is not None
            timeout = outer.request.timeout
            if timeout.attempt_seconds is not None and outer.attempt_started_at is not None:
                yield _after(outer.attempt_started_at, timeout.attempt_seconds)
            if timeout.total_seconds is not None and outer.started_at is not None:
                yield _after(outer.started_at, timeout.total_seconds)

    def _answer(self, node: NodeRun, step_id: str, *, output: Value = NULL, error: Failure | None = None) -> None:
        attempt, dropped = len(node.attempts), error is _DROPPED
        self.commands.append(
            AnswerStep(node=node.key, attempt=attempt, step=step_id, output=output, error=error, dropped=dropped)
        )

    def _exceeds_budget(self, *, left: int) -> bool:
        """Tell whether the run has used all of its budget, or (with `left`) more than that."""
        budget, usage = self.run.plan.budget, self.run.usage
        if budget is None or usage is None or self.run.status is not RunStatus.RUNNING:
            return False
        if budget.tokens is not None and usage.tokens >= budget.tokens + left:
            return True
        cost = usage.cost_usd or 0.0
        return budget.cost_usd is not None and (cost > budget.cost_usd if left else cost >= budget.cost_usd)

    def _stop_over_budget(self, node: NodeRun) -> None:
        budget, usage = self.run.plan.budget, self.run.usage
        assert budget is not None
        assert usage is not None
        cost = "unknown" if usage.cost_usd is None else f"{usage.cost_usd:g}"
        message = f"The run has used {usage.tokens} tokens (cost in USD: {cost}); its budget is {budget}."
        self._stop(Outcome.FAILED, Failure("BudgetExceeded", message, retryable=False, node=node.key))

    def _step_timer(self, signal: TimerFired) -> None:
        """A timer of a step went off: it may be any of the kinds that nodes have."""
        assert signal.node is not None
        assert signal.step is not None
        node, step = self._in_flight(signal.node, signal.attempt), self.run.step(signal.node, signal.step)
        if node is None or step is None or step.status.final:
            return
        match signal.kind:
            case TimerKind.ATTEMPT | TimerKind.HEARTBEAT:
                self._step_attempt_timer(signal)
            case TimerKind.RETRY if step.status is StepStatus.RETRYING and step.attempt == signal.step_attempt:
                assert step.next_attempt_at is not None
                if not self._step_early(signal, step.next_attempt_at):
                    self._retry_step_now(node, step)
            case TimerKind.QUEUE if step.status is StepStatus.QUEUED and step.attempt == signal.step_attempt:
                # It may have been set for what was asked before, which nobody wanted any more while it was in line.
                seconds = step.request.timeout.queue_seconds
                assert step.queued_at is not None
                if seconds is not None and not self._step_early(signal, _after(step.queued_at, seconds)):
                    error = _queued_too_long(step, seconds)
                    self._fail_step(node, step, error, signal.draw, final=RetryState.TIMEOUT)
            case TimerKind.TOTAL:
                self._step_total_timer(node, step, signal)
            case _:
                pass  # It is stale.

    def _retry_step_now(self, node: NodeRun, step: StepRun) -> None:
        if self.run.status is not RunStatus.RUNNING:
            self._answer(node, step.id, error=_STOPPING)
        elif not self._closing:
            self._acquire_for_step(node, step.id, step.request, new=False)

    def _step_attempt_timer(self, signal: TimerFired) -> None:
        found = self._step_in_flight(signal)
        if found is None:
            return
        node, step = found
        timeout, beats = step.request.timeout, signal.kind is TimerKind.HEARTBEAT
        seconds = timeout.heartbeat_seconds if beats else timeout.attempt_seconds
        since = step.attempt_started_at
        assert seconds is not None
        assert since is not None
        if beats:
            since = self._last_sign(signal, since, node, f"{step.id}/")
        if not self._step_early(signal, _after(since, seconds)):
            kind = Timeout.HEARTBEAT if beats else Timeout.ATTEMPT
            error = Failure(_TIMEOUT_ERRORS[kind], _TIMEOUT_MESSAGES[kind].format(seconds=seconds))
            self._let_go_of_step(node, step)
            self._fail_step(node, step, error, signal.draw, usage=signal.usage)

    def _step_total_timer(self, node: NodeRun, step: StepRun, signal: TimerFired) -> None:
        seconds = step.request.timeout.total_seconds
        if seconds is None or step.started_at is None or self._step_early(signal, _after(step.started_at, seconds)):
            return
        message = f"The step did not end within {seconds:g} s, all tries and waits together."
        if step.status is StepStatus.RUNNING:
            self._let_go_of_step(node, step)
        error = Failure("TotalTimeout", message, retryable=False)
        self._fail_step(node, step, error, signal.draw, usage=signal.usage, final=RetryState.TIMEOUT)

    def _let_go_of_step(self, node: NodeRun, step: StepRun) -> None:
        attempt = len(node.attempts)
        self.commands.append(StopStep(node=node.key, attempt=attempt, step=step.id, step_attempt=step.attempt))

    def _step_early(self, signal: TimerFired, due: datetime) -> bool:
        """Tell whether a timer of a step fired before its time; it is set again then."""
        if self.now >= due:
            return False
        self.commands.append(
            SetTimer(
                kind=signal.kind,
                at=due,
                node=signal.node,
                attempt=signal.attempt,
                step=signal.step,
                step_attempt=signal.step_attempt,
            )
        )
        return True

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
        if signal.step is not None:
            self._step_timer(signal)
            return
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
        if beats:
            since = self._last_sign(signal, since, node)
        if not self._early(signal.kind, _after(since, seconds), node.key, signal.attempt):
            self._time_out(node, Timeout.HEARTBEAT if beats else Timeout.ATTEMPT, seconds, signal.draw)

    def _last_sign(self, signal: TimerFired, since: datetime, node: NodeRun, within: str = "") -> datetime:
        """Tell when there last was a sign of life. Who waits for a step is not silent: that has its own timeouts."""
        if signal.beat_at is not None:
            since = max(since, signal.beat_at)
        for step in node.steps:
            if step.id.startswith(within) and step.node_attempt == signal.attempt:
                since = max(since, step.finished_at or self.now)
        return since

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
            self._fail(node, _queued_too_long(node, seconds), RetryState.TIMEOUT)

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


def _holder(signal: SlotGranted) -> Holder:
    return signal.node if signal.step is None else StepKey(signal.node, signal.step)


def _around(node: NodeKey, step_id: str) -> Iterator[StepKey]:
    """Tell which steps one stands in, from the inside out."""
    return (holder for holder in StepKey(node, step_id).enclosing() if isinstance(holder, StepKey))


def _shown(report: Report, sequence: int, at: datetime, signal: AttemptReported) -> RunEvent:
    """Make an event of what an attempt has shown."""
    node, attempt = signal.node, signal.attempt
    match report:
        case Chunk(text, step, step_attempt, truncated):
            return NodeOutputChunk(
                sequence=sequence,
                at=at,
                node=node,
                attempt=attempt,
                text=text,
                step=step,
                step_attempt=step_attempt,
                truncated=truncated,
            )
        case LogLine(level, message, fields, step, truncated):
            return NodeLog(
                sequence=sequence,
                at=at,
                node=node,
                attempt=attempt,
                level=level,
                message=message,
                fields=fields,
                step=step,
                truncated=truncated,
            )
        case Mark(fraction, message):
            return NodeProgress(
                sequence=sequence, at=at, node=node, attempt=attempt, fraction=fraction, message=message
            )
        case _:
            assert_never(report)


def _queued_too_long(what: NodeRun | StepRun, seconds: float) -> Failure:
    name = "" if what.queued_name is None else f" `{what.queued_name}`"
    message = f"No slot became free within {seconds:g} s ({what.queued_for} limit{name})."
    return Failure("QueueTimeout", message, retryable=False)


def _after(since: datetime, seconds: float) -> datetime:
    return since + timedelta(seconds=seconds)


_DROPPED: Final = Failure("StepDropped", "The attempt no longer wanted it.", retryable=False)
_STOPPING: Final = Failure("WorkflowStopping", "The run is stopping; no step begins any more.", retryable=False)
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
    AttemptReported: Turn._attempt_reported,
    StepRequested: Turn._step_requested,
    StepSucceeded: Turn._step_succeeded,
    StepErred: Turn._step_erred,
    StepDropped: Turn._step_dropped,
    SlotGranted: Turn._slot_granted,
    SlotMoved: Turn._slot_moved,
    TimerFired: Turn._timer_fired,
    Evaluated: Turn._evaluated,
    CancelRequested: Turn._cancel,
    ShuttingDown: Turn._shut_down,
}
