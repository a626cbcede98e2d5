"""A watcher is told just what it asked for: nothing else, nothing twice, and how far it has come."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gql_app.core.errors import InvalidArgumentError
from gql_app.core.events import NodeOutputChunk, RunEvent
from gql_app.core.ids import DEFAULT_NAMESPACE, RunId
from gql_app.core.values import Json
from gql_app.service import Update, UpdateTopic
from gql_app.service.watching import QUIET_SECONDS
from gql_app.testing.virtual_time import run_on_virtual_time
from tests.support.logs import run_id
from tests.support.service import Stage
from tests.support.streams import StreamLog, told_text

STATUS, OUTPUT, LOG, PROGRESS = UpdateTopic
TOPICS = {"NodeOutputChunk": OUTPUT, "NodeLog": LOG, "NodeProgress": PROGRESS}
ENDS = {"WorkflowCompleted"}


def long_log() -> StreamLog:
    """Write a log in which everything happens that can be asked for."""
    log = StreamLog(nodes=2)
    for node in (0, 1):
        log.start(node)
        log.progress(0.1, node)
        log.chunk("wrong ", node)
        log.log("it will fail", node)
        log.fail(node)
        log.start(node)
        log.step("model-1", node)
        for number in range(300):
            log.chunk(f"{number} ", node, step="model-1", step_attempt=1)
        log.fail_step("model-1", 1, node)
        log.try_step("model-1", 2, node)
        log.chunk("right", node, step="model-1", step_attempt=2)
        log.complete_step("model-1", 2, node)
        log.progress(1.0, node)
        log.complete(node, "right")
    log.end()
    return log


WHOLE = long_log()


async def collect(stage: Stage, run: RunId | None = None, **asked: Json) -> list[Update]:
    async with asyncio.timeout(60):
        return [update async for update in stage.service.watch(DEFAULT_NAMESPACE, run or run_id(1), **asked)]


def told(updates: Sequence[Update]) -> list[RunEvent]:
    return [event for update in updates for event in update.events]


def names(events: Sequence[RunEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


@pytest.mark.anyio
@pytest.mark.parametrize("topic", [LOG, PROGRESS])
async def test_only_what_is_of_a_topic_is_told_and_the_end(topic: UpdateTopic) -> None:
    stage = Stage()
    await WHOLE.write(stage.repository)

    events = told(await collect(stage, after=0, only=[topic]))

    expected = [event for event in WHOLE.events if TOPICS.get(type(event).__name__) is topic]
    assert events == [*expected, WHOLE.events[-1]]


@pytest.mark.anyio
async def test_the_topic_of_status_is_everything_but_what_attempts_show() -> None:
    stage = Stage()
    await WHOLE.write(stage.repository)

    events = told(await collect(stage, after=0, only=[STATUS]))

    assert events == [event for event in WHOLE.events if type(event).__name__ not in TOPICS]


@pytest.mark.anyio
async def test_the_topic_of_output_tells_what_becomes_void_so_that_it_is_enough_to_show_the_text() -> None:
    stage = Stage()
    await WHOLE.write(stage.repository)

    events = told(await collect(stage, after=0, only=[OUTPUT]))

    assert set(names(events)) == {"NodeOutputChunk", "AttemptFailed", "StepFailed", "WorkflowCompleted"}
    assert told_text(events, "n0") == told_text(events, "n1") == "right"


@pytest.mark.anyio
async def test_only_events_of_the_nodes_that_are_asked_for_are_told_and_those_of_no_node() -> None:
    stage = Stage()
    await WHOLE.write(stage.repository)

    updates = await collect(stage, after=0, nodes=["n1"])

    assert {getattr(event, "node", None) and event.node.id for event in told(updates)} == {None, "n1"}  # type: ignore[union-attr]
    assert names(told(updates))[:3] == ["WorkflowSubmitted", "WorkflowStarted", "AttemptStarted"]
    assert {node.key.id for update in updates for node in update.changed} == {"n1"}


@pytest.mark.anyio
@given(
    only=st.none() | st.sets(st.sampled_from(list(UpdateTopic)), min_size=1),
    nodes=st.none() | st.sets(st.sampled_from(["n0", "n1"]), min_size=1),
    cut=st.integers(0, len(WHOLE.events)),
)
async def test_coming_back_with_the_last_sequence_misses_nothing_and_repeats_nothing_of_what_is_asked_for(
    only: set[UpdateTopic] | None, nodes: set[str] | None, cut: int
) -> None:
    stage = Stage()
    await WHOLE.write(stage.repository)
    asked: Json = {"only": only and list(only), "nodes": nodes and list(nodes)}
    whole = told(await collect(stage, after=0, **asked))

    seen: list[RunEvent] = []
    place = 0
    watching = stage.service.watch(DEFAULT_NAMESPACE, run_id(1), after=0, **asked)
    async for update in watching:
        seen += update.events
        place = update.sequence
        if place >= cut:
            break
    await watching.aclose()
    seen += told(await collect(stage, after=place, **asked))

    assert seen == whole
    assert seen[-1] == WHOLE.events[-1]


@pytest.mark.anyio
async def test_the_sequence_of_an_update_is_the_last_one_considered() -> None:
    stage = Stage()
    log = StreamLog()
    log.start()
    await log.write(stage.repository)
    watching = stage.service.watch(DEFAULT_NAMESPACE, log.run_id, after=0, only=[STATUS])
    assert (await anext(watching)).sequence == 3

    log.chunk("a")
    log.fail()
    log.chunk("b")
    await log.write(stage.repository, after=3)
    update = await anext(watching)
    await watching.aclose()

    assert names(update.events) == ["AttemptFailed"]
    assert update.sequence == 6
    assert update.run.sequence == 6


@pytest.mark.anyio
async def test_watchers_who_ask_for_the_same_share_what_they_are_told_and_others_do_not() -> None:
    stage = Stage()
    log = StreamLog(nodes=2)
    log.start()
    await log.write(stage.repository)
    asked: list[Json] = [
        {"only": [STATUS, OUTPUT]},
        {"only": [OUTPUT, STATUS, OUTPUT]},
        {"only": [OUTPUT]},
        {"nodes": ["n0", "n1"]},
        {"nodes": ["n1", "n0", "n0"]},
    ]
    watching = [stage.service.watch(DEFAULT_NAMESPACE, log.run_id, after=log.sequence, **each) for each in asked]
    waiting = [asyncio.ensure_future(anext(each)) for each in watching]
    await asyncio.sleep(0)

    log.chunk("a")
    await log.write(stage.repository, after=log.sequence - 1)
    updates = await asyncio.gather(*waiting)
    for each in watching:
        await each.aclose()

    assert updates[0] is updates[1]
    assert updates[3] is updates[4]
    assert len({id(update) for update in updates}) == 3


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"only": []}, "'only' is \\[\\]: name one topic at least"),
        ({"nodes": []}, "'nodes' is \\[\\]: name one node at least"),
        ({"nodes": ["n0", "n11"]}, "'nodes' is 'n11': the run has no node of this id; did you mean 'n1'?"),
        ({"nodes": ["x" * 10_000]}, "'xxx.*tells them"),
    ],
)
async def test_a_filter_that_lets_nothing_pass_is_refused(asked: Json, message: str) -> None:
    stage = Stage()
    await WHOLE.write(stage.repository)

    for after in (None, 0):
        with pytest.raises(InvalidArgumentError, match=message) as refused:
            await anext(stage.service.watch(DEFAULT_NAMESPACE, run_id(1), after=after, **asked))
        assert len(str(refused.value)) < 400


def test_a_quiet_stream_moves_on_every_ten_seconds_over_what_was_not_asked_for() -> None:
    async def main() -> None:
        stage = Stage()
        log = StreamLog()
        log.start()
        await log.write(stage.repository)
        loop = asyncio.get_running_loop()
        seen: list[tuple[float, int, int]] = []

        async def watch() -> None:
            updates = stage.service.watch(DEFAULT_NAMESPACE, log.run_id, only=[LOG])
            seen.extend([(loop.time(), update.sequence, len(update.events)) async for update in updates])

        watching = asyncio.ensure_future(watch())
        await asyncio.sleep(0.5)
        # Nothing happens for a minute: there is nothing to tell.
        await asyncio.sleep(59.5)
        for _ in range(150):
            log.chunk(".")
            await log.write(stage.repository, after=log.sequence - 1)
            await asyncio.sleep(0.1875)
        log.log("there")
        await log.write(stage.repository, after=log.sequence - 1)
        await asyncio.sleep(60)
        log.complete()
        log.end()
        await log.write(stage.repository, after=log.sequence - 2)
        await watching

        assert seen == [
            (0.0, 3, 0),
            (60.0, 4, 0),
            (70.0, 57, 0),
            (80.0, 110, 0),
            (88.125, 154, 1),
            (148.125, 156, 1),
        ]

    run_on_virtual_time(main())
    assert QUIET_SECONDS == 10


def test_the_last_chunk_before_a_silence_is_passed_over_when_its_time_comes() -> None:
    async def main() -> None:
        stage = Stage()
        log = StreamLog()
        log.start()
        await log.write(stage.repository)
        loop = asyncio.get_running_loop()
        watching = stage.service.watch(DEFAULT_NAMESPACE, log.run_id, only=[LOG])
        await anext(watching)
        await asyncio.sleep(4)
        log.chunk(".")
        await log.write(stage.repository, after=log.sequence - 1)

        update = await anext(watching)
        await watching.aclose()

        assert (loop.time(), update.sequence, update.events) == (14.0, 4, ())

    run_on_virtual_time(main())


@pytest.mark.anyio
async def test_a_watcher_of_the_end_alone_is_told_it_after_a_long_log_of_something_else() -> None:
    stage = Stage()
    log = StreamLog()
    log.start()
    for number in range(3_000):
        log.chunk(str(number))
    log.complete()
    log.end()
    await log.write(stage.repository)

    [update] = await collect(stage, log.run_id, after=2, only=[LOG])

    assert names(update.events) == ["WorkflowCompleted"]
    assert not any(isinstance(event, NodeOutputChunk) for event in update.events)
    assert update.sequence == log.sequence
