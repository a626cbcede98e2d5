"""A shell around the machine in which anything may happen next, as a seeded generator of chance says."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec

from gql_app.core.codec import decode_events, encode_events
from gql_app.core.events import Failure, LogLevel, RunEvent, StepCompleted, StepFailed, StepKind, StepRequest, Usage
from gql_app.core.fold import begin, fold
from gql_app.core.ids import Holder, NodeKey, StepKey
from gql_app.core.machine import Turn
from gql_app.core.plan import Plan
from gql_app.core.reports import Chunk, LogLine, Mark, Report
from gql_app.core.run import NodeStatus, RunStatus
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
    SetTimer,
    ShuttingDown,
    Signal,
    SlotGranted,
    StartAttempt,
    StartStep,
    StepDropped,
    StepErred,
    StepRequested,
    StepSucceeded,
    StopAttempt,
    StopStep,
    TimerFired,
)
from gql_app.core.step_run import StepStatus
from gql_app.core.values import Value
from gql_app.testing.virtual_time import NOON
from tests.support.builders import submitted
from tests.support.counted_slots import CountedSlots

LONGEST: Final = 3_000
"""More than any run here can take if it makes progress at all."""
STEPS: Final = ("s", "t", "u")


class World:
    """One life of a run: its log, what goes on, and what may be told late."""

    def __init__(self, what: Plan, capacity: int, chance: random.Random, requests: Sequence[StepRequest] = ()) -> None:
        self.chance = chance
        self.capacity = capacity
        self.requests = requests
        """What nodes may ask to be done in steps; nothing, and they show nothing either, if there are none."""
        first = submitted(what)
        self.log: list[RunEvent] = [first]
        self.run = begin(first)
        self.now = NOON
        self.slots = CountedSlots(capacity)
        self.calls: dict[NodeKey, int] = {}
        self.tries: dict[StepKey, tuple[int, int]] = {}
        """The tries of steps that go on, each in the attempt of its node."""
        self.asked: set[StepKey] = set()
        """The steps that an attempt waits for."""
        self.done: set[StepKey] = set()
        """The steps whose completion is stored."""
        self.asked_to_stop: set[NodeKey] = set()
        self.timers: list[SetTimer] = []
        self.evaluations: list[Evaluate] = []
        self.past: list[Signal] = []
        self.crashes = 0

    def tell(self, signal: Signal) -> None:
        turn = Turn(self.run, self.now, self.slots)
        turn.tell(signal)
        while self.slots.granted:
            holder = self.slots.granted.pop(0)
            if isinstance(holder, StepKey):
                turn.tell(SlotGranted(node=holder.node, step=holder.step))
            else:
                turn.tell(SlotGranted(node=holder))
        self.log += turn.events
        for event in turn.events:
            if isinstance(event, StepCompleted):
                self.done.add(StepKey(event.node, event.step))
            if isinstance(event, StepCompleted | StepFailed):
                self.forget(event.node, f"{event.step}/")
        if not isinstance(signal, Begin | ShuttingDown):  # Said by whoever takes over or goes, never late.
            self.past.append(signal)
        for command in turn.commands:
            self.carry_out(command)
        self.look()

    def carry_out(self, command: Command) -> None:
        match command:
            case StartAttempt():
                assert command.node not in self.calls, "a node runs twice at once"
                self.calls[command.node] = command.attempt
            case StopAttempt():
                if self.calls.get(command.node) == command.attempt:
                    if command.abandon:
                        self.end_call(command.node)
                    else:
                        self.asked_to_stop.add(command.node)
            case StartStep():
                key = StepKey(command.node, command.step)
                assert key not in self.tries, "a step is tried twice at once"
                assert key not in self.done, "a step that is done is done again"
                self.tries[key] = command.attempt, command.step_attempt
            case StopStep():
                key = StepKey(command.node, command.step)
                assert self.tries.pop(key) == (command.attempt, command.step_attempt)
            case AnswerStep():
                self.asked.discard(StepKey(command.node, command.step))
            case SetTimer():
                self.timers.append(command)
            case Evaluate():
                self.evaluations.append(command)

    def end_call(self, node: NodeKey) -> None:
        """Let a call go, and with it everything that it was doing."""
        del self.calls[node]
        self.tries = {key: tried for key, tried in self.tries.items() if key.node != node}
        self.forget(node, "")

    def forget(self, node: NodeKey, within: str) -> None:
        """Let nobody wait any more for steps of a node."""
        self.asked = {key for key in self.asked if key.node != node or not key.step.startswith(within)}

    def look(self) -> None:
        """See that slots are with those that go on, and that whoever waits for a step waits for something."""
        run = self.run
        goes_on: set[Holder] = set()
        waits: set[Holder] = set()
        for node in run.nodes:
            if node.status is NodeStatus.RUNNING:
                goes_on.add(node.key)
            goes_on |= {StepKey(node.key, step.id) for step in node.steps if step.status is StepStatus.RUNNING}
            waits |= {StepKey(node.key, step.id) for step in node.steps if step.status is StepStatus.QUEUED}
        assert self.slots.holders == goes_on
        assert {holder for holder in self.slots.line if isinstance(holder, StepKey)} <= waits
        for key in self.asked:
            step = run.step(key.node, key.step)
            assert run.status is not RunStatus.RUNNING or (step is not None and not step.status.final), f"{key} hangs"

    def crash(self) -> None:
        """Lose everything but the log, and take the run over again."""
        self.crashes += 1
        self.run = fold(decode_events(encode_events(self.log)))
        self.slots = CountedSlots(self.capacity)
        self.calls, self.asked_to_stop, self.timers, self.evaluations = {}, set(), [], []
        self.tries, self.asked = {}, set()
        self.tell(Begin(draw=self.chance.random()))

    def step(self) -> None:
        """Let something happen: mostly what was asked for, now and then trouble."""
        dice, busy = self.chance.random(), bool(self.requests and self.calls)
        if dice < (0.005 if busy else 0.02):
            self.tell(CancelRequested())
        elif dice < (0.015 if busy else 0.04) and self.crashes < 5:
            self.crash()
        elif dice < (0.02 if busy else 0.05) and self.crashes < 5:
            self.asked = set()
            self.tell(ShuttingDown(draw=self.chance.random()))
            self.crash()
        elif dice < 0.15 and self.past:
            self.tell(self.chance.choice(self.past))
        elif dice < 0.86 and busy:
            self.be_busy()
        elif dice < (0.9 if busy else 0.65) and self.calls:
            self.end_a_call()
        elif self.evaluations:
            self.answer(self.evaluations.pop(self.chance.randrange(len(self.evaluations))))
        elif self.timers:
            self.fire_a_timer()

    # Attempts

    def end_a_call(self) -> None:
        node = self.chance.choice(list(self.calls))
        attempt = self.calls[node]
        self.end_call(node)
        self.now += timedelta(seconds=self.chance.choice([0, 0, 1, 30]))
        if node in self.asked_to_stop and self.chance.random() < 0.5:
            self.tell(AttemptStopped(node=node, attempt=attempt))
        elif self.chance.random() < 0.6:
            self.tell(AttemptSucceeded(node=node, attempt=attempt))
        else:
            self.tell(AttemptErred(node=node, attempt=attempt, error=self.failure(), draw=self.chance.random()))

    def failure(self) -> Failure:
        return Failure("Boom", "", self.chance.random() < 0.8, self.chance.choice([None, None, 0.0, 5.0, 1e9]))

    # What attempts do while they go on

    def be_busy(self) -> None:
        dice = self.chance.random()
        if dice < 0.25:
            node = self.chance.choice(list(self.calls))
            reports = tuple(self.report(node) for _ in range(self.chance.randint(1, 3)))
            self.tell(AttemptReported(node=node, attempt=self.calls[node], reports=reports))
        elif dice < 0.7 or not self.tries:
            self.ask_for_a_step()
        elif dice < 0.75 and self.asked:
            self.let_a_step_go()
        else:
            self.end_a_try()

    def report(self, node: NodeKey) -> Report:
        mine = [(key.step, tried) for key, (_, tried) in self.tries.items() if key.node == node]
        step, tried = self.chance.choice([*mine, (None, 0), ("s", 1)])
        match self.chance.randrange(3):
            case 0:
                return Chunk(self.chance.choice(["x", "é€", "long" * 9]), step, tried)
            case 1:
                return LogLine(LogLevel.INFO, "so", msgspec.Raw(b'{"n":1}'), step)
            case _:
                return Mark(self.chance.choice([None, 0.0, 1 / 3, 1.0]), "at it")

    def ask_for_a_step(self) -> None:
        """Let a call, or a try of a step, ask for a step within it."""
        node = self.chance.choice(list(self.calls))
        within = [f"{key.step}/" for key in self.tries if key.node == node and key.step.count("/") < 2]
        step = self.chance.choice(["", *within]) + self.chance.choice(STEPS)
        self.asked.add(StepKey(node, step))
        request = self.chance.choice(self.requests)
        self.tell(StepRequested(node=node, attempt=self.calls[node], step=step, request=request))

    def let_a_step_go(self) -> None:
        """Let a call no longer want a step, nor anything within it."""
        key = self.chance.choice(sorted(self.asked, key=str))
        self.asked.discard(key)
        self.forget(key.node, f"{key.step}/")
        self.tell(StepDropped(node=key.node, attempt=self.calls[key.node], step=key.step))

    def end_a_try(self) -> None:
        key = self.chance.choice(list(self.tries))
        self.now += timedelta(seconds=self.chance.choice([0, 0, 0, 1]))
        attempt, tried = self.tries[key]
        del self.tries[key]
        step = self.run.step(key.node, key.step)
        assert step is not None
        used = step.request.kind is StepKind.MODEL
        usage = Usage(1, self.chance.randrange(9), 1, self.chance.choice([None, 0.25, 0.5])) if used else None
        if self.chance.random() < 0.6:
            output = Value(msgspec.Raw(b"42"), 2)
            told: Signal = StepSucceeded(
                node=key.node, attempt=attempt, step=key.step, step_attempt=tried, output=output, usage=usage
            )
        else:
            told = StepErred(
                node=key.node,
                attempt=attempt,
                step=key.step,
                step_attempt=tried,
                error=self.failure(),
                usage=usage,
                draw=self.chance.random(),
            )
        self.tell(told)

    # What else is asked for

    def answer(self, command: Evaluate) -> None:
        error = Failure("ExpressionError", "", retryable=False) if self.chance.random() < 0.1 else None
        truth = None if error else self.chance.choice([True, True, False, None])
        self.tell(Evaluated(target=command.target, node=command.node, truth=truth, error=error))

    def fire_a_timer(self) -> None:
        timer = min(self.timers, key=lambda timer: timer.at)
        self.timers.remove(timer)
        early = self.chance.random() < 0.2
        due = timer.at - timedelta(milliseconds=1) if early else timer.at
        self.now = max(self.now, due)
        self.tell(
            TimerFired(
                kind=timer.kind,
                node=timer.node,
                attempt=timer.attempt,
                step=timer.step,
                step_attempt=timer.step_attempt,
                beat_at=self.chance.choice([None, self.now]),
                draw=self.chance.random(),
            )
        )


def live_through(what: Plan, capacity: int, seed: int, requests: Sequence[StepRequest] = ()) -> World:
    """Let a run live until it ends."""
    world = World(what, capacity, random.Random(seed), requests)
    world.tell(Begin())
    for _ in range(LONGEST):
        if world.run.finished_at is not None:
            return world
        world.step()
    raise AssertionError(f"The run has not ended after {LONGEST} steps: {world.run}")
