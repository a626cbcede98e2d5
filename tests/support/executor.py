"""An executor that calls no tool: the test plays the tools."""

from collections.abc import Mapping
from hashlib import sha256

import msgspec

from gql_app.core.errors import OverloadedError, WorkflowNotFoundError
from gql_app.core.events import Failure
from gql_app.core.fold import fold
from gql_app.core.ids import Namespace, NodeKey, RunId
from gql_app.core.machine import advance
from gql_app.core.run import WorkflowRun
from gql_app.core.signals import (
    AttemptErred,
    AttemptStopped,
    AttemptSucceeded,
    Begin,
    Command,
    Evaluate,
    Evaluated,
    Signal,
    Unlimited,
)
from gql_app.core.values import INLINE_BYTES, Json, Value
from gql_app.ports import Clock, ExecutorLoad, RunRepository


class PlayedExecutor:
    """Lets the machine decide and stores what it says; every attempt goes on until the test ends it.

    Conditions hold, but for `false`, and the output of a run is null.
    """

    def __init__(self, repository: RunRepository, clock: Clock) -> None:
        self.accepting = True
        self.leftovers = 0
        self.started: list[RunId] = []
        self._repository = repository
        self._clock = clock
        self._runs: dict[RunId, WorkflowRun] = {}

    async def start(self, namespace: Namespace, run_id: RunId) -> None:
        if not self.accepting:
            raise OverloadedError("The executor is shutting down.", 5.0)
        self.started.append(run_id)
        self._runs[run_id] = fold(await self._repository.events(namespace, run_id, after=0, limit=1_000_000))
        await self.signal(namespace, run_id, Begin())

    def look_again(self) -> None:
        """Look at nothing: every run is told."""

    async def signal(self, namespace: Namespace, run_id: RunId, signal: Signal) -> None:
        run = self._runs.get(run_id)
        if run is None or run.namespace != namespace:
            raise WorkflowNotFoundError(run_id)
        await self._tell(run, signal, {})

    def load(self) -> ExecutorLoad:
        runs = len(self._runs)
        return ExecutorLoad(runs=runs, attempts=runs, queued=0, leftovers=self.leftovers, accepting=self.accepting)

    async def close(self) -> None:
        self.accepting = False

    async def succeed(self, run_id: RunId, node: str, output: Json = None) -> None:
        """Let the attempt in flight of a node return."""
        run = self._runs[run_id]
        data = msgspec.json.encode(output)
        digest = sha256(data).hexdigest()
        inline = len(data) <= INLINE_BYTES
        value = Value(msgspec.Raw(data), len(data)) if inline else Value(size=len(data), sha256=digest)
        signal = AttemptSucceeded(node=NodeKey(node), attempt=_attempt(run, node), output=value)
        await self._tell(run, signal, {} if inline else {digest: data})

    async def fail(self, run_id: RunId, node: str) -> None:
        """Let the attempt in flight of a node fail for good."""
        run = self._runs[run_id]
        error = Failure("Boom", "it broke", retryable=False)
        await self._tell(run, AttemptErred(node=NodeKey(node), attempt=_attempt(run, node), error=error), {})

    async def stop(self, run_id: RunId, node: str) -> None:
        """Let the attempt in flight of a node stop, as it was asked to."""
        run = self._runs[run_id]
        await self._tell(run, AttemptStopped(node=NodeKey(node), attempt=_attempt(run, node)), {})

    def forget(self, run_id: RunId) -> None:
        """Let go of a run as if another process had it."""
        del self._runs[run_id]

    async def _tell(self, run: WorkflowRun, signal: Signal, values: Mapping[str, bytes]) -> None:
        before = run.sequence
        step = advance(run, signal, self._clock.now(), Unlimited())
        if step.events:
            await self._repository.append(run.namespace, run.run_id, before, step.events, values=values)
        if run.status.final:
            self._runs.pop(run.run_id, None)
        for command in step.commands:
            await self._carry_out(run, command)

    async def _carry_out(self, run: WorkflowRun, command: Command) -> None:
        if isinstance(command, Evaluate):
            key = command.node
            truth = None if key is None else run.node_plan(key).when != "false"
            await self._tell(run, Evaluated(target=command.target, node=command.node, truth=truth), {})


def _attempt(run: WorkflowRun, node: str) -> int:
    return len(run.node(NodeKey(node)).attempts)
