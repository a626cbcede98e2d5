"""Runs are folded once for all readers, and what is kept of them is bounded."""

import asyncio
from collections.abc import Sequence

import pytest

from gql_app.core.errors import WorkflowNotFoundError
from gql_app.core.events import RunEvent
from gql_app.core.fold import fold
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace, RunId
from gql_app.service.reader import CACHED_NODES, CACHED_RUNS, CACHED_UPDATES, UPDATE_EVENTS, RunReader
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from tests.support.logs import finished_log, run_id
from tests.support.repositories import ManualClock

pytestmark = pytest.mark.anyio


class SlowRepository(MemoryRunRepository):
    """A store that lets others have a turn at every read, and counts the events it gives out."""

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(clock=ManualClock(), settings=settings or Settings())
        self.given = 0

    async def events(self, namespace: Namespace, run_id: RunId, *, after: int, limit: int) -> Sequence[RunEvent]:
        await asyncio.sleep(0)
        events = await super().events(namespace, run_id, after=after, limit=limit)
        self.given += len(events)
        return events


async def test_readers_at_once_fold_a_run_once_and_see_the_same() -> None:
    repository = SlowRepository()
    reader = RunReader(repository)
    log = finished_log(nodes=1_000)
    await repository.create(log, values={})

    runs = await asyncio.gather(*(reader.current(DEFAULT_NAMESPACE, run_id(1)) for _ in range(20)))

    assert repository.given == len(log)
    assert all(run is runs[0] for run in runs)
    assert runs[0] == fold(log)


async def test_watchers_at_once_fold_a_run_once_and_share_its_updates() -> None:
    repository = SlowRepository()
    reader = RunReader(repository)
    log = finished_log(nodes=1_000)
    await repository.create(log, values={})

    updates = await asyncio.gather(*(reader.next_update(DEFAULT_NAMESPACE, run_id(1), after=0) for _ in range(20)))

    assert all(update is not None and update is updates[0] for update in updates)
    assert repository.given == len(log) + UPDATE_EVENTS


async def test_reading_a_run_again_costs_its_new_events_alone() -> None:
    repository = SlowRepository()
    reader = RunReader(repository)
    log = finished_log(nodes=1_000)
    await repository.create(log[:1], values={})
    await repository.append(DEFAULT_NAMESPACE, run_id(1), 1, log[1:-10], values={})
    await reader.current(DEFAULT_NAMESPACE, run_id(1))
    repository.given = 0

    for event in log[-10:]:
        await repository.append(DEFAULT_NAMESPACE, run_id(1), event.sequence - 1, [event], values={})
        await reader.current(DEFAULT_NAMESPACE, run_id(1))

    assert repository.given == 10


async def test_readers_of_a_run_that_grows_see_states_it_was_in() -> None:
    repository = SlowRepository()
    reader = RunReader(repository)
    log = finished_log(nodes=30)
    await repository.create(log[:1], values={})

    async def write() -> None:
        for event in log[1:]:
            await repository.append(DEFAULT_NAMESPACE, run_id(1), event.sequence - 1, [event], values={})
            await asyncio.sleep(0)

    async def read() -> None:
        sequence = 0
        while sequence < len(log):
            run = await reader.current(DEFAULT_NAMESPACE, run_id(1))
            assert run.sequence >= sequence
            sequence = run.sequence
            assert run == fold(log[:sequence])

    await asyncio.gather(write(), *(read() for _ in range(5)))

    assert (await reader.current(DEFAULT_NAMESPACE, run_id(1))).sequence == len(log)


async def test_a_reader_that_gives_up_leaves_the_run_readable() -> None:
    repository = SlowRepository()
    reader = RunReader(repository)
    log = finished_log(nodes=2_000)
    await repository.create(log, values={})

    for turns in range(8):
        reading = asyncio.ensure_future(reader.current(DEFAULT_NAMESPACE, run_id(1)))
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])

    assert await reader.current(DEFAULT_NAMESPACE, run_id(1)) == fold(log)
    assert reader.kept[:2] == (1, 2_000)


async def test_others_have_their_turn_while_a_long_log_is_folded() -> None:
    repository = MemoryRunRepository(clock=ManualClock(), settings=Settings())
    reader = RunReader(repository)
    log = finished_log(nodes=5_000)
    await repository.create(log, values={})
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    await reader.current(DEFAULT_NAMESPACE, run_id(1))
    counting.cancel()

    assert turns >= len(log) // 1_000


async def test_of_many_runs_few_are_kept() -> None:
    repository = MemoryRunRepository(clock=ManualClock(), settings=Settings())
    reader = RunReader(repository)
    for number in range(CACHED_RUNS + 50):
        await repository.create(finished_log(number), values={})
        await reader.next_update(DEFAULT_NAMESPACE, run_id(number), after=0)

    assert reader.kept == (CACHED_RUNS, CACHED_RUNS, CACHED_UPDATES)


async def test_of_big_runs_fewer_are_kept_but_always_the_last() -> None:
    repository = MemoryRunRepository(clock=ManualClock(), settings=Settings())
    reader = RunReader(repository)
    half, whole = CACHED_NODES // 2, CACHED_NODES + 1
    kept = []
    for number, nodes in enumerate((half, half, half, whole, 1)):
        await repository.create(finished_log(number, nodes=nodes)[:2], values={})
        await reader.current(DEFAULT_NAMESPACE, run_id(number))
        kept.append(reader.kept[:2])

    assert kept == [(1, half), (2, 2 * half), (2, 2 * half), (1, whole), (1, 1)]


async def test_a_run_that_is_dropped_while_it_is_read_is_not_counted() -> None:
    repository = SlowRepository()
    reader = RunReader(repository)
    for number in range(CACHED_RUNS + 1):
        await repository.create(finished_log(number), values={})

    runs = await asyncio.gather(
        *(reader.current(DEFAULT_NAMESPACE, run_id(number)) for number in range(CACHED_RUNS + 1))
    )

    assert [run.run_id for run in runs] == [run_id(number) for number in range(CACHED_RUNS + 1)]
    assert reader.kept[:2] == (CACHED_RUNS, CACHED_RUNS)


async def test_a_run_that_is_not_there_is_not_kept() -> None:
    repository = MemoryRunRepository(clock=ManualClock(), settings=Settings(retention_runs=1))
    reader = RunReader(repository)
    await repository.create(finished_log(1), values={})
    await reader.current(DEFAULT_NAMESPACE, run_id(1))
    await repository.create(finished_log(2), values={})

    for number in (1, 3):
        with pytest.raises(WorkflowNotFoundError):
            await reader.current(DEFAULT_NAMESPACE, run_id(number))

    assert reader.kept[:2] == (0, 0)


class BusyRepository(SlowRepository):
    """A store in which more is appended to the run while it is read."""

    def __init__(self, more: Sequence[RunEvent]) -> None:
        super().__init__()
        self._more = list(more)

    async def events(self, namespace: Namespace, run_id: RunId, *, after: int, limit: int) -> Sequence[RunEvent]:
        events = await super().events(namespace, run_id, after=after, limit=limit)
        if self._more:
            event = self._more.pop(0)
            await self.append(namespace, run_id, event.sequence - 1, [event], values={})
        return events


async def test_an_update_shows_a_run_that_is_not_older_than_its_events() -> None:
    log = finished_log(nodes=3)
    repository = BusyRepository(log[2:])
    reader = RunReader(repository)
    await repository.create(log[:2], values={})

    told: list[RunEvent] = []
    while (update := await reader.next_update(DEFAULT_NAMESPACE, run_id(1), after=len(told))) is not None:
        told += update.events
        assert update.run.sequence >= update.sequence

    assert told == log
