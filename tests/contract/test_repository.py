"""What every store promises: the suite that each passes unchanged."""

import asyncio
from collections.abc import Sequence

import pytest

from gql_app.core.codec import encode_events
from gql_app.core.errors import (
    IdempotencyConflictError,
    StaleWriterError,
    WorkflowNotFoundError,
)
from gql_app.core.events import Outcome, RunEvent
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.core.listing import RunQuery
from gql_app.core.run import RunStatus
from gql_app.ports import IdempotencyKey, RunRepository
from tests.support.logs import ending, finished_log, later, progress, run_id, stopping, submission
from tests.support.repositories import OpenRepository

pytestmark = pytest.mark.anyio
OTHER = Namespace("other")
FIRST = run_id(1)


async def read(repository: RunRepository, *, after: int = 0, limit: int = 1_000) -> bytes:
    """Read the first run's log; encoded logs are equal if the events are."""
    return encode_events(await repository.events(DEFAULT_NAMESPACE, FIRST, after=after, limit=limit))


async def append(repository: RunRepository, expected: int, events: Sequence[RunEvent], **values: bytes) -> None:
    await repository.append(DEFAULT_NAMESPACE, FIRST, expected, events, values=values)


async def test_a_log_is_read_as_it_was_written(open_repository: OpenRepository) -> None:
    log = finished_log(nodes=3)

    async with open_repository() as repository:
        created = await repository.create(log[:1], values={})
        await append(repository, 1, log[1:4])
        await append(repository, 4, log[4:])

        assert created == FIRST
        assert await read(repository) == encode_events(log)


@pytest.mark.parametrize("finished", [False, True])
async def test_a_part_of_a_log_is_read_from_any_place(open_repository: OpenRepository, finished: bool) -> None:
    log = finished_log(nodes=300)[: None if finished else -1]

    async with open_repository() as repository:
        await repository.create(log[:1], values={})
        await append(repository, 1, log[1:])

        for after, limit in [(0, 1), (0, 0), (255, 2), (256, 256), (500, 50), (599, 10), (len(log), 5), (5_000, 5)]:
            assert await read(repository, after=after, limit=limit) == encode_events(log[after : after + limit])


@pytest.mark.parametrize("finished", [False, True])
async def test_the_same_events_at_the_same_place_again_succeed(open_repository: OpenRepository, finished: bool) -> None:
    log = finished_log(nodes=2)[: None if finished else -1]

    async with open_repository() as repository:
        await repository.create(log[:1], values={})
        await append(repository, 1, log[1:3])
        await append(repository, 3, log[3:])

        await append(repository, 1, log[1:3])
        await append(repository, 3, log[3:])

        assert await read(repository) == encode_events(log)


@pytest.mark.parametrize(
    ("expected", "first"),
    [(1, 2), (2, 3), (3, 4), (5, 6)],
    ids=["other events there", "others further on", "overlapping the end", "beyond the end"],
)
async def test_a_writer_that_is_not_at_the_end_is_refused(
    open_repository: OpenRepository, expected: int, first: int
) -> None:
    log = finished_log(nodes=2)
    others = [stopping(first), ending(first + 1, outcome=Outcome.CANCELLED)]

    async with open_repository() as repository:
        await repository.create(log[:1], values={})
        await append(repository, 1, log[1:4])

        with pytest.raises(StaleWriterError) as raised:
            await append(repository, expected, others)

        assert (raised.value.run_id, raised.value.expected, raised.value.actual) == (FIRST, expected, 4)
        assert await read(repository) == encode_events(log[:4])


async def test_a_writer_beyond_the_end_is_refused_even_if_it_writes_nothing(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission()], values={})

        with pytest.raises(StaleWriterError):
            await append(repository, 2, [])


async def test_events_that_reach_beyond_what_is_stored_are_not_the_same_events(open_repository: OpenRepository) -> None:
    log = finished_log(nodes=2)

    async with open_repository() as repository:
        await repository.create(log[:1], values={})
        await append(repository, 1, log[1:3])

        with pytest.raises(StaleWriterError):
            await append(repository, 1, log[1:5])

        assert await read(repository) == encode_events(log[:3])


async def test_events_with_a_gap_are_refused_and_none_is_stored(open_repository: OpenRepository) -> None:
    log = finished_log(nodes=2)

    async with open_repository() as repository:
        await repository.create(log[:1], values={})

        with pytest.raises(ValueError, match="event 4 stands where 3 belongs"):
            await append(repository, 1, [log[1], log[3]], abc=b'"value"')

        assert await read(repository) == encode_events(log[:1])
        with pytest.raises(KeyError):
            await repository.value(DEFAULT_NAMESPACE, FIRST, "abc")


async def test_nothing_follows_the_end_of_a_run(open_repository: OpenRepository) -> None:
    log = finished_log()

    async with open_repository() as repository:
        await repository.create(log[:1], values={})
        await append(repository, 1, log[1:])

        with pytest.raises(ValueError, match="has ended"):
            await append(repository, len(log), [ending(len(log) + 1, outcome=Outcome.FAILED)])

        assert await read(repository) == encode_events(log)


async def test_a_log_that_does_not_begin_at_the_beginning_is_refused(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        for events in ([], progress()):
            with pytest.raises(ValueError, match="begins with WorkflowSubmitted"):
                await repository.create(events, values={})

        assert await repository.unfinished() == []


async def test_a_run_that_was_created_already_is_found_when_its_creator_asks_again(
    open_repository: OpenRepository,
) -> None:
    async with open_repository() as repository:
        await repository.create([submission()], values={})

        again = await repository.create([submission()], values={})
        with pytest.raises(StaleWriterError):
            await repository.create([submission(name="another")], values={})

        assert again == FIRST
        assert (await repository.summary(DEFAULT_NAMESPACE, FIRST)).name == "brief"


async def test_values_are_kept_beside_the_log_of_their_run(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission(1)], values={"aa": b'"input"'})
        await repository.create([submission(2)], values={})
        await append(repository, 1, progress(), bb=b'"output"')

        assert await repository.value(DEFAULT_NAMESPACE, FIRST, "aa") == b'"input"'
        assert await repository.value(DEFAULT_NAMESPACE, FIRST, "bb") == b'"output"'
        with pytest.raises(KeyError):
            await repository.value(DEFAULT_NAMESPACE, run_id(2), "aa")


@pytest.mark.parametrize("namespace", [DEFAULT_NAMESPACE, OTHER])
async def test_a_run_that_is_not_in_the_namespace_is_not_found(
    open_repository: OpenRepository, namespace: Namespace
) -> None:
    there = DEFAULT_NAMESPACE if namespace == OTHER else OTHER

    async with open_repository() as repository:
        await repository.create([submission(namespace=there)], values={"aa": b"1"})

        for call in (
            repository.append(namespace, FIRST, 1, progress(), values={}),
            repository.events(namespace, FIRST, after=0, limit=1),
            repository.wait(namespace, FIRST, after=0),
            repository.value(namespace, FIRST, "aa"),
            repository.summary(namespace, FIRST),
        ):
            with pytest.raises(WorkflowNotFoundError, match=FIRST):
                await call
        assert (await repository.list(namespace, RunQuery())).runs == ()
        assert (await repository.summary(there, FIRST)).sequence == 1


async def test_a_summary_follows_the_log(open_repository: OpenRepository) -> None:
    first = submission(name="report", labels={"team": "a"}, retry_of=run_id(9), at=later(1))

    async with open_repository() as repository:
        await repository.create([first], values={})
        pending = await repository.summary(DEFAULT_NAMESPACE, FIRST)
        await append(repository, 1, progress(at=later(2)))
        running = await repository.summary(DEFAULT_NAMESPACE, FIRST)
        await append(repository, 4, [stopping(5, at=later(3))])
        slowing = await repository.summary(DEFAULT_NAMESPACE, FIRST)
        await append(repository, 5, [ending(6, outcome=Outcome.CANCELLED, at=later(4))])
        ended = await repository.summary(DEFAULT_NAMESPACE, FIRST)

    assert (pending.name, pending.labels, pending.retry_of) == ("report", {"team": "a"}, run_id(9))
    assert (pending.run_id, pending.namespace, pending.created_at) == (FIRST, DEFAULT_NAMESPACE, later(1))
    assert (pending.status, pending.sequence, pending.started_at) == (RunStatus.PENDING, 1, None)
    assert (running.status, running.sequence, running.started_at) == (RunStatus.RUNNING, 4, later(2))
    assert (slowing.status, slowing.sequence, slowing.finished_at) == (RunStatus.STOPPING, 5, None)
    assert (ended.status, ended.sequence, ended.finished_at) == (RunStatus.CANCELLED, 6, later(4))


@pytest.mark.parametrize("outcome", Outcome)
async def test_a_run_ends_with_its_outcome(open_repository: OpenRepository, outcome: Outcome) -> None:
    async with open_repository() as repository:
        await repository.create([submission()], values={})
        await append(repository, 1, [ending(2, outcome=outcome)])

        summary = await repository.summary(DEFAULT_NAMESPACE, FIRST)

    assert summary.status == outcome.value


async def test_unfinished_runs_are_told_oldest_first_from_all_namespaces(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission(1, at=later(3))], values={})
        await repository.create([submission(2, at=later(1), namespace=OTHER)], values={})
        await repository.create([submission(3, at=later(2))], values={})
        await repository.append(DEFAULT_NAMESPACE, run_id(3), 1, [ending(2)], values={})

        assert await repository.unfinished() == [(OTHER, run_id(2)), (DEFAULT_NAMESPACE, FIRST)]


async def test_an_idempotency_key_leads_to_the_run_it_was_used_for(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        first = await repository.create([submission(1)], values={}, idempotency=IdempotencyKey("key", "same"))
        again = await repository.create([submission(2)], values={}, idempotency=IdempotencyKey("key", "same"))
        other_key = await repository.create([submission(3)], values={}, idempotency=IdempotencyKey("key2", "same"))

        assert (first, again, other_key) == (FIRST, FIRST, run_id(3))
        with pytest.raises(WorkflowNotFoundError):
            await repository.summary(DEFAULT_NAMESPACE, run_id(2))


async def test_an_idempotency_key_is_not_used_for_something_else(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission(1)], values={}, idempotency=IdempotencyKey("key", "this"))

        with pytest.raises(IdempotencyConflictError) as raised:
            await repository.create([submission(2)], values={}, idempotency=IdempotencyKey("key", "that"))

        assert (raised.value.run_id, raised.value.key) == (FIRST, "key")
        assert len((await repository.list(DEFAULT_NAMESPACE, RunQuery())).runs) == 1


async def test_an_idempotency_key_belongs_to_its_namespace(open_repository: OpenRepository) -> None:
    key = IdempotencyKey("key", "this")

    async with open_repository() as repository:
        await repository.create([submission(1)], values={}, idempotency=key)
        there = await repository.create([submission(2, namespace=OTHER)], values={}, idempotency=key)

        assert there == run_id(2)


async def test_two_submissions_at_once_with_one_key_make_one_run(open_repository: OpenRepository) -> None:
    key = IdempotencyKey("key", "same")

    async with open_repository() as repository:
        ids = await asyncio.gather(
            *(repository.create([submission(number)], values={}, idempotency=key) for number in range(1, 9))
        )
        runs = (await repository.list(DEFAULT_NAMESPACE, RunQuery())).runs

    assert len(runs) == 1
    assert set(ids) == {runs[0].run_id}
