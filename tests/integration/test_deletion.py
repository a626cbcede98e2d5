"""Runs that have ended are removed by who submitted them, or an admin; and what clients are told in trouble."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from gql_app.core.access import ANYBODY, Identity, Scope
from gql_app.core.codec import decode_events, encode_events
from gql_app.core.errors import (
    CorruptRunError,
    NotOwnerError,
    StoreUnavailableError,
    WorkflowNotFinishedError,
    WorkflowNotFoundError,
    WorkflowRemovedError,
)
from gql_app.core.events import RunEvent, WorkflowSubmitted
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace, RunId
from gql_app.core.signals import Signal
from gql_app.ports import Clock, IdempotencyKey, RunRepository
from gql_app.service import RetryFrom
from gql_app.storage.memory import MemoryRunRepository
from tests.support.executor import PlayedExecutor
from tests.support.graphql import Api
from tests.support.logs import submission
from tests.support.service import Stage, document, node

pytestmark = pytest.mark.anyio

WRITER = frozenset({Scope.READ, Scope.WRITE})
ALICE = Identity(name="alice", scopes=WRITER, owner="alice")
NAMESAKE = Identity(name="alice", scopes=WRITER, owner="the other alice")
NAMELESS = Identity(name="jwt", scopes=WRITER)
ADMIN = Identity(name="root", scopes=frozenset({Scope.ADMIN}), owner="root")
DELETE = "mutation ($id: ID!) { deleteWorkflow(id: $id) { __typename ... on Error { message } } }"


async def ended(stage: Stage, by: Identity = ALICE) -> RunId:
    run = await stage.service.submit(DEFAULT_NAMESPACE, document(node("a")), by=by)
    await stage.executor.succeed(run.run_id, "a")
    return run.run_id


@pytest.mark.parametrize("by", [ALICE, ADMIN, ANYBODY], ids=["owner", "admin", "anybody"])
async def test_who_submitted_a_run_and_an_admin_may_delete_it(by: Identity) -> None:
    stage = Stage()
    run = await ended(stage)
    await stage.get(run)

    await stage.service.delete(DEFAULT_NAMESPACE, run, by=by)

    with pytest.raises(WorkflowNotFoundError):
        await stage.get(run)
    with pytest.raises(WorkflowNotFoundError):
        await stage.service.delete(DEFAULT_NAMESPACE, run, by=by)


@pytest.mark.parametrize(
    ("owner", "by"), [(ALICE, NAMESAKE), (ALICE, NAMELESS), (NAMELESS, NAMELESS), (ANYBODY, ALICE)]
)
async def test_nobody_else_may_whatever_they_are_called(owner: Identity, by: Identity) -> None:
    stage = Stage()
    run = await ended(stage, owner)

    with pytest.raises(NotOwnerError):
        await stage.service.delete(DEFAULT_NAMESPACE, run, by=by)

    assert (await stage.get(run)).status.final


async def test_a_run_that_has_not_ended_stays() -> None:
    stage = Stage()
    run = (await stage.service.submit(DEFAULT_NAMESPACE, document(node("a")), by=ALICE)).run_id

    with pytest.raises(WorkflowNotFinishedError):
        await stage.service.delete(DEFAULT_NAMESPACE, run, by=ALICE)
    answer = await Api(stage.service).ask(DELETE, id=run)

    assert answer["deleteWorkflow"]["__typename"] == "WorkflowNotFinished"


async def test_a_retry_belongs_to_who_retries() -> None:
    stage = Stage()
    first = await ended(stage, ALICE)

    again = await stage.service.retry(DEFAULT_NAMESPACE, first, RetryFrom.START, by=NAMELESS)

    assert (again.submitted_by, (await stage.get(first)).submitted_by) == ("jwt", "alice")


async def test_a_run_says_who_submitted_it_but_not_where_nobody_is_asked() -> None:
    stage = Stage()
    query = "query ($id: ID!) { workflow(id: $id) { submittedBy } }"

    told = [await Api(stage.service).ask(query, id=await ended(stage, by)) for by in (ALICE, ANYBODY)]

    assert [each["workflow"]["submittedBy"] for each in told] == ["alice", None]


def test_a_log_of_before_there_were_owners_is_read() -> None:
    old = encode_events([submission()])

    assert b"submitted_by" not in old
    assert b"owner" not in old
    [event] = decode_events(old)
    assert isinstance(event, WorkflowSubmitted)
    assert (event.submitted_by, event.owner) == (None, None)
    whose = msgspec.structs.replace(event, submitted_by="alice", owner="key:alice")
    assert decode_events(encode_events([whose])) == [whose]


async def test_nobody_begins_to_watch_a_run_that_is_gone() -> None:
    stage = Stage()
    run = await ended(stage)
    watching = stage.service.watch(DEFAULT_NAMESPACE, run, after=0)
    await stage.service.delete(DEFAULT_NAMESPACE, run, by=ALICE)

    with pytest.raises(WorkflowNotFoundError):
        await anext(watching)


class Growing(MemoryRunRepository):
    """A store whose updates hold one event each."""

    async def events(self, namespace: Namespace, run_id: RunId, *, after: int, limit: int) -> Sequence[RunEvent]:
        return await super().events(namespace, run_id, after=after, limit=min(limit, 1) if limit == 500 else limit)


async def test_what_was_told_to_others_is_not_told_of_a_run_that_is_gone() -> None:
    stage = Stage(repository=Growing)
    run = await ended(stage)
    watchers = [stage.service.watch(DEFAULT_NAMESPACE, run, after=0) for _ in range(2)]
    [await anext(watcher) for watcher in watchers]
    await anext(watchers[0])

    await stage.service.delete(DEFAULT_NAMESPACE, run, by=ALICE)

    for watcher in watchers:
        with pytest.raises(WorkflowRemovedError):
            await anext(watcher)


async def test_somebody_elses_run_is_forbidden_over_graphql() -> None:
    stage = Stage()
    run = await ended(stage)

    answer = await Api(stage.service, scopes=WRITER, owner="bob").execute(DELETE, id=run)

    assert answer.errors is not None
    assert [error.extensions["code"] for error in answer.errors] == ["FORBIDDEN"]
    assert "workflow" not in str(answer.data or "").replace("deleteWorkflow", "")


class Broken(MemoryRunRepository):
    """A store that is there, until it has an error."""

    error: Exception | None = None

    async def events(self, namespace: Namespace, run_id: RunId, *, after: int, limit: int) -> Sequence[RunEvent]:
        if self.error is not None:
            raise self.error
        return await super().events(namespace, run_id, after=after, limit=limit)

    async def delete(self, namespace: Namespace, run_id: RunId) -> None:
        if isinstance(self.error, StoreUnavailableError):
            raise self.error
        await super().delete(namespace, run_id)

    async def create(
        self, events: Sequence[RunEvent], *, values: Mapping[str, bytes], idempotency: IdempotencyKey | None = None
    ) -> RunId:
        if self.error is not None:
            raise self.error
        return await super().create(events, values=values, idempotency=idempotency)


def broken(error: Exception, stage: Stage) -> None:
    assert isinstance(stage.repository, Broken)
    stage.repository.error = error


async def test_a_store_that_is_not_available_refuses_every_mutation_as_overload() -> None:
    stage = Stage(repository=Broken)
    run = await ended(stage)
    api = Api(stage.service)
    broken(StoreUnavailableError("the disk is full"), stage)

    answers = [
        await api.perform("SubmitWorkflow", spec=document(node("a"))),
        await api.perform("CancelWorkflow", id=run),
        await api.perform("RetryWorkflow", id=run),
        await api.perform("DeleteWorkflow", id=run),
    ]

    assert [answer["__typename"] for answer in answers] == ["Overloaded"] * 4
    assert [answer["retryAfterSeconds"] for answer in answers] == [5.0] * 4


@pytest.mark.parametrize(
    ("error", "code"),
    [(StoreUnavailableError("no route"), "UNAVAILABLE"), (CorruptRunError(RunId("x"), "not JSON"), "CORRUPT_RUN")],
)
async def test_queries_and_subscriptions_say_what_is_wrong_with_the_store(error: Exception, code: str) -> None:
    stage = Stage(repository=Broken)
    run = await ended(stage)
    api = Api(stage.service)
    broken(error, stage)

    read = await api.execute("query ($id: ID!) { workflow(id: $id) { status } }", id=run)
    [told] = [
        each
        async for each in await api.subscribe(
            "subscription ($id: ID!) { workflowUpdates(id: $id) { sequence } }", id=run
        )
    ]

    for answer in (read, told):
        assert answer.errors is not None
        assert [each.extensions["code"] for each in answer.errors] == [code]
        assert str(error) in answer.errors[0].message


async def test_an_admin_may_delete_what_cannot_be_read() -> None:
    stage = Stage(repository=Broken)
    run = await ended(stage)
    broken(CorruptRunError(run, "not JSON"), stage)

    await stage.service.delete(DEFAULT_NAMESPACE, run, by=ADMIN)

    with pytest.raises(WorkflowNotFoundError):
        await stage.repository.summary(DEFAULT_NAMESPACE, run)


class Elsewhere(PlayedExecutor):
    """An executor in another process: a signal is a letter."""

    def __init__(self, repository: RunRepository, clock: Clock) -> None:
        super().__init__(repository, clock)
        self.letters: list[Signal] = []

    async def signal(self, namespace: Namespace, run_id: RunId, signal: Signal) -> None:
        self.letters.append(signal)


async def test_a_cancellation_that_was_left_for_the_executor_is_a_success_though_nothing_has_changed() -> None:
    stage = Stage(executor=Elsewhere)
    run = await stage.submit(node("a"))

    async with asyncio.timeout(10):
        answer = await Api(stage.service).perform("CancelWorkflow", id=run, reason="enough")

    assert answer["__typename"] == "CancelWorkflowSuccess"
    assert answer["workflow"]["status"] == "PENDING"
    assert isinstance(stage.executor, Elsewhere)
    assert len(stage.executor.letters) == 2
