"""Tools that stream: what becomes of the texts that a generator yields."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gql_app import ToolContext, tool
from gql_app.core.errors import InvalidOutputError, InvalidToolError
from gql_app.core.values import Json
from gql_app.ports import Reports
from gql_app.testing.virtual_time import run_on_virtual_time
from tests.support.tools import context_of


@dataclass
class Shown:
    """What a call streamed; everything else that a tool may show is out of place here."""

    pieces: list[str] = field(default_factory=list)

    def emit(self, text: str) -> None:
        self.pieces.append(text)

    def log(self, *_: Json) -> None:
        raise AssertionError

    progress = use = log


def showing(shown: Reports, **options: Json) -> ToolContext:
    """Make the context of a call that shows what it does."""
    return context_of(reports=shown, **options)


@tool
async def spell(letters: list[str]) -> AsyncIterator[str]:
    """Spell a word."""
    for letter in letters:
        await asyncio.sleep(1)
        yield letter


@tool
def spell_in_a_thread(letters: list[str]) -> Iterator[str]:
    """Spell a word."""
    yield from letters


def streamed(letters: list[str], context: ToolContext) -> tuple[str, str]:
    """Call both tools."""
    async_output = run_on_virtual_time(spell.call(spell.parse({"letters": letters}), context))
    return async_output, spell_in_a_thread.run(spell_in_a_thread.parse({"letters": letters}), context)


def test_a_generator_is_a_tool_that_streams_text() -> None:
    for made in (spell, spell_in_a_thread):
        assert made.definition.streams
        assert made.definition.output_schema == {"type": "string"}
    assert (spell.definition.isolation, spell_in_a_thread.definition.isolation) == ("async", "thread")


@given(st.lists(st.text(max_size=5), max_size=20))
def test_the_pieces_shown_are_the_output(letters: list[str]) -> None:
    shown = Shown()

    outputs = streamed(letters, showing(shown))

    assert outputs == ("".join(letters),) * 2
    assert shown.pieces == [letter for letter in letters if letter] * 2


@given(st.lists(st.text(max_size=9), max_size=20), st.integers(2, 60))
def test_no_more_is_shown_than_an_output_may_be(letters: list[str], limit: int) -> None:
    shown = Shown()
    size = len("".join(letters).encode()) + 2

    if size <= limit:
        assert streamed(letters, showing(shown, maximum_output_bytes=limit))[0] == "".join(letters)
        return
    with pytest.raises(InvalidOutputError, match=f"streamed more than the {limit} bytes") as caught:
        streamed(letters, showing(shown, maximum_output_bytes=limit))

    assert not caught.value.retryable
    assert len("".join(shown.pieces).encode()) + 2 <= limit


def test_a_stream_that_never_ends_fails_once_it_is_too_much() -> None:
    @tool
    async def endless() -> AsyncIterator[str]:
        while True:
            yield "ever and "

    with pytest.raises(InvalidOutputError, match="streamed more than the 1000 bytes"):
        run_on_virtual_time(endless.call({}, context_of(maximum_output_bytes=1_000)))


def test_a_piece_without_text_is_a_sign_of_life() -> None:
    beats: list[None] = []
    context = context_of(heartbeat=lambda: beats.append(None))

    streamed(["", "a", ""], context)

    assert len(beats) == 4


@pytest.mark.parametrize(
    ("piece", "kind"), [(5, "a value of type `int`"), (None, "None"), (b"x", "a value of type `bytes`")]
)
def test_what_is_no_text_cannot_be_streamed(piece: Json, kind: str) -> None:
    closed: list[str] = []

    @tool
    async def odd() -> AsyncIterator[Any]:
        try:
            yield piece
        finally:
            closed.append("async")

    @tool
    def odd_in_a_thread() -> Iterator[Any]:
        try:
            yield piece
        finally:
            closed.append("sync")

    with pytest.raises(InvalidOutputError, match=f"yielded {kind} where only text can be streamed"):
        run_on_virtual_time(odd.call({}, context_of()))
    with pytest.raises(InvalidOutputError, match=f"yielded {kind} where only text can be streamed"):
        odd_in_a_thread.run({}, context_of())

    assert closed == ["async", "sync"]


def test_a_generator_is_closed_when_its_call_is_cancelled() -> None:
    closed: list[float] = []

    @tool
    async def patient() -> AsyncIterator[str]:
        try:
            yield "waiting"
            await asyncio.sleep(3_600)
        finally:
            await asyncio.sleep(1)
            closed.append(asyncio.get_running_loop().time())

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await patient.call({}, context_of())

    run_on_virtual_time(main())

    assert closed == [61]


def test_a_generator_that_ignores_its_cancellation_is_stopped_at_its_next_piece() -> None:
    stop: list[bool] = []
    shown = Shown()

    @tool
    async def stubborn() -> AsyncIterator[str]:
        while True:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                stop.append(True)
            yield "."

    async def main() -> bool:
        task = asyncio.create_task(stubborn.call({}, showing(shown, cancelled=lambda: bool(stop))))
        await asyncio.sleep(3.5)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run_on_virtual_time(main())
    assert shown.pieces == ["."] * 4


def test_a_generator_in_a_thread_stops_at_the_piece_after_it_was_asked_to() -> None:
    closed: list[bool] = []
    shown = Shown()

    @tool
    def endless() -> Iterator[str]:
        try:
            while True:
                yield "."
        finally:
            closed.append(True)

    with pytest.raises(asyncio.CancelledError):
        endless.run({}, showing(shown, cancelled=lambda: len(shown.pieces) == 3))

    assert (shown.pieces, closed) == (["."] * 3, [True])


def test_what_a_generator_emits_by_itself_is_part_of_its_output() -> None:
    @tool
    async def both(context: ToolContext) -> AsyncIterator[str]:
        context.emit("a")
        yield "b"
        await asyncio.to_thread(context.emit, "c")

    shown = Shown()

    assert run_on_virtual_time(both.call({}, showing(shown))) == "abc"
    assert shown.pieces == ["a", "b", "c"]
    with pytest.raises(InvalidOutputError, match="streamed more than the 4 bytes"):
        run_on_virtual_time(both.call({}, context_of(maximum_output_bytes=4)))


def test_an_error_in_a_generator_is_the_calls() -> None:
    @tool
    async def broken() -> AsyncIterator[str]:
        yield "so far"
        raise LookupError("no more")

    shown = Shown()
    with pytest.raises(LookupError, match="no more"):
        run_on_virtual_time(broken.call({}, showing(shown)))

    assert shown.pieces == ["so far"]


def accepted() -> dict[str, Callable[..., Json]]:
    async def async_generator() -> AsyncGenerator[str, None]:
        yield ""

    async def annotated() -> Annotated[AsyncIterator[Annotated[str, "text"]], "stream"]:
        yield ""

    async def bare() -> AsyncIterator:  # type: ignore[type-arg] # what happens to it is the test
        yield ""

    def generator() -> Generator[str, None, None]:
        yield ""

    def iterable() -> Iterable[str]:
        yield ""

    def anything() -> Any:
        yield ""

    def silent():  # type: ignore[no-untyped-def] # what happens to it is the test
        yield ""

    return {
        function.__name__: function
        for function in (async_generator, annotated, bare, generator, iterable, anything, silent)
    }


@pytest.mark.parametrize("case", accepted())
def test_a_generator_of_text_may_say_so_in_many_ways(case: str) -> None:
    definition = tool(accepted()[case]).definition

    assert definition.streams
    assert definition.output_schema == {"type": "string"}


def refused() -> dict[str, tuple[Callable[..., Json], str]]:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    def either() -> Iterator[str | None]:
        yield None

    def returning() -> Generator[str, None, int]:
        yield ""
        return 5

    def lying() -> str:  # type: ignore[misc] # the mistake that is refused
        yield ""

    return {
        "numbers": (numbers, "it yields int, and only text can be streamed"),
        "either": (either, "it yields str | None, and only text"),
        "returning": (returning, "what it returns (int) would be lost"),
        "lying": (lying, "it is a generator that says it returns str; write `AsyncIterator[str]`"),
    }


@pytest.mark.parametrize("case", refused())
def test_a_generator_of_anything_else_is_refused_with_its_reason(case: str) -> None:
    function, reason = refused()[case]

    with pytest.raises(InvalidToolError) as caught:
        tool(function)

    assert f"Tool {function.__name__!r}: {reason}" in str(caught.value)


def top_level() -> Iterator[str]:
    yield ""


async def top_level_async() -> AsyncIterator[str]:
    yield ""


def test_a_generator_cannot_have_a_process_of_its_own() -> None:
    with pytest.raises(InvalidToolError, match="nothing can be streamed from a process of its own"):
        tool(isolation="process")(top_level)
    with pytest.raises(InvalidToolError, match="an async function runs on the event loop"):
        tool(isolation="thread")(top_level_async)


def test_calling_the_function_gives_its_generator() -> None:
    assert list(spell_in_a_thread(["a", "b"])) == ["a", "b"]
