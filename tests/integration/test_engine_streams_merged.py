"""How what attempts show is put together: by who shows it, in few pieces, without a secret, and saying what is cut."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import pytest

from gql_app.core.events import LogLevel, NodeLog, NodeOutputChunk, NodeProgress, RunEvent, StepCompleted, StepStarted
from gql_app.core.redaction import Redactor
from gql_app.core.reports import Chunk, LogLine, Report
from gql_app.core.run import RunStatus
from gql_app.core.values import Json
from gql_app.engine.streams import AttemptStream
from gql_app.ports import ToolContext
from gql_app.testing.virtual_time import run_on_virtual_time
from tests.support.builders import ONCE, node
from tests.support.engine import engine, plain

SECRET = "correct-horse-battery"


def chunks(log: Sequence[RunEvent]) -> list[NodeOutputChunk]:
    return [event for event in log if isinstance(event, NodeOutputChunk)]


def test_steps_that_stream_side_by_side_become_as_few_events_as_one() -> None:
    async def talking(value: Json, context: ToolContext) -> Json:
        async def talk(inner: ToolContext) -> Json:
            for number in range(1_000):
                inner.emit(f"{number} ")
                await asyncio.sleep(0.001)
            return "done"

        await asyncio.gather(*(context.step(f"talk-{i}", talk) for i in range(4)))

    async def story() -> None:
        async with engine(plain("talking", talking)) as e:
            run_id = await e.submit(node("a", tool="talking", retry=ONCE))
            run = await e.finished(run_id)
            told = chunks(await e.log(run_id))

        assert run.status is RunStatus.COMPLETED
        texts: dict[str | None, str] = defaultdict(str)
        for chunk in told:
            texts[chunk.step] += chunk.text
        assert texts == {f"talk-{i}": "".join(f"{number} " for number in range(1_000)) for i in range(4)}
        assert len(told) <= 4 * 25

    run_on_virtual_time(story())


def test_what_is_shown_stands_before_the_step_that_is_taken_then() -> None:
    async def talking(value: Json, context: ToolContext) -> Json:
        async def talk(inner: ToolContext) -> Json:
            inner.emit("in the step")
            return "done"

        context.emit("before")
        context.progress(0.5)
        context.log("info", "going in")
        await context.step("talk", talk)
        context.emit("after")

    async def story() -> None:
        async with engine(plain("talking", talking)) as e:
            run_id = await e.submit(node("a", tool="talking", retry=ONCE))
            await e.finished(run_id)
            log = await e.log(run_id)

        shown = [
            event.text if isinstance(event, NodeOutputChunk) else type(event).__name__
            for event in log
            if isinstance(event, NodeOutputChunk | NodeLog | NodeProgress | StepStarted | StepCompleted)
        ]
        assert shown == [
            "before",
            "NodeLog",
            "NodeProgress",
            "StepStarted",
            "in the step",
            "StepCompleted",
            "after",
        ]

    run_on_virtual_time(story())


@pytest.mark.parametrize("size", [49_999, 50_000, 50_500])
def test_a_stream_says_that_it_was_cut_exactly_when_it_was(size: int) -> None:
    async def flooding(value: Json, context: ToolContext) -> Json:
        for start in range(0, size, 500):
            context.emit("x" * min(500, size - start))
        return "done"

    async def story() -> None:
        async with engine(plain("flooding", flooding), maximum_stream_bytes=50_000) as e:
            run_id = await e.submit(node("a", tool="flooding", retry=ONCE))
            await e.finished(run_id)
            told = chunks(await e.log(run_id))

        assert sum(len(chunk.text) for chunk in told) == min(size, 50_000)
        assert any(chunk.truncated for chunk in told) is (size > 50_000)

    run_on_virtual_time(story())


class Shown:
    """A stream, and what it has told."""

    def __init__(self, maximum_bytes: int = 1_000_000, *, secrets: bool = True) -> None:
        self.told: list[Report] = []
        self.stream = AttemptStream(
            self.told.extend,
            maximum_bytes=maximum_bytes,
            maximum_lines=100,
            room=lambda: 1_000_000,
            redactor=lambda: Redactor({"KEY": SECRET}) if secrets else None,
            loop=asyncio.get_running_loop(),
        )

    def text(self, step: str | None = None) -> str:
        """Put together what one source has streamed."""
        return "".join(report.text for report in self.told if isinstance(report, Chunk) and report.step == step)


def test_a_secret_does_not_slip_out_in_two_halves_when_a_line_is_logged_between() -> None:
    async def story() -> None:
        shown = Shown()
        shown.stream.emit("so: " + SECRET[:9])
        shown.stream.log(LogLevel.INFO, "a line", {})
        await asyncio.sleep(1)
        shown.stream.emit(SECRET[9:] + " it is")
        shown.stream.flush()

        assert shown.text() == "so: [secret KEY] it is"
        assert [report.message for report in shown.told if isinstance(report, LogLine)] == ["a line"]

    run_on_virtual_time(story())


def test_a_secret_does_not_slip_out_in_two_halves_when_another_step_streams_or_ends_between() -> None:
    async def story() -> None:
        shown = Shown()
        shown.stream.emit("so: " + SECRET[:9])
        shown.stream.emit("of the step", ("x", 1))
        shown.stream.finish(("x", 1))
        await asyncio.sleep(1)
        shown.stream.emit(SECRET[9:] + " it is")
        shown.stream.flush()

        assert shown.text() == "so: [secret KEY] it is"
        assert shown.text("x") == "of the step"

    run_on_virtual_time(story())


def test_what_a_step_has_streamed_is_told_when_it_ends_and_no_other_need_wait() -> None:
    async def story() -> None:
        shown = Shown()
        shown.stream.emit("long enough " * 50, ("y", 1))
        shown.stream.emit("all of x", ("x", 1))
        shown.stream.finish(("x", 1))

        assert shown.text("x") == "all of x"
        shown.stream.flush()
        assert shown.text("y") == "long enough " * 50

    run_on_virtual_time(story())


def test_many_sources_together_are_held_to_the_same_bytes() -> None:
    async def story() -> None:
        shown = Shown(maximum_bytes=10_000, secrets=False)
        for number in range(200):
            shown.stream.emit("x" * 100, (f"step-{number}", 1))
        shown.stream.emit("y" * 100)
        shown.stream.flush()
        shown.stream.emit("z" * 100)
        shown.stream.flush()

        texts = [report for report in shown.told if isinstance(report, Chunk)]
        assert sum(len(report.text) for report in texts) == 10_000
        assert [report.truncated for report in texts].count(True) == 1
        assert texts[-1].truncated

    run_on_virtual_time(story())
