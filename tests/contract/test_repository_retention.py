"""What every store that removes finished runs promises."""

import pytest

from gql_app.core.errors import WorkflowNotFoundError
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace, RunId
from gql_app.core.listing import RunQuery
from gql_app.ports import IdempotencyKey, RunRepository
from gql_app.settings import Settings
from tests.support.logs import ending, later, run_id, submission
from tests.support.repositories import REPOSITORIES, WITH_RETENTION, ManualClock, OpenRepository
from tests.support.streams import StreamLog

pytestmark = pytest.mark.anyio


@pytest.fixture(params=WITH_RETENTION)
def open_repository(request: pytest.FixtureRequest) -> OpenRepository:
    opened: OpenRepository = REPOSITORIES[request.param]
    return opened


async def create(repository: RunRepository, number: int, *, key: str | None = None, value: bytes | None = None) -> None:
    idempotency = IdempotencyKey(key, "same") if key is not None else None
    values = {"aa": value} if value is not None else {}
    await repository.create([submission(number, at=later(number))], values=values, idempotency=idempotency)


async def finish(repository: RunRepository, number: int, *, seconds: float = 0) -> None:
    await repository.append(DEFAULT_NAMESPACE, run_id(number), 1, [ending(2, at=later(seconds))], values={})


async def there(repository: RunRepository) -> set[RunId]:
    return {run.run_id for run in (await repository.list(DEFAULT_NAMESPACE, RunQuery(limit=100))).runs}


async def test_of_too_many_finished_runs_those_go_that_finished_first(open_repository: OpenRepository) -> None:
    async with open_repository(settings=Settings(retention_runs=2)) as repository:
        for number in (1, 2, 3, 4, 5):
            await create(repository, number)

        for number in (4, 2, 3, 1):
            await finish(repository, number)

        assert await there(repository) == {run_id(3), run_id(1), run_id(5)}
        with pytest.raises(WorkflowNotFoundError):
            await repository.events(DEFAULT_NAMESPACE, run_id(4), after=0, limit=1)


async def test_a_run_goes_so_long_after_it_finished(open_repository: OpenRepository) -> None:
    clock = ManualClock()

    async with open_repository(clock=clock, settings=Settings(retention_seconds=60)) as repository:
        for number in (1, 2, 3):
            await create(repository, number)
        await finish(repository, 1, seconds=0)
        await finish(repository, 2, seconds=10)
        clock.advance(60)
        kept = await there(repository)
        with pytest.raises(WorkflowNotFoundError):
            await repository.summary(DEFAULT_NAMESPACE, run_id(1))
        clock.advance(10)
        with pytest.raises(WorkflowNotFoundError):
            await repository.wait(DEFAULT_NAMESPACE, run_id(2), after=0)
        left = await there(repository)

    assert (kept, left) == ({run_id(2), run_id(3)}, {run_id(3)})


async def test_runs_whose_values_take_too_much_go_but_the_last_one_stays(open_repository: OpenRepository) -> None:
    big = b'"' + b"x" * (1 << 20) + b'"'

    async with open_repository(settings=Settings(retention_bytes=1 << 20)) as repository:
        await create(repository, 1)
        await create(repository, 2, value=big)
        await create(repository, 3)
        await finish(repository, 1)
        before = await there(repository)
        await finish(repository, 2)
        after = await there(repository)
        await finish(repository, 3)
        last = await there(repository)

    assert before == {run_id(1), run_id(2), run_id(3)}
    assert after == {run_id(2), run_id(3)}
    assert last == {run_id(3)}


async def test_what_attempts_have_shown_counts_like_values(open_repository: OpenRepository) -> None:
    async with open_repository(settings=Settings(retention_bytes=1 << 20)) as repository:
        for number in (1, 2, 3):
            log = StreamLog(number)
            log.start()
            log.chunk("x" * 300_000)
            log.log("y" * 1_000)
            log.chunk("é" * 150_000)
            log.complete()
            log.end()
            await repository.create(log.events[:4], values={})
            await repository.append(DEFAULT_NAMESPACE, log.run_id, 4, log.events[4:], values={})

        assert await there(repository) == {run_id(3)}


async def test_as_many_of_the_last_runs_stay_as_there_is_room_for(open_repository: OpenRepository) -> None:
    value = b'"' + b"x" * 500_000 + b'"'

    async with open_repository(settings=Settings(retention_bytes=2_100_000)) as repository:
        for number in range(1, 10):
            await create(repository, number, value=value)
            events = [ending(2)]
            await repository.append(DEFAULT_NAMESPACE, run_id(number), 1, events, values={"aa": value})

        assert await there(repository) == {run_id(number) for number in (6, 7, 8, 9)}


async def test_an_idempotency_key_can_be_used_again_once_its_run_is_too_old(open_repository: OpenRepository) -> None:
    clock = ManualClock()

    async with open_repository(clock=clock, settings=Settings(retention_seconds=60)) as repository:
        await create(repository, 1, key="key")
        await finish(repository, 1)
        clock.advance(60)
        await create(repository, 2, key="key")

        assert await there(repository) == {run_id(2)}


async def test_an_idempotency_key_goes_with_its_run(open_repository: OpenRepository) -> None:
    async with open_repository(settings=Settings(retention_runs=1)) as repository:
        await create(repository, 1, key="key")
        await create(repository, 2)
        await finish(repository, 1)
        await finish(repository, 2)

        await create(repository, 3, key="key")

        assert await there(repository) == {run_id(2), run_id(3)}


async def test_a_run_in_flight_never_goes(open_repository: OpenRepository) -> None:
    clock = ManualClock()

    async with open_repository(clock=clock, settings=Settings(retention_runs=1, retention_seconds=1)) as repository:
        await create(repository, 1, key="key")
        await create(repository, 2)
        clock.advance(1_000)
        await finish(repository, 2, seconds=1_000)
        clock.advance(1_000)

        assert await there(repository) == {run_id(1)}
        assert await repository.unfinished() == [(DEFAULT_NAMESPACE, run_id(1))]


async def test_the_runs_of_all_namespaces_count_together(open_repository: OpenRepository) -> None:
    other = Namespace("other")

    async with open_repository(settings=Settings(retention_runs=1)) as repository:
        await create(repository, 1)
        await repository.create([submission(2, namespace=other)], values={})
        await finish(repository, 1)
        await repository.append(other, run_id(2), 1, [ending(2)], values={})

        assert await there(repository) == set()
        assert (await repository.summary(other, run_id(2))).sequence == 2
