"""What every store promises of runs that are deleted, and of letters to its executor."""

import asyncio

import pytest

from gql_app.core.errors import WorkflowNotFinishedError, WorkflowNotFoundError, WorkflowRemovedError
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.core.listing import RunQuery
from gql_app.core.signals import CancelRequested
from gql_app.ports import IdempotencyKey
from gql_app.settings import Settings
from tests.support.logs import ending, finished_log, run_id, submission
from tests.support.repositories import OpenRepository

pytestmark = pytest.mark.anyio
FIRST = run_id(1)
OTHER = Namespace("other")


async def test_a_deleted_run_is_gone_with_all_that_belongs_to_it(open_repository: OpenRepository) -> None:
    key = IdempotencyKey("key", "same")

    async with open_repository() as repository:
        await repository.create(finished_log(), values={"aa": b"1"}, idempotency=key)
        await repository.create([submission(2)], values={})
        await repository.delete(DEFAULT_NAMESPACE, FIRST)

        with pytest.raises(WorkflowNotFoundError):
            await repository.summary(DEFAULT_NAMESPACE, FIRST)
        with pytest.raises(WorkflowNotFoundError):
            await repository.value(DEFAULT_NAMESPACE, FIRST, "aa")
        assert [run.run_id for run in (await repository.list(DEFAULT_NAMESPACE, RunQuery())).runs] == [run_id(2)]
        assert await repository.create([submission(3)], values={}, idempotency=key) == run_id(3)


async def test_a_run_that_has_not_ended_is_not_deleted(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission()], values={})

        with pytest.raises(WorkflowNotFinishedError):
            await repository.delete(DEFAULT_NAMESPACE, FIRST)

        assert (await repository.summary(DEFAULT_NAMESPACE, FIRST)).sequence == 1


@pytest.mark.parametrize("namespace", [OTHER, Namespace("nobody")])
async def test_a_run_of_another_namespace_is_not_deleted(open_repository: OpenRepository, namespace: Namespace) -> None:
    async with open_repository() as repository:
        await repository.create(finished_log(), values={})

        with pytest.raises(WorkflowNotFoundError):
            await repository.delete(namespace, FIRST)

        assert (await repository.summary(DEFAULT_NAMESPACE, FIRST)).finished_at is not None


async def test_a_deleted_run_no_longer_counts_for_retention(open_repository: OpenRepository) -> None:
    async with open_repository(settings=Settings(retention_runs=2)) as repository:
        for number in (1, 2):
            await repository.create([submission(number)], values={})
            await repository.append(DEFAULT_NAMESPACE, run_id(number), 1, [ending(2)], values={})
        await repository.delete(DEFAULT_NAMESPACE, run_id(2))
        await repository.create([submission(3)], values={})
        await repository.append(DEFAULT_NAMESPACE, run_id(3), 1, [ending(2)], values={})

        runs = (await repository.list(DEFAULT_NAMESPACE, RunQuery())).runs

    assert {run.run_id for run in runs} == {run_id(1), run_id(3)}


async def test_nobody_waits_for_a_run_that_was_deleted(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission()], values={})
        waiting = asyncio.ensure_future(repository.wait(DEFAULT_NAMESPACE, FIRST, after=1))
        await asyncio.wait([waiting], timeout=0.01)
        await repository.append(DEFAULT_NAMESPACE, FIRST, 1, [ending(2)], values={})
        await repository.delete(DEFAULT_NAMESPACE, FIRST)

        async with asyncio.timeout(10):
            (ended,) = await asyncio.gather(waiting, return_exceptions=True)
            with pytest.raises(WorkflowNotFoundError):
                await repository.wait(DEFAULT_NAMESPACE, FIRST, after=2)

    assert ended is None or isinstance(ended, WorkflowRemovedError)


async def test_of_one_namespace_so_many_finished_runs_stay(open_repository: OpenRepository) -> None:
    async with open_repository(settings=Settings(retention_runs_per_namespace=1)) as repository:
        for number, namespace in ((1, DEFAULT_NAMESPACE), (2, OTHER), (3, DEFAULT_NAMESPACE)):
            await repository.create([submission(number, namespace=namespace)], values={})
            await repository.append(namespace, run_id(number), 1, [ending(2)], values={})

        here = (await repository.list(DEFAULT_NAMESPACE, RunQuery())).runs
        there = (await repository.list(OTHER, RunQuery())).runs

    assert ([run.run_id for run in here], [run.run_id for run in there]) == ([run_id(3)], [run_id(2)])


async def test_letters_are_kept_in_order_until_they_are_thrown_away(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission()], values={})
        for reason in ("first", "second", "third"):
            await repository.send(DEFAULT_NAMESPACE, FIRST, CancelRequested(reason=reason))

        first, second = await repository.letters(limit=2)
        await repository.discard([first, second])
        (third,) = await repository.letters()

    assert [letter.signal for letter in (first, second, third)] == [
        CancelRequested(reason="first"),
        CancelRequested(reason="second"),
        CancelRequested(reason="third"),
    ]
    assert (third.namespace, third.run_id) == (DEFAULT_NAMESPACE, FIRST)


async def test_nobody_writes_to_the_executor_of_a_run_that_is_not_there(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission()], values={})

        with pytest.raises(WorkflowNotFoundError):
            await repository.send(OTHER, FIRST, CancelRequested())

        assert await repository.letters() == []


async def test_who_waits_for_letters_is_told_of_the_next(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission()], values={})
        await repository.letters()
        waiting = asyncio.ensure_future(repository.wait_for_letters())
        await asyncio.wait([waiting], timeout=0.01)

        await repository.send(DEFAULT_NAMESPACE, FIRST, CancelRequested())

        async with asyncio.timeout(10):
            await waiting
        assert len(await repository.letters()) == 1
