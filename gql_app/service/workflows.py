"""The service: every use case of workflows, for one caller's namespace at a time."""

import os
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from typing import Final

import msgspec

from gql_app.core.access import ANYBODY, Identity, Scope
from gql_app.core.errors import (
    InvalidArgumentError,
    InvalidCursorError,
    NotOwnerError,
    OverloadedError,
    StoreUnavailableError,
    ToolError,
    WorkflowAlreadyFinishedError,
    WorkflowNotFinishedError,
    WorkflowNotFoundError,
)
from gql_app.core.events import NodeLog, Outcome, RunEvent, WorkflowSubmitted
from gql_app.core.expressions import compile_template, node_references
from gql_app.core.ids import Namespace, RunId, make_run_id
from gql_app.core.listing import RunPage, RunQuery, RunSummary
from gql_app.core.plan import ToolDefinition
from gql_app.core.planning import ABSENT, Absent, Planned
from gql_app.core.run import NodeRun, RunStatus, WorkflowRun
from gql_app.core.scope import decode, scope, values_of
from gql_app.core.signals import CancelRequested
from gql_app.core.values import Json, Value
from gql_app.ports import Clock, Evaluator, Executor, IdempotencyKey, RunRepository, Secrets, Tools
from gql_app.service.actions import available_actions, nothing_to_retry
from gql_app.service.answers import AvailableAction, Health, RetryFrom, Update
from gql_app.service.checkup import Checkup
from gql_app.service.completion import complete
from gql_app.service.filters import UpdateTopic
from gql_app.service.planner import Planner
from gql_app.service.reader import RunReader
from gql_app.service.streamed import KEPT_LINES, StreamedText
from gql_app.service.submission import Submission, make_submission, reusable, reuse
from gql_app.service.watching import watch
from gql_app.settings import Settings
from gql_app.telemetry.monitor import UNMONITORED, Monitor

MAXIMUM_EVENTS: Final = 1_000
MAXIMUM_KEY: Final = 255
MAXIMUM_REASON: Final = 2_000
MAXIMUM_PAGE: Final = 100


class WorkflowService:
    """What a client can ask of workflows. Runs that are given out are shared: read them, do not change them."""

    def __init__(
        self,
        *,
        repository: RunRepository,
        executor: Executor,
        evaluator: Evaluator,
        tools: Tools,
        clock: Clock,
        settings: Settings,
        secrets: Secrets | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
        monitor: Monitor = UNMONITORED,
    ) -> None:
        self._repository = repository
        self._executor = executor
        self._evaluator = evaluator
        self._tools = tools
        self._clock = clock
        self._random_bytes = random_bytes
        self._monitor = monitor
        self._reader = RunReader(repository)
        self._checkup = Checkup(repository, executor, clock, settings)
        self._planner = Planner(tools, secrets, settings)

    async def validate(self, namespace: Namespace, document: Json, *, input: Json | Absent = ABSENT) -> Planned:
        """Plan a document without running it. Raises `InvalidWorkflowError` with every problem."""
        return await self._planner.plan(namespace, document, input)

    async def submit(
        self,
        namespace: Namespace,
        document: Json,
        *,
        input: Json | Absent = ABSENT,
        idempotency_key: str | None = None,
        by: Identity = ANYBODY,
    ) -> WorkflowRun:
        """Store a run and start it; with a key that was used for the same before, find that run."""
        if idempotency_key is not None and not 1 <= len(idempotency_key) <= MAXIMUM_KEY:
            rule = f"it must have 1 to {MAXIMUM_KEY} characters."
            raise InvalidArgumentError("idempotencyKey", idempotency_key[:MAXIMUM_KEY], rule)
        planned = await self.validate(namespace, document, input=input)
        submission = self._make_submission(planned, namespace, by)
        key = IdempotencyKey(idempotency_key, planned.fingerprint) if idempotency_key is not None else None
        return await self.get(namespace, await complete(self._launch(namespace, submission, key)))

    async def get(self, namespace: Namespace, run_id: RunId, *, at: int | None = None) -> WorkflowRun:
        """Give a run as it is now, or as it was at the sequence `at`.

        Raises `WorkflowNotFoundError`, and `InvalidCursorError` for a sequence that it has not come to.
        """
        if at is not None:
            return await self._reader.past(namespace, run_id, at)
        return await self._reader.current(namespace, run_id)

    async def summary(self, namespace: Namespace, run_id: RunId) -> RunSummary:
        """Give what lists show of a run. Raises `WorkflowNotFoundError`."""
        return await self._repository.summary(namespace, run_id)

    async def list(self, namespace: Namespace, query: RunQuery) -> RunPage:
        """List runs."""
        if not 0 <= query.limit <= MAXIMUM_PAGE:
            raise InvalidArgumentError("limit", query.limit, f"it must be 0 to {MAXIMUM_PAGE}.")
        return await self._repository.list(namespace, query)

    async def events(
        self, namespace: Namespace, run_id: RunId, *, after: int = 0, limit: int = 100
    ) -> Sequence[RunEvent]:
        """Read a part of a run's log; nothing if there is nothing after `after`."""
        if not 0 <= limit <= MAXIMUM_EVENTS:
            raise InvalidArgumentError("limit", limit, f"it must be 0 to {MAXIMUM_EVENTS}.")
        if after < 0:
            raise InvalidCursorError(after, "the first event has sequence 1; use 0 to read from the beginning.")
        return await self._repository.events(namespace, run_id, after=after, limit=limit)

    def watch(
        self,
        namespace: Namespace,
        run_id: RunId,
        *,
        after: int | None = None,
        only: Collection[UpdateTopic] | None = None,
        nodes: Sequence[str] | None = None,
    ) -> AsyncGenerator[Update, None]:
        """Tell everything that happens after the sequence `after`, once and in order, until the run has ended.

        Without `after` the state now comes first, then what is new. `only` and `nodes` leave out what is of no such
        topic or node; the sequence moves on over it, and the run's end is always told. Raises `WorkflowNotFoundError`,
        `InvalidCursorError`, `InvalidArgumentError`, and `WorkflowRemovedError` if the run is removed meanwhile.
        """
        return watch(self._reader, namespace, run_id, after=after, only=only, nodes=nodes)

    async def cancel(self, namespace: Namespace, run_id: RunId, reason: str | None = None) -> WorkflowRun:
        """Stop a run. One that is stopping already is given as it is; one that has ended is an error.

        Where another process executes it, that one has been left word of it, and the run may still look as before.
        """
        if reason is not None and len(reason) > MAXIMUM_REASON:
            raise InvalidArgumentError("reason", f"{reason[:20]}…", f"it may have {MAXIMUM_REASON} characters.")
        run = await self.get(namespace, run_id)
        if run.status.final:
            raise WorkflowAlreadyFinishedError(run_id, run.status)
        if run.status is not RunStatus.STOPPING:
            run = await self._request_cancel(namespace, run_id, reason)
        return run

    async def retry(
        self, namespace: Namespace, run_id: RunId, from_: RetryFrom = RetryFrom.FAILED, *, by: Identity = ANYBODY
    ) -> WorkflowRun:
        """Run a document and input again as a new run; from `FAILED`, what completed before is carried over."""
        run = await self.get(namespace, run_id)
        if not run.status.final:
            raise WorkflowNotFinishedError(run_id, run.status)
        if from_ is RetryFrom.FAILED and (reason := nothing_to_retry(run)):
            raise InvalidArgumentError("from", from_.value, reason)
        planned = await self.validate(
            namespace, msgspec.json.decode(run.document), input=await self.value(run, run.input)
        )
        submission = self._make_submission(planned, namespace, by, retry_of=run_id)
        if from_ is RetryFrom.FAILED:
            nodes = reusable(run)
            reuse(submission, nodes)
            submission.values.update(await self._stored(run, [node.output for node in nodes]))
        return await self.get(namespace, await complete(self._launch(namespace, submission, None)))

    async def delete(self, namespace: Namespace, run_id: RunId, *, by: Identity = ANYBODY) -> None:
        """Remove a run that has ended, for good: for an admin, or who submitted it. Whoever watches it is told.

        Raises `WorkflowNotFoundError`, `WorkflowNotFinishedError` and `NotOwnerError`.
        """
        # An admin may delete what cannot be read any more.
        if not by.may(Scope.ADMIN) and not await self._owns(namespace, run_id, by):
            raise NotOwnerError(run_id, by.name)
        await self._repository.delete(namespace, run_id)
        self._reader.forget(namespace, run_id)

    async def value(self, run: WorkflowRun, value: Value) -> Json:
        """Decode a value of a run, wherever it is."""
        return decode(value, await self._stored(run, [value]))

    async def node_input(self, run: WorkflowRun, node: NodeRun) -> Json:
        """Resolve a node's input; null while a node it mentions has not ended, and if it cannot be resolved.

        Secrets are not resolved: their placeholders stand there.
        """
        template = compile_template(run.plan.nodes[node.index].input, secrets=True)
        mentioned = (run.nodes[run.topology.index[name]] for name in node_references(template.paths))
        if not all(other.status.final for other in mentioned):
            return None
        stored = await self._stored(run, values_of(run, template.paths))
        try:
            data = scope(run, template.paths, stored)
            prepared = await self._evaluator.evaluate(template, data, namespace=run.namespace, run_id=run.run_id)
        except ToolError:
            return None
        return template.show(prepared)

    async def streamed(self, run: WorkflowRun, node: NodeRun) -> StreamedText | None:
        """Give what the latest attempt of a node had streamed when the run was as it is given; None if nothing."""
        return await self._reader.streamed(run, node)

    async def logged(self, run: WorkflowRun, node: NodeRun, count: int) -> Sequence[NodeLog]:
        """Give the last lines that a node had logged when the run was as it is given, oldest first."""
        if not 1 <= count <= KEPT_LINES:
            raise InvalidArgumentError("last", count, f"it must be from 1 to {KEPT_LINES}.")
        return await self._reader.logged(run, node, count)

    def actions(self, run: WorkflowRun) -> tuple[AvailableAction, ...]:
        """Tell what can be done with a run now."""
        return available_actions(run)

    def tools(self, namespace: Namespace) -> Mapping[str, ToolDefinition]:
        """Tell the tools that a namespace may use, by name."""
        return self._tools.definitions(namespace)

    def include_in_health(self, name: str, examine: Callable[[], str | None]) -> None:
        """Let the health tell of another part, too: `examine` says what is wrong with it, if anything."""
        self._checkup.include(name, examine)

    async def why_not_ready(self) -> str | None:
        """Say why no new runs are taken, if none are."""
        return await self._checkup.why_not_ready()

    async def health(self) -> Health:
        """Tell how the service is."""
        return await self._checkup.examine()

    async def _owns(self, namespace: Namespace, run_id: RunId, by: Identity) -> bool:
        [first] = await self._repository.events(namespace, run_id, after=0, limit=1)
        assert isinstance(first, WorkflowSubmitted)
        return by.owner is not None and first.owner == by.owner

    def _make_submission(
        self, planned: Planned, namespace: Namespace, by: Identity, *, retry_of: RunId | None = None
    ) -> Submission:
        now = self._clock.now()
        return make_submission(
            planned,
            namespace=namespace,
            run_id=make_run_id(int(now.timestamp() * 1000), self._random_bytes(10)),
            at=now,
            retry_of=retry_of,
            by=by,
        )

    async def _launch(self, namespace: Namespace, submission: Submission, key: IdempotencyKey | None) -> RunId:
        if not self._executor.load().accepting:
            raise OverloadedError("The service is shutting down.", 5.0)
        try:
            run_id = await self._repository.create(submission.events, values=submission.values, idempotency=key)
            if run_id == submission.run_id:
                self._monitor.submitted(submission.submitted)
                await self._executor.start(namespace, run_id)
        except StoreUnavailableError:
            # It may be stored all the same, and who comes back with the key only finds it.
            self._executor.look_again()
            raise
        return run_id

    async def _request_cancel(self, namespace: Namespace, run_id: RunId, reason: str | None) -> WorkflowRun:
        try:
            await self._executor.signal(namespace, run_id, CancelRequested(reason=reason))
        except WorkflowNotFoundError:
            run = await self.get(namespace, run_id)
            if not run.status.final:
                raise OverloadedError(f"Nobody runs {run_id!r} at the moment.", 1.0) from None
        else:
            run = await self.get(namespace, run_id)
        if run.status.final and run.outcome is not Outcome.CANCELLED:
            raise WorkflowAlreadyFinishedError(run_id, run.status)
        return run

    async def _stored(self, run: WorkflowRun, values: Sequence[Value]) -> dict[str, bytes]:
        """Fetch those of the values that are not inline."""
        wanted = dict.fromkeys(value.sha256 for value in values if value.sha256 is not None)
        return {sha256: await self._repository.value(run.namespace, run.run_id, sha256) for sha256 in wanted}
