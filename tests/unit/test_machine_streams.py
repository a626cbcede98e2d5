"""The rules of what attempts show: text, logs and progress, for as long as they go on and no longer."""

import msgspec
import pytest

from gql_app.core.events import LogLevel, NodeLog, NodeOutputChunk, NodeProgress
from gql_app.core.fold import fold
from gql_app.core.reports import Chunk, LogLine, Mark
from gql_app.core.run import Progress
from gql_app.core.signals import Begin, CancelRequested, ShuttingDown, TimerKind
from gql_app.core.values import NULL
from tests.support.builders import kinds, node
from tests.support.steps import StepStory, request, value_of


def test_what_an_attempt_shows_happens_in_order() -> None:
    story = StepStory(node("a"))

    events = story.show(
        Chunk("Hel"),
        LogLine(LogLevel.WARNING, "careful", msgspec.Raw(b'{"n":1}')),
        Mark(0.5, "half"),
        Chunk("lo", truncated=True),
    )

    assert kinds(events) == [NodeOutputChunk, NodeLog, NodeProgress, NodeOutputChunk]
    assert [event.text for event in events if isinstance(event, NodeOutputChunk)] == ["Hel", "lo"]
    assert [event.truncated for event in events if isinstance(event, NodeOutputChunk)] == [False, True]
    assert {event.attempt for event in events if isinstance(event, NodeOutputChunk)} == {1}
    assert story.commands == []
    assert story["a"].progress == Progress(0.5, "half")


def test_nothing_is_heard_of_an_attempt_that_is_over() -> None:
    story = StepStory(node("a"))
    story.fail("a")
    waiting = story.show(Chunk("late"), Mark(0.5), attempt=1)
    story.fire(TimerKind.RETRY, "a", after=1)

    stale = story.show(Chunk("late"), LogLine(LogLevel.INFO, "late"), Mark(0.5), attempt=1)
    story.succeed("a")
    ended = story.show(Chunk("late"), attempt=2)

    assert (waiting, stale, ended) == ([], [], [])
    assert story.run.progressed == 0


def test_nothing_is_streamed_by_a_try_of_a_step_that_is_over() -> None:
    story = StepStory(node("a"))
    story.ask("x")
    first = story.show(Chunk("one", "x", 1))
    story.err("x")
    waiting = story.show(Chunk("late", "x", 1))
    story.ring(TimerKind.RETRY, "x", after=1)
    stale = story.show(Chunk("late", "x", 1), Chunk("two", "x", 2), Chunk("other", "y", 1), Chunk("of the node"))
    story.done("x")
    ended = story.show(Chunk("late", "x", 2))

    assert kinds(first) == [NodeOutputChunk]
    assert (waiting, ended) == ([], [])
    assert [event.text for event in stale if isinstance(event, NodeOutputChunk)] == ["two", "of the node"]


def test_what_a_step_has_logged_is_heard_even_when_it_is_over() -> None:
    story = StepStory(node("a"))
    story.ask("x")
    story.done("x")

    (event,) = story.show(LogLine(LogLevel.INFO, "that was it", step="x"))

    assert isinstance(event, NodeLog)
    assert event.step == "x"


def test_an_attempt_that_was_asked_to_stop_is_still_heard() -> None:
    story = StepStory(node("a"))
    story.tell(CancelRequested())

    assert kinds(story.show(Chunk("so far"))) == [NodeOutputChunk]


def test_what_was_streamed_is_counted_in_bytes_for_the_last_attempt() -> None:
    story = StepStory(node("a"))
    story.show(Chunk("é€"), Chunk("x"))
    first = story["a"].streamed_bytes
    story.fail("a")
    story.fire(TimerKind.RETRY, "a", after=1)
    again = story["a"].streamed_bytes
    story.show(Chunk("abc"))
    story.succeed("a")

    assert (first, again, story["a"].streamed_bytes) == (6, 0, 3)


def test_the_run_counts_every_byte_that_is_kept() -> None:
    story = StepStory(node("a"))
    asked, answered = value_of({"url": "here"}), value_of("there")

    story.show(Chunk("é"), LogLine(LogLevel.INFO, "ö", msgspec.Raw(b'{"n":1}')), Mark(0.5, "not counted"))
    story.ask("x", request(input=asked))
    story.done("x", answered)
    story.fail("a")
    story.fire(TimerKind.RETRY, "a", after=1)
    story.ask("x", request(input=asked))
    story.succeed("a", output=value_of(42))

    assert story.run.value_bytes == 2 + 2 + 7 + asked.size + answered.size + 2


def test_a_step_that_is_asked_for_by_each_attempt_is_counted_each_time() -> None:
    story = StepStory(node("a"))
    asked = value_of("a question")
    story.ask("x", request(input=asked))
    story.fail("a")
    story.fire(TimerKind.RETRY, "a", after=1)

    story.ask("x", request(input=asked))

    assert story.run.value_bytes == 2 * asked.size


def test_the_run_has_progressed_as_far_as_its_attempts_have() -> None:
    story = StepStory(node("a"), node("b"))

    story.show(Mark(0.1))
    story.show(Mark(0.2), name="b")
    story.show(Mark(0.3, "on"))

    assert story.run.progressed == 500_000
    assert fold(story.log).progressed == 500_000


def test_progress_may_go_back() -> None:
    story = StepStory(node("a"))
    story.show(Mark(0.9))

    story.show(Mark(0.1))

    assert story.run.progressed == 100_000


@pytest.mark.parametrize("ending", ["done", "failed", "timed out", "lost", "shut down", "grace", "stopped"])
def test_what_an_attempt_said_of_its_progress_goes_with_it(ending: str) -> None:
    story = StepStory(node("a"), node("b"))
    for step in range(1, 334):
        story.show(Mark(step / 333, "on"))
        story.show(Mark(step / 1_000), name="b")

    match ending:
        case "done":
            story.succeed("a")
        case "failed":
            story.fail("a")
        case "timed out":
            story.fire(TimerKind.ATTEMPT, "a", after=60)
        case "lost":
            story.tell(Begin())
        case "shut down":
            story.tell(ShuttingDown())
        case "grace":
            story.tell(CancelRequested())
            story.fire(TimerKind.STOP_GRACE, after=10)
        case _:
            story.tell(CancelRequested())
            story.stopped("a")

    both = ending in {"lost", "shut down", "grace"}
    assert story.run.progressed == (0 if both else 333_000)
    assert story["a"].progress is None


def test_a_node_that_showed_nothing_is_as_small_as_ever() -> None:
    story = StepStory(node("a"))
    story.succeed("a")

    assert story["a"].steps == ()
    assert (story["a"].streamed_bytes, story["a"].usage, story["a"].output) == (0, None, NULL)
