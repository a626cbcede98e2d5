"""How many runs every store takes, in all and of each namespace."""

import asyncio
from collections.abc import Sequence

import pytest

from gql_app.core.errors import OverloadedError
from gql_app.core.events import Outcome, RunEvent
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.ports import IdempotencyKey, RunRepository
from gql_app.settings import Settings
from tests.support.logs import ending, later, progress, run_id, stopping, submission
from tests.support.repositories import OpenRepository

pytestmark = pytest.mark.anyio
OTHER = Namespace("other")
THIRD = Namespace("third")


def limits(active: int, queued: int, *, active_each: int = 100, queued_each: int = 100) -> Settings:
    return Settings(
        maximum_active_runs=active,
        maximum_queued_runs=queued,
        maximum_active_runs_per_namespace=active_each,
        maximum_queued_runs_per_namespace=queued_each,
    )


async def take(repository: RunRepository, *numbers: int, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
    for number in numbers:
        await repository.create([submission(number, namespace=namespace)], values={})


async def refuse(repository: RunRepository, number: int, namespace: Namespace = DEFAULT_NAMESPACE) -> str:
    with pytest.raises(OverloadedError) as raised:
        await repository.create([submission(number, namespace=namespace)], values={})
    assert 1 <= raised.value.retry_after_seconds <= 60
    return str(raised.value)


async def append(
    repository: RunRepository,
    number: int,
    expected: int,
    events: Sequence[RunEvent],
    namespace: Namespace = DEFAULT_NAMESPACE,
) -> None:
    await repository.append(namespace, run_id(number), expected, events, values={})


async def begin(repository: RunRepository, *numbers: int, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
    for number in numbers:
        await append(repository, number, 1, progress(), namespace)


async def test_as_many_runs_are_taken_as_may_be_active_and_wait(open_repository: OpenRepository) -> None:
    key = IdempotencyKey("key", "same")

    async with open_repository(settings=limits(2, 1)) as repository:
        await repository.create([submission(1)], values={}, idempotency=key)
        await take(repository, 2, 3)

        message = await refuse(repository, 4)
        await begin(repository, 1, 2)
        await refuse(repository, 4)
        again = await repository.create([submission(5)], values={}, idempotency=key)
        await append(repository, 1, 4, [ending(5)])
        await take(repository, 6)
        await refuse(repository, 7)

        assert again == run_id(1)
        assert message == ("2 runs are under way and 1 wait for their turn, as many as there may be. Try again in 5 s.")
        assert [run for _, run in await repository.unfinished()] == [run_id(number) for number in (2, 3, 6)]


async def test_a_namespace_has_limits_of_its_own(open_repository: OpenRepository) -> None:
    async with open_repository(settings=limits(10, 10, active_each=1, queued_each=1)) as repository:
        await take(repository, 1, 2)
        await begin(repository, 1)

        message = await refuse(repository, 3)
        await take(repository, 4, 5, namespace=OTHER)
        await refuse(repository, 6, OTHER)
        await append(repository, 1, 4, [ending(5)])
        await take(repository, 3)

        assert "of your namespace" in message


async def test_nothing_waits_where_nothing_may(open_repository: OpenRepository) -> None:
    async with open_repository(settings=limits(2, 0)) as repository:
        await take(repository, 1)
        await take(repository, 2, namespace=OTHER)

        await refuse(repository, 3)
        await refuse(repository, 3, THIRD)
        await begin(repository, 1)
        await refuse(repository, 3)
        await append(repository, 1, 4, [stopping(5), ending(6, outcome=Outcome.CANCELLED)])
        await take(repository, 3)


async def test_runs_that_wait_for_their_own_namespace_take_no_place_of_others(open_repository: OpenRepository) -> None:
    async with open_repository(settings=limits(2, 5, active_each=1, queued_each=2)) as repository:
        await take(repository, 1)
        await begin(repository, 1)
        await take(repository, 2, 3)

        await take(repository, 4, 5, 6, namespace=OTHER)

        await refuse(repository, 7)
        await refuse(repository, 7, OTHER)


async def test_a_run_that_is_cancelled_before_its_turn_makes_room(open_repository: OpenRepository) -> None:
    async with open_repository(settings=limits(1, 1)) as repository:
        await take(repository, 1, 2)
        await begin(repository, 1)

        await append(repository, 2, 1, [stopping(2), ending(3, outcome=Outcome.CANCELLED)])

        await take(repository, 3)
        await refuse(repository, 4)


async def test_of_many_submissions_at_once_no_more_are_taken_than_there_is_room(
    open_repository: OpenRepository,
) -> None:
    async with open_repository(settings=limits(3, 4)) as repository:
        answers = await asyncio.gather(
            *(repository.create([submission(number)], values={}) for number in range(20)), return_exceptions=True
        )

        assert sum(isinstance(answer, OverloadedError) for answer in answers) == 13
        assert len(await repository.unfinished()) == 7


async def test_how_long_to_wait_is_told_by_how_long_runs_took(open_repository: OpenRepository) -> None:
    async with open_repository(settings=limits(2, 0)) as repository:
        for number in range(3):
            await take(repository, number)
            await append(repository, number, 1, [*progress(), ending(5, at=later(40))])
        await take(repository, 3, 4)
        await begin(repository, 3, 4)

        with pytest.raises(OverloadedError) as raised:
            await repository.create([submission(5)], values={})

    assert raised.value.retry_after_seconds == 20


async def test_runs_that_have_begun_are_told_before_those_that_wait(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission(1, at=later(1))], values={})
        await repository.create([submission(2, at=later(2), namespace=OTHER)], values={})
        await begin(repository, 2, namespace=OTHER)

        assert await repository.unfinished() == [(OTHER, run_id(2)), (DEFAULT_NAMESPACE, run_id(1))]
