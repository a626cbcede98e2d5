"""What a node has streamed so far is told as it was at the sequence it is asked of, and read from the log once."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gql_app.core.events import NodeLog
from gql_app.core.fold import fold
from gql_app.core.ids import DEFAULT_NAMESPACE, NodeKey
from gql_app.core.run import WorkflowRun
from gql_app.service import reader as readers
from gql_app.service.reader import RunReader
from gql_app.service.streamed import KEPT_LINES
from tests.integration.test_run_reader import SlowRepository
from tests.support.streams import StreamLog, told_text

pytestmark = pytest.mark.anyio


async def so_far(reader: RunReader, run: WorkflowRun, node: str = "n0") -> str | None:
    streamed = await reader.streamed(run, run.node(NodeKey(node)))
    return streamed.text if streamed is not None else None


async def shown(log: StreamLog) -> str | None:
    """Tell what the first node has streamed at the end of a log."""
    repository = SlowRepository()
    await log.write(repository)
    reader = RunReader(repository)
    return await so_far(reader, await reader.current(DEFAULT_NAMESPACE, log.run_id))


async def test_the_chunks_of_an_attempt_are_joined() -> None:
    log = StreamLog()
    log.start()
    log.chunk("Hel")
    log.chunk("lo")

    assert await shown(log) == "Hello"


async def test_a_node_that_streamed_nothing_shows_nothing() -> None:
    log = StreamLog()
    log.start()
    log.log("busy")

    assert await shown(log) is None


async def test_what_a_failed_attempt_streamed_is_void() -> None:
    log = StreamLog()
    log.start()
    log.chunk("wrong")
    log.fail()

    assert await shown(log) is None

    log.start()
    assert await shown(log) is None

    log.chunk("right")
    assert await shown(log) == "right"


async def test_what_a_completed_attempt_streamed_stays() -> None:
    log = StreamLog()
    log.start()
    log.chunk("done")
    log.complete(output="done")
    log.end()

    assert await shown(log) == "done"


async def test_what_a_failed_try_of_a_step_streamed_is_void_and_what_steps_within_it_did() -> None:
    log = StreamLog()
    log.start()
    log.chunk("a")
    log.step("one")
    log.chunk("b", step="one", step_attempt=1)
    log.step("one/two")
    log.chunk("c", step="one/two", step_attempt=1)
    log.step("onelike")
    log.chunk("d", step="onelike", step_attempt=1)
    log.fail_step("one")
    log.try_step("one", 2)
    log.chunk("e", step="one", step_attempt=2)

    assert await shown(log) == "ade"


async def test_text_that_was_cut_says_so() -> None:
    log = StreamLog()
    log.start()
    log.chunk("much")
    repository = SlowRepository()
    await log.write(repository)
    reader = RunReader(repository)
    before = await reader.current(DEFAULT_NAMESPACE, log.run_id)
    last = log.sequence
    log.chunk("too", truncated=True)
    await log.write(repository, after=last)
    after = await reader.current(DEFAULT_NAMESPACE, log.run_id)

    streamed = [await reader.streamed(run, run.node(NodeKey("n0"))) for run in (before, after)]

    assert [each is not None and each.truncated for each in streamed] == [False, True]


MOVES = st.lists(
    st.sampled_from(["chunk", "chunk", "one", "two", "fail one", "fail", "other", "log"]), min_size=1, max_size=40
)


def play(moves: list[str]) -> StreamLog:
    """Write a log of two nodes in which tries and attempts fail wherever that can be."""
    log = StreamLog(nodes=2)
    log.start(0)
    log.start(1)
    tries = {"one": 0}
    for number, move in enumerate(moves):
        match move:
            case "one" | "fail one":
                if not tries["one"]:
                    log.step("one")
                    tries["one"] = 1
                log.chunk(f"<{number}>", step="one", step_attempt=tries["one"])
                if move == "fail one":
                    log.fail_step("one", tries["one"])
                    tries["one"] += 1
                    log.try_step("one", tries["one"])
            case "two":
                log.chunk(f"({number})", 1)
            case "fail":
                log.fail()
                log.start()
                tries["one"] = 0
            case "log":
                log.log("line")
            case _:
                log.chunk(f"[{number}]")
    return log


@given(moves=MOVES, kept=st.booleans())
async def test_at_every_sequence_it_is_what_the_events_before_tell(moves: list[str], kept: bool) -> None:
    log = play(moves)
    repository = SlowRepository()
    await log.write(repository)
    reader = RunReader(repository)
    if kept:
        await reader.current(DEFAULT_NAMESPACE, log.run_id)

    for at in range(2, log.sequence + 1):
        run = fold(log.events[:at])
        for node in ("n0", "n1"):
            assert await so_far(reader, run, node) == told_text(log.events[:at], node)


async def test_many_who_ask_while_it_streams_cost_no_reading_of_the_log() -> None:
    repository = SlowRepository()
    reader = RunReader(repository)
    log = StreamLog()
    log.start()
    await log.write(repository)
    await reader.current(DEFAULT_NAMESPACE, log.run_id)
    repository.given = 0
    text = ""

    for number in range(50):
        text += f"{number} "
        log.chunk(f"{number} ")
        await log.write(repository, after=log.sequence - 1)
        run = await reader.current(DEFAULT_NAMESPACE, log.run_id)
        assert await asyncio.gather(*(so_far(reader, run) for _ in range(100))) == [text] * 100

    assert repository.given == 50


async def test_many_who_ask_for_the_past_read_the_log_once() -> None:
    repository = SlowRepository()
    reader = RunReader(repository)
    log = StreamLog()
    log.start()
    log.chunk("old")
    at = log.sequence
    log.fail()
    log.start()
    log.chunk("new")
    await log.write(repository)
    await reader.current(DEFAULT_NAMESPACE, log.run_id)
    repository.given = 0

    run = fold(log.events[:at])
    texts = await asyncio.gather(*(so_far(reader, run) for _ in range(100)))

    assert texts == ["old"] * 100
    assert repository.given == at


async def test_a_run_shown_as_it_was_reads_its_log_once_for_its_state_and_its_texts() -> None:
    repository = SlowRepository()
    reader = RunReader(repository)
    log = StreamLog()
    log.start()
    log.chunk("old")
    at = log.sequence
    log.chunk("er")
    await log.write(repository)

    run = await reader.past(DEFAULT_NAMESPACE, log.run_id, at)

    assert await so_far(reader, run) == "old"
    assert repository.given == at


async def test_texts_that_are_kept_are_bounded_and_what_was_dropped_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readers, "CACHED_TEXT_BYTES", 10_000)
    repository = SlowRepository()
    reader = RunReader(repository)
    logs = []
    for number in range(1, 8):
        log = StreamLog(number)
        log.start()
        log.chunk(str(number) * 4_000)
        await log.write(repository)
        logs.append(log)

    for log in logs:
        await reader.current(DEFAULT_NAMESPACE, log.run_id)
        assert reader.kept_text_bytes <= 10_000
    for number, log in enumerate(logs, 1):
        log.log("line")
        log.chunk("!")
        await log.write(repository, after=log.sequence - 2)
        run = await reader.current(DEFAULT_NAMESPACE, log.run_id)
        assert await so_far(reader, run) == str(number) * 4_000 + "!"
        assert [line.message for line in await reader.logged(run, run.nodes[0], 5)] == ["line"]

    assert reader.kept_text_bytes <= 10_000


async def test_the_last_lines_are_told_as_they_were_at_any_sequence() -> None:
    log = StreamLog(nodes=2)
    log.start(0)
    log.start(1)
    for number in range(KEPT_LINES + 50):
        log.log(f"{number}")
        log.log(f"other {number}", 1)
    repository = SlowRepository()
    await log.write(repository)
    reader = RunReader(repository)
    await reader.current(DEFAULT_NAMESPACE, log.run_id)

    for at in (4, 5, 6, 40, log.sequence - 399, log.sequence - 90, log.sequence):
        run = fold(log.events[:at])
        for node in run.nodes:
            expected = [event for event in log.events[:at] if isinstance(event, NodeLog) and event.node == node.key]
            for count in (1, 7, KEPT_LINES):
                assert list(await reader.logged(run, node, count)) == expected[-count:]


async def test_lines_of_what_goes_on_cost_no_reading_of_the_log() -> None:
    repository = SlowRepository()
    reader = RunReader(repository)
    log = StreamLog()
    log.start()
    log.log("first")
    await log.write(repository)
    run = await reader.current(DEFAULT_NAMESPACE, log.run_id)
    repository.given = 0

    lines = [await reader.logged(run, run.nodes[0], 20) for _ in range(100)]

    assert [[line.message for line in each] for each in lines] == [["first"]] * 100
    assert repository.given == 0


async def test_a_run_that_is_gone_leaves_no_text_behind() -> None:
    repository = SlowRepository()
    reader = RunReader(repository)
    log = StreamLog()
    log.start()
    log.chunk("text")
    await log.write(repository)
    for at in range(3, log.sequence + 1):
        await so_far(reader, await reader.past(DEFAULT_NAMESPACE, log.run_id, at))
    await reader.current(DEFAULT_NAMESPACE, log.run_id)
    assert reader.kept_text_bytes

    reader.forget(DEFAULT_NAMESPACE, log.run_id)

    assert reader.kept_text_bytes == 0
