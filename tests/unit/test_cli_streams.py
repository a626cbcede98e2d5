"""What is shown of text that streams, of logs, of progress, and of the steps of agents."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console, ConsoleDimensions

from gql_app.cli.activity import describe_progress, describe_usage
from gql_app.cli.board import LocalBoard
from gql_app.cli.facts import event_of
from gql_app.cli.frame import draw
from gql_app.cli.shown import Shown
from gql_app.cli.streamed import KEPT_CHARACTERS, Streamed, TextLines
from gql_app.cli.view import PlainView
from gql_app.client import NodeProgress, RunEvent, Usage
from gql_app.core.event_parts import StepKind
from gql_app.core.event_parts import Usage as UsedFact
from gql_app.core.fold import fold
from tests.support.logs import MIDNIGHT
from tests.support.streams import StreamLog


def events_of(log: StreamLog) -> list[RunEvent]:
    run = fold(log.events)
    return [event_of(run, event) for event in log.events]


def written(log: StreamLog) -> list[str]:
    """Tell what is written where there is no terminal, after the instant."""
    stream = io.StringIO()
    with PlainView(stream) as view:
        for event in events_of(log):
            view.show(LocalBoard(fold(log.events)), [event])
    return [line[15:] for line in stream.getvalue().splitlines()]


def frame(log: StreamLog, *, height: int = 24, width: int = 60) -> list[str]:
    activity = Shown()
    for event in events_of(log):
        activity.tell(event)
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None)
    now = datetime(2026, 1, 1, 0, 0, 59, tzinfo=UTC)
    console.print(draw(LocalBoard(fold(log.events)), now, ConsoleDimensions(width, height), activity))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_texts_of_several_nodes_are_written_line_by_line_each_with_its_node() -> None:
    log = StreamLog(nodes=2)
    log.start(0)
    log.start(1)
    log.chunk("one ", 0)
    log.chunk("uno\ndu", 1)
    log.chunk("two\nthree", 0)
    log.chunk("e", 1)
    log.complete(0)

    assert written(log)[4:] == [
        "n1                | uno",
        "n0                | one two",
        "n0                | three",
        "n0                completed (attempt 1)",
        "n1                | due",
    ]


def test_a_text_ends_before_its_run_does() -> None:
    log = StreamLog()
    log.start()
    log.chunk("the end")
    log.complete()
    log.end()
    output = [event for event in events_of(log) if event.kind in {"NodeOutputChunk", "WorkflowCompleted"}]
    stream = io.StringIO()

    with PlainView(stream) as view:
        view.show(LocalBoard(fold(log.events)), output)

    assert [line[15:] for line in stream.getvalue().splitlines()] == [
        "n0                | the end",
        "(brief)           completed",
    ]


def test_a_long_line_is_broken_between_words() -> None:
    lines = TextLines(width=10)

    assert lines.add("a", "one two three four") == ["one two"]
    assert lines.add("a", " five\n\nsix") == ["three four", "five", ""]
    assert lines.add("a", "x" * 25) == ["six" + "x" * 7, "x" * 10]
    assert lines.end("a") == ["x" * 8]
    assert lines.end("a") == []


def test_what_failed_says_that_its_text_is_void() -> None:
    log = StreamLog()
    log.start()
    log.chunk("wrong")
    log.fail()
    log.start()
    log.fail()

    told = written(log)

    assert told[4].startswith("n0                attempt 1 failed: Boom: it broke; what it wrote is void; next attempt")
    assert "void" not in told[-1]


def test_a_try_of_a_step_that_failed_says_so_too() -> None:
    log = StreamLog()
    log.start()
    log.step("model-1", name="gpt-x")
    log.chunk("wrong", step="model-1", step_attempt=1)
    log.fail_step("model-1")
    log.try_step("model-1", 2)
    usage = UsedFact(requests=1, input_tokens=1_200, output_tokens=30, cost_usd=0.5)
    log.complete_step("model-1", 2, usage=usage)
    log.step("call-1", kind=StepKind.TOOL, name="search", input={"query": "graphql"})
    log.complete_step("call-1", output={"found": 3})
    log.step("call-1/model-1", name="inner")
    log.queue_step("call-2", name="search")

    assert [line[18:] for line in written(log)[3:]] == [
        "asks gpt-x",
        "| wrong",
        "gpt-x failed: Boom: it broke; what it wrote is void; next try in 54 s",
        "asks gpt-x (try 2)",
        "gpt-x answered: 1 request, 1,200 + 30 tokens, $0.5000",
        'calls search {"query":"graphql"}',
        'search returned {"found":3}',
        "  asks inner",
        "search waits for a slot of the tool search",
    ]


def test_progress_and_logs_break_no_line_of_text_and_progress_is_told_by_tenths() -> None:
    log = StreamLog()
    log.start()
    log.chunk("one ")
    for hundredth in range(25):
        log.progress(hundredth / 100, message="writing")
    log.log("here")
    log.chunk("two\n")

    assert [line[18:] for line in written(log)[3:]] == [
        "progress: 0 %, writing",
        "progress: 10 %, writing",
        "progress: 20 %, writing",
        "INFO: here",
        "| one two",
    ]


def test_logs_and_progress_are_lines() -> None:
    log = StreamLog()
    log.start()
    log.log("almost\x1b[2J", left=3, what="page")
    log.progress(0.5, message="half")
    log.progress(None)

    assert [line[18:] for line in written(log)[3:]] == [
        "INFO: almost\\x1b[2J  left=3 what=page",
        "progress: 50 %, half",
        "progress",
    ]


def test_text_that_was_cut_says_so() -> None:
    log = StreamLog()
    log.start()
    log.chunk("all there is", truncated=True)

    assert [line[18:] for line in written(log)[3:]] == ["| all there is", "| … (more was streamed than is kept)"]


def test_a_frame_shows_what_a_node_is_at_and_the_end_of_its_text() -> None:
    log = StreamLog(nodes=3)
    log.start(0)
    log.progress(0.3, message="reading")
    log.start(1)
    log.step("model-1", 1)
    log.chunk("\n".join(str(number) for number in range(20)), 1, step="model-1", step_attempt=1)
    log.step("call-1", 1, kind=StepKind.TOOL, name="search", input={"q": 1})

    lines = frame(log, width=100)

    assert lines[0] == "brief  RUNNING  0/3 nodes  57 s"
    assert lines[1] == "  n0  RUNNING    1/3    56 s       [###.......] 30 %  reading"
    assert lines[2] == '  n1  RUNNING    1/3    54 s       asks test; calls search {"q":1}'
    assert lines[3:8] == [f"    | {number}" for number in range(15, 20)]
    assert lines[8].startswith("  n2  PENDING")


def test_a_frame_shows_no_text_that_is_void_or_done_and_tells_what_was_used() -> None:
    log = StreamLog(nodes=2)
    log.start(0)
    log.chunk("wrong")
    log.fail(0)
    log.start(1)
    log.step("model-1", 1)
    log.chunk("right", 1, step="model-1", step_attempt=1)
    log.complete_step("model-1", 1, 1, usage=UsedFact(requests=1, input_tokens=2, output_tokens=1))
    log.complete(1)

    text = "\n".join(frame(log, width=120))

    assert "wrong" not in text
    assert "right" not in text
    assert "1 request, 2 + 1 tokens" in text.splitlines()[0]


@pytest.mark.parametrize("height", [4, 5, 6, 9, 12])
def test_a_frame_with_text_fits_on_the_screen(height: int) -> None:
    log = StreamLog(nodes=3)
    for number in range(3):
        log.start(number)
        log.chunk("wide " * 400, number)

    lines = frame(log, height=height, width=40)

    assert len(lines) <= height - 1
    assert all(len(line) <= 40 for line in lines)


def test_only_the_end_of_a_text_is_kept() -> None:
    streamed = Streamed()
    for number in range(20_000):
        step = f"s{number % 3}" if number > 19_990 else None
        streamed.tell(
            RunEvent(kind="NodeOutputChunk", sequence=1, at=MIDNIGHT, node_id="a", text="12345", within_step=step)
        )

    assert len(streamed.text("a")) <= KEPT_CHARACTERS
    assert streamed.text("a").endswith("12345" * 100)
    assert sum(len(text) for _, text in streamed._pieces["a"]) < 10 * KEPT_CHARACTERS


def test_what_was_used_and_how_far_something_has_come_are_told_shortly() -> None:
    assert describe_usage(Usage(requests=12, input_tokens=1_000, output_tokens=5)) == "12 requests, 1,000 + 5 tokens"
    assert describe_progress(NodeProgress(fraction=1.0), bar=True) == "[##########] 100 %"
    assert describe_progress(NodeProgress(message="soon"), bar=True) == "soon"
