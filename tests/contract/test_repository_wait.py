"""What every store promises to whoever waits for events."""

import asyncio

import pytest

from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.ports import RunRepository
from tests.support.logs import ending, finished_log, progress, run_id, submission
from tests.support.repositories import OpenRepository

pytestmark = pytest.mark.anyio
FIRST = run_id(1)


async def started(repository: RunRepository, after: int) -> asyncio.Task[None]:
    """Let somebody wait, and come so far that only an append can wake them."""
    task = asyncio.ensure_future(repository.wait(DEFAULT_NAMESPACE, FIRST, after=after))
    await asyncio.wait([task], timeout=0.01)
    return task


async def test_nobody_waits_for_what_is_there(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission()], values={})
        await repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={})

        async with asyncio.timeout(10):
            for after in range(4):
                await repository.wait(DEFAULT_NAMESPACE, FIRST, after=after)


async def test_who_waits_is_woken_by_the_next_events(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission()], values={})
        waiting = [await started(repository, 1) for _ in range(3)]
        slept = [not task.done() for task in waiting]

        await repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={})

        async with asyncio.timeout(10):
            await asyncio.gather(*waiting)
        assert slept == [True, True, True]


async def test_events_that_are_known_wake_nobody(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission()], values={})
        ahead = await started(repository, 4)

        await repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={})
        await asyncio.wait([ahead], timeout=0.01)
        still = not ahead.done()
        await repository.append(DEFAULT_NAMESPACE, FIRST, 4, [ending(5)], values={})

        async with asyncio.timeout(10):
            await ahead
        assert still


async def test_nobody_waits_for_a_run_that_has_ended(open_repository: OpenRepository) -> None:
    log = finished_log()

    async with open_repository() as repository:
        await repository.create(log[:1], values={})
        await repository.append(DEFAULT_NAMESPACE, FIRST, 1, log[1:], values={})

        async with asyncio.timeout(10):
            await repository.wait(DEFAULT_NAMESPACE, FIRST, after=len(log))
            await repository.wait(DEFAULT_NAMESPACE, FIRST, after=len(log) + 100)


async def test_who_gives_up_waiting_takes_nobody_along(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission()], values={})
        gone, stays = await started(repository, 1), await started(repository, 1)

        gone.cancel()
        await asyncio.wait([gone])
        still = not stays.done()
        await repository.append(DEFAULT_NAMESPACE, FIRST, 1, progress(), values={})

        async with asyncio.timeout(10):
            await stays
        assert gone.cancelled()
        assert still


@pytest.mark.parametrize("step", [1, 3])
async def test_readers_that_wait_see_every_event_once_while_it_is_written(
    open_repository: OpenRepository, step: int
) -> None:
    log = finished_log(nodes=50)

    async def follow(repository: RunRepository) -> list[int]:
        seen: list[int] = []
        while len(seen) < len(log):
            await repository.wait(DEFAULT_NAMESPACE, FIRST, after=len(seen))
            events = await repository.events(DEFAULT_NAMESPACE, FIRST, after=len(seen), limit=step)
            seen += [event.sequence for event in events]
        return seen

    async def write(repository: RunRepository) -> None:
        for event in log[1:]:
            await repository.append(DEFAULT_NAMESPACE, FIRST, event.sequence - 1, [event], values={})
            if event.sequence % 4:
                await asyncio.sleep(0)

    async with open_repository() as repository:
        await repository.create(log[:1], values={})
        async with asyncio.timeout(60):
            *seen, _ = await asyncio.gather(*(follow(repository) for _ in range(5)), write(repository))

    assert seen == [list(range(1, len(log) + 1))] * 5
