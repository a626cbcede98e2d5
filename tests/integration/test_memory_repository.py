"""What the store in memory does beside what every store promises."""

import asyncio

import pytest

from gql_app.core.codec import encode_events
from gql_app.core.errors import StaleWriterError, WorkflowNotFoundError, WorkflowRemovedError
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.settings import Settings
from gql_app.storage.memory import FRESH_RUNS, MemoryRunRepository
from tests.support.logs import finished_log, progress, run_id, stopping, submission
from tests.support.repositories import ManualClock

pytestmark = pytest.mark.anyio


def make_repository(*, retention_runs: int = 10_000) -> MemoryRunRepository:
    return MemoryRunRepository(clock=ManualClock(), settings=Settings(retention_runs=retention_runs))


async def test_it_does_not_promise_to_outlive_its_process() -> None:
    assert not make_repository().durable


async def test_a_run_that_finished_long_ago_is_read_like_a_fresh_one() -> None:
    repository = make_repository()
    log = finished_log(1, nodes=200)

    await repository.create(log, values={})
    for number in range(2, FRESH_RUNS + 3):
        await repository.create(finished_log(number), values={})

    assert encode_events(await repository.events(DEFAULT_NAMESPACE, run_id(1), after=0, limit=1_000)) == encode_events(
        log
    )
    await repository.append(DEFAULT_NAMESPACE, run_id(1), 1, log[1:], values={})
    with pytest.raises(StaleWriterError):
        await repository.append(DEFAULT_NAMESPACE, run_id(1), 1, [stopping(2)], values={})


async def test_closing_tells_whoever_waits_that_the_run_is_gone() -> None:
    repository = make_repository()
    await repository.create([submission()], values={})
    waiting = asyncio.ensure_future(repository.wait(DEFAULT_NAMESPACE, run_id(1), after=1))
    await asyncio.wait([waiting], timeout=0)

    await repository.close()

    with pytest.raises(WorkflowRemovedError):
        await waiting
    with pytest.raises(WorkflowNotFoundError):
        await repository.summary(DEFAULT_NAMESPACE, run_id(1))


async def test_a_run_removed_before_its_watcher_gets_a_turn_is_told_to_be_gone() -> None:
    repository = make_repository(retention_runs=1)
    log = finished_log(1)
    await repository.create(log[:1], values={})
    waiting = asyncio.ensure_future(repository.wait(DEFAULT_NAMESPACE, run_id(1), after=1))
    await asyncio.sleep(0)

    await repository.append(DEFAULT_NAMESPACE, run_id(1), 1, log[1:], values={})
    await repository.create(finished_log(2), values={})

    with pytest.raises(WorkflowRemovedError):
        await waiting


async def test_appending_never_gives_way_to_others() -> None:
    repository = make_repository()
    await repository.create([submission()], values={})

    appending = repository.append(DEFAULT_NAMESPACE, run_id(1), 1, progress(), values={})

    with pytest.raises(StopIteration):
        appending.send(None)
