"""What is shown of a run that goes on."""

import io

import pytest
from rich.console import Console, ConsoleDimensions

from gql_app.cli.board import LocalBoard
from gql_app.cli.facts import event_of, node_of, run_of
from gql_app.cli.frame import choose, draw, summarize
from gql_app.cli.narration import Narrator
from gql_app.cli.output import clean
from gql_app.cli.shown import Shown
from gql_app.cli.view import PlainView
from gql_app.cli.words import (
    add_sentence,
    describe_delay,
    describe_end,
    describe_problems,
    describe_state,
    format_seconds,
)
from gql_app.client import Failure, Problem, RunEvent, WorkflowRun
from gql_app.core.ids import NodeKey
from gql_app.core.signals import CancelRequested, Evaluated, EvaluationTarget, TimerKind
from gql_app.core.spec import RetryPolicy
from gql_app.testing.virtual_time import NOON
from tests.support.builders import ONCE, Story, node


def frame(story: Story, *, height: int = 24, width: int = 100, activity: Shown | None = None) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None)
    console.print(draw(LocalBoard(story.run), story.now, ConsoleDimensions(width, height), activity or Shown()))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def narrated(story: Story) -> list[str]:
    narrator = Narrator()
    return [narrator.describe(event_of(story.run, event)) for event in story.log]


def test_a_frame_tells_status_attempt_time_and_why_each_node_waits() -> None:
    story = Story(node("fetch"), node("page"), node("report", after=["fetch", "page"]))
    story.succeed("page", after=1.5)
    story.fail("fetch", after=1.0, retry_after=4.0)

    assert frame(story) == [
        "test  RUNNING  1/3 nodes  2.5 s",
        "  fetch   RETRYING   1/3    2.5 s      next attempt in 4.0 s (after Boom: it broke)",
        "  page    COMPLETED  1/3    1.5 s",
        "  report  PENDING                      waits for fetch",
    ]


def test_a_frame_tells_why_a_node_waits_for_a_slot() -> None:
    story = Story(node("a"), node("b"), maximum_concurrency=1)

    assert frame(story)[2] == "  b  QUEUED                       waits for a slot of the workflow (maximumConcurrency)"


def test_a_frame_fits_on_the_screen_however_many_nodes_there_are() -> None:
    story = Story(*(node(f"n{number:04}") for number in range(1_000)), maximum_concurrency=1)
    story.succeed("n0000")

    lines = frame(story, height=10, width=60)

    assert len(lines) == 9
    assert all(len(line) <= 60 for line in lines)
    assert lines[1].startswith("  n0001  RUNNING")
    assert lines[-1] == "… and 993 more: 992 queued, 1 completed"


def test_a_long_name_leaves_room_for_the_rest() -> None:
    story = Story(node("n" * 64))

    assert frame(story)[1] == f"  {'n' * 31}…  RUNNING    1/3    0.0 s"


def test_what_goes_on_is_shown_before_what_has_ended() -> None:
    statuses = ["COMPLETED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "QUEUED"]

    assert choose(statuses, 6) == [0, 1, 2, 3, 4, 5]
    assert choose(statuses, 3) == [2, 4, 5]
    assert summarize(statuses, [2, 4, 5]) == "… and 3 more: 1 pending, 2 completed"


def test_a_line_tells_when_where_and_what_for_every_event() -> None:
    story = Story(node("fetch", retry=ONCE), node("report", reads=["fetch"]))
    story.fail("fetch", after=1.25)
    stream = io.StringIO()

    with PlainView(stream) as view:
        view.show(LocalBoard(story.run), [event_of(story.run, event) for event in story.log])

    assert stream.getvalue().splitlines() == [
        "12:00:00.000Z  (test)            submitted",
        "12:00:00.000Z  (test)            started",
        "12:00:00.000Z  fetch             attempt 1 started",
        "12:00:01.250Z  fetch             attempt 1 failed: Boom: it broke",
        "12:00:01.250Z  fetch             failed (MAXIMUM_ATTEMPTS_REACHED)",
        "12:00:01.250Z  (test)            stopping, will be FAILED because of fetch",
        "12:00:01.250Z  report            skipped: the workflow is stopping",
        "12:00:01.250Z  (test)            failed because of fetch",
    ]


def test_a_retry_and_a_skip_are_explained() -> None:
    story = Story(node("a"), node("b", when="false"), node("c", reads=["b"]))
    story.fail("a", retry_after=90.0)
    story.tell(Evaluated(target=EvaluationTarget.WHEN, node=NodeKey("b"), truth=False))

    told = narrated(story)

    assert "attempt 1 failed: Boom: it broke; next attempt in 1 min 30 s" in told
    assert told[-2:] == [
        "skipped: its condition is false",
        "skipped: it reads the output of a node that has none (b)",
    ]
    assert describe_state(node_of(story.run, story["c"]), NOON) == "it reads the output of a node that has none"


def test_an_error_is_told_by_every_attempt_that_has_it_and_not_again() -> None:
    story = Story(node("fetch", retry=RetryPolicy(maximum_attempts=2)))
    story.fail("fetch", retry_after=1.0)
    story.fire(TimerKind.RETRY, "fetch", after=1.0)
    story.fail("fetch")

    told = narrated(story)

    assert [line for line in told if "it broke" in line] == [
        "attempt 1 failed: Boom: it broke; next attempt in 1.0 s",
        "attempt 2 failed: Boom: it broke",
    ]


def test_an_error_that_no_attempt_told_is_told_with_the_node() -> None:
    failure = Failure(type="QueueTimeout", message="It waited too long.", node_id="a")
    failed = RunEvent(kind="NodeFailed", sequence=3, at=NOON, node_id="a", error=failure, retry_state="TIMEOUT")

    assert Narrator().describe(failed) == "failed (TIMEOUT): QueueTimeout: It waited too long."


def test_an_end_whose_node_was_not_watched_tells_its_error() -> None:
    failure = Failure(type="Boom", message="It broke.", node_id="a")

    told = Narrator().describe(RunEvent(kind="WorkflowFailed", sequence=9, at=NOON, error=failure))

    assert told == "failed: Boom: It broke."


def test_a_lost_attempt_tells_how_it_was_lost() -> None:
    lost = RunEvent(kind="AttemptLost", sequence=4, at=NOON, node_id="a", attempt=1, lost_reason="CRASH")

    assert Narrator().describe(lost) == "attempt 1 lost (CRASH)"


def test_a_sentence_is_followed_by_a_sentence() -> None:
    assert add_sentence("failed: it broke", "next attempt now") == "failed: it broke; next attempt now"
    assert add_sentence("failed: It broke.", "next attempt now") == "failed: It broke. Next attempt now"
    assert add_sentence("failed: Why?", "next attempt now") == "failed: Why? Next attempt now"


def test_what_is_due_comes_now() -> None:
    assert [describe_delay(0.04), describe_delay(0.06)] == ["now", "in 0.1 s"]


def test_the_end_names_every_failed_node_and_why_it_was_not_tried_again() -> None:
    story = Story(node("fetch"), node("report", after=["fetch"]))
    story.fail("fetch", retryable=False)

    assert describe_end(run_of(story.run)) == [
        f"Run {story.run.run_id} is FAILED because of fetch",
        "  fetch: Boom: it broke (NON_RETRYABLE_ERROR after 1 attempt)",
    ]


def test_the_end_of_a_cancelled_run_tells_the_reason() -> None:
    story = Story(node("fetch"))
    story.tell(CancelRequested(reason="wrong input"))
    story.stopped("fetch")

    assert describe_end(run_of(story.run)) == [f"Run {story.run.run_id} is CANCELLED: wrong input"]
    assert "stopping, will be CANCELLED: wrong input" in narrated(story)


def test_the_end_tells_an_error_that_is_no_nodes_that_is_shown() -> None:
    failure = Failure(type="WorkflowTimeout", message="Too late.")

    assert describe_end(WorkflowRun(id="x", status="TIMED_OUT", error=failure)) == [
        "Run x is TIMED_OUT: WorkflowTimeout: Too late."
    ]


def test_a_problem_is_told_with_code_place_and_way_out() -> None:
    problem = Problem(code="CYCLE", pointer="/nodes/0", message="round\n ^\x1b[2J", hint="cut it")

    assert describe_problems([problem]) == ["CYCLE at /nodes/0: round", "     ^\\x1b[2J", "    cut it"]


def test_what_others_wrote_cannot_command_the_terminal() -> None:
    assert clean("a\x1b[2Jb\nc\rd\x9b1m") == "a\\x1b[2Jb c d\\x9b1m"
    assert clean("x" * 501) == "x" * 499 + "…"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (42.4, "42 s"), (61.0, "1 min 01 s"), (7_384.0, "2 h 03 min")],
)
def test_a_duration_has_as_much_detail_as_people_want(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
