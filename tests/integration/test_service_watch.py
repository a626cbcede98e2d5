"""Watching a run: every event once and in order, in few and bounded updates, to the end."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gql_app.core.codec import encode_event
from gql_app.core.errors import InvalidCursorError, WorkflowNotFoundError, WorkflowRemovedError
from gql_app.core.events import RunEvent
from gql_app.core.ids import DEFAULT_NAMESPACE, RunId
from gql_app.core.run import NodeStatus, RunStatus
from gql_app.core.values import Json
from gql_app.service import Update
from gql_app.service.reader import UPDATE_BYTES, UPDATE_EVENTS
from gql_app.settings import Settings
from tests.support.logs import finished_log, progress, run_id, submission
from tests.support.service import Stage, node

pytestmark = pytest.mark.anyio


async def collect(stage: Stage, run: RunId, *, after: int | None = None) -> list[Update]:
    """Watch a run to its end."""
    async with asyncio.timeout(60):
        return [update async for update in stage.service.watch(DEFAULT_NAMESPACE, run, after=after)]


def sequences(updates: Sequence[Update]) -> list[int]:
    return [event.sequence for update in updates for event in update.events]


async def stored(stage: Stage, log: Sequence[RunEvent]) -> RunId:
    return await stage.repository.create(log, values={})


async def test_watching_from_the_beginning_tells_every_event_and_completes() -> None:
    stage = Stage()
    run = await stage.submit(node("a"), node("b", "a"))
    watching = asyncio.ensure_future(collect(stage, run, after=0))

    for name in ("a", "b"):
        await asyncio.sleep(0)
        await stage.executor.succeed(run, name)
    updates = await watching

    last = (await stage.get(run)).sequence
    assert sequences(updates) == list(range(1, last + 1))
    assert updates[-1].run.status is RunStatus.COMPLETED
    assert [update.sequence for update in updates] == [update.events[-1].sequence for update in updates]


async def test_watching_without_a_cursor_begins_with_the_state_now() -> None:
    stage = Stage()
    run = await stage.submit(node("a"))
    watching = stage.service.watch(DEFAULT_NAMESPACE, run)

    first = await anext(watching)
    await stage.executor.succeed(run, "a")
    rest = [update async for update in watching]

    assert (first.events, first.changed, first.run.status) == ((), (), RunStatus.RUNNING)
    assert first.sequence == first.run.sequence
    assert sequences(rest) == list(range(first.sequence + 1, rest[-1].sequence + 1))
    assert rest[-1].run.status is RunStatus.COMPLETED


async def test_an_update_tells_the_nodes_its_events_are_about() -> None:
    stage = Stage()
    run = await stage.submit(node("a"), node("b", "a"), node("c", "b"))
    watching = stage.service.watch(DEFAULT_NAMESPACE, run)
    await anext(watching)

    await stage.executor.succeed(run, "a", {"x": 1})
    update = await anext(watching)
    await watching.aclose()

    assert [(item.key.id, item.status) for item in update.changed] == [
        ("a", NodeStatus.COMPLETED),
        ("b", NodeStatus.RUNNING),
    ]
    assert update.changed == tuple(update.run.nodes[:2])
    assert update.run.sequence == update.sequence


async def test_watching_a_finished_run_without_a_cursor_tells_its_state_and_completes() -> None:
    stage = Stage()
    run = await stage.perform(node("a"))

    updates = await collect(stage, run)

    assert [update.events for update in updates] == [()]
    assert updates[0].run.status is RunStatus.COMPLETED


async def test_watching_after_the_last_event_of_a_finished_run_completes_at_once() -> None:
    stage = Stage()
    run = await stage.perform(node("a"))

    updates = await collect(stage, run, after=(await stage.get(run)).sequence)

    assert updates == []


@pytest.mark.parametrize("after", [-1, 5, 1_000_000])
async def test_a_cursor_that_nobody_handed_out_is_refused(after: int) -> None:
    stage = Stage()
    await stored(stage, [submission(), *progress()])

    with pytest.raises(InvalidCursorError, match=str(after)):
        await anext(stage.service.watch(DEFAULT_NAMESPACE, run_id(1), after=after))


async def test_watching_a_run_that_is_not_there_is_an_error() -> None:
    stage = Stage()

    for after in (None, 0):
        with pytest.raises(WorkflowNotFoundError):
            await anext(stage.service.watch(DEFAULT_NAMESPACE, run_id(1), after=after))


LOG = finished_log(nodes=600)


@given(after=st.integers(0, len(LOG)))
async def test_catching_up_from_anywhere_misses_nothing_and_repeats_nothing(after: int) -> None:
    stage = Stage()
    await stored(stage, LOG)

    updates = await collect(stage, run_id(1), after=after)

    assert sequences(updates) == list(range(after + 1, len(LOG) + 1))
    assert all(len(update.events) <= UPDATE_EVENTS for update in updates)
    assert all(update.run.sequence >= update.sequence for update in updates)


@given(cuts=st.lists(st.integers(1, 30), min_size=1, max_size=6))
async def test_a_watcher_that_comes_back_again_and_again_misses_nothing_and_repeats_nothing(cuts: list[int]) -> None:
    stage = Stage()
    log = finished_log(nodes=20)
    await stored(stage, log[:1])

    async def write() -> None:
        for event in log[1:]:
            await stage.repository.append(DEFAULT_NAMESPACE, run_id(1), event.sequence - 1, [event], values={})
            await asyncio.sleep(0)

    writing = asyncio.ensure_future(write())
    seen: list[int] = []
    for cut in (*cuts, len(log)):
        watching = stage.service.watch(DEFAULT_NAMESPACE, run_id(1), after=len(seen))
        async for update in watching:
            seen += sequences([update])
            if update.sequence >= cut:
                break
        await watching.aclose()
    await writing

    assert seen == list(range(1, len(log) + 1))


async def test_an_update_holds_no_more_bytes_than_it_may_but_one_event_at_least() -> None:
    stage = Stage()
    run = await stage.submit(*(node(f"n{i}") for i in range(300)))
    text = "x" * 1_000
    for i in range(300):
        await stage.executor.succeed(run, f"n{i}", text)

    updates = await collect(stage, run, after=0)

    sizes = [sum(len(encode_event(event)) for event in update.events[1:]) for update in updates]
    assert max(sizes) <= UPDATE_BYTES
    assert sequences(updates) == list(range(1, (await stage.get(run)).sequence + 1))


async def test_an_event_bigger_than_an_update_may_be_stands_alone() -> None:
    stage = Stage()
    big = node("a", input={"text": "x" * UPDATE_BYTES})

    run = await stage.perform(big)
    updates = await collect(stage, run, after=0)

    assert [event.sequence for event in updates[0].events] == [1]


async def test_watchers_at_one_place_share_their_updates() -> None:
    stage = Stage()
    run = await stage.submit(node("a"))
    watching = [stage.service.watch(DEFAULT_NAMESPACE, run) for _ in range(100)]

    firsts = await asyncio.gather(*(anext(one) for one in watching))
    nexts = [asyncio.ensure_future(anext(one)) for one in watching]
    await asyncio.sleep(0)
    await stage.executor.succeed(run, "a")
    seconds = await asyncio.gather(*nexts)
    for one in watching:
        await one.aclose()

    assert len({id(update) for update in firsts}) == 1
    assert len({id(update) for update in seconds}) == 1


async def test_a_slow_watcher_gets_what_it_missed_in_one_update() -> None:
    stage = Stage()
    await stored(stage, [submission(nodes=20)])
    slow = stage.service.watch(DEFAULT_NAMESPACE, run_id(1))
    fast = stage.service.watch(DEFAULT_NAMESPACE, run_id(1))
    await anext(slow)
    await anext(fast)

    for event in progress(20):
        await stage.repository.append(DEFAULT_NAMESPACE, run_id(1), event.sequence - 1, [event], values={})
        await anext(fast)
    update = await anext(slow)
    await slow.aclose()
    await fast.aclose()

    assert sequences([update]) == list(range(2, 43))


async def test_a_run_that_is_removed_while_it_is_watched_ends_with_an_error() -> None:
    stage = Stage(Settings(retention_seconds=60))
    await stored(stage, LOG)
    watching = stage.service.watch(DEFAULT_NAMESPACE, run_id(1), after=0)

    await anext(watching)
    stage.clock.advance(60)

    with pytest.raises(WorkflowRemovedError):
        await anext(watching)


async def test_a_run_that_is_removed_after_its_last_event_was_told_ends_well() -> None:
    stage = Stage(Settings(retention_seconds=60))
    await stored(stage, finished_log())
    watching = stage.service.watch(DEFAULT_NAMESPACE, run_id(1), after=0)

    await anext(watching)
    stage.clock.advance(60)

    assert [update async for update in watching] == []


async def test_closing_the_store_ends_every_watch_with_an_error() -> None:
    stage = Stage()
    run = await stage.submit(node("a"))
    watching = asyncio.ensure_future(collect(stage, run))
    for _ in range(5):
        await asyncio.sleep(0)

    await stage.repository.close()

    with pytest.raises(WorkflowRemovedError):
        await watching


async def test_what_readers_are_shown_never_changes() -> None:
    stage = Stage()
    names = ["a", "b", "c"]
    run = await stage.submit(*(node(name) for name in names))
    watching = stage.service.watch(DEFAULT_NAMESPACE, run)
    shown = [await anext(watching)]
    known: list[Json] = [[item.status for item in shown[0].run.nodes]]

    for name in names:
        await stage.executor.succeed(run, name)
        update = await anext(watching)
        shown.append(update)
        known.append([item.status for item in update.run.nodes])
    await watching.aclose()

    assert [[item.status for item in update.run.nodes] for update in shown] == known
