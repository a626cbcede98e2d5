"""Tools that say odd things through their context: refused where it is said, and no run is the worse for it."""

from collections.abc import Callable

import pytest

from gql_app.core.events import LogLevel, NodeLog, NodeProgress, StepKind, StepStarted
from gql_app.core.fold import fold
from gql_app.core.run import NodeStatus
from gql_app.core.values import Json
from gql_app.ports import ToolContext
from gql_app.testing.virtual_time import run_on_virtual_time
from tests.support.builders import ONCE, node
from tests.support.engine import engine, node_of, plain

NAN, INFINITE = float("nan"), float("inf")


async def nothing(context: ToolContext) -> Json:
    return None


async def step(context: ToolContext, id: Json, **options: Json) -> None:
    await context.step(id, nothing, **options)


async def use(context: ToolContext, **used: Json) -> None:
    async def work(inner: ToolContext) -> Json:
        inner.report_usage(**used)
        return None

    await context.step("model", work, kind=StepKind.MODEL)


@pytest.mark.parametrize(
    "odd",
    [
        lambda context: context.progress(message=5),
        lambda context: context.progress("0.5"),
        lambda context: context.progress([1]),
        lambda context: context.emit(b"bytes"),
        lambda context: context.emit(None),
        lambda context: context.log("info", 5),
        lambda context: context.log("loud", "x"),
        lambda context: context.log(5, "x"),
    ],
    ids=["message", "fraction", "list", "bytes", "none", "line", "level", "number as level"],
)
def test_what_is_no_text_or_number_is_refused_and_named(odd: Callable[[ToolContext], None]) -> None:
    async def saying(value: Json, context: ToolContext) -> Json:
        odd(context)

    async def story() -> None:
        async with engine(plain("saying", saying)) as e:
            run = await e.perform(node("a", tool="saying", retry=ONCE))

        error = node_of(run, "a").error
        assert error is not None
        assert error.type in {"TypeError", "ValueError"}
        assert "not" in error.message

    run_on_virtual_time(story())


@pytest.mark.parametrize(
    "options",
    [
        {"id": 5},
        {"id": "\ud800"},
        {"id": "x", "name": 5},
        {"id": "x", "name": ""},
        {"id": "x", "name": "name" * 76},
        {"id": "x", "name": "\ud800"},
        {"id": "x", "kind": "SONG"},
        {"id": "x", "limits": "api"},
        {"id": "x", "limits": (5,)},
        {"id": "x", "retry": {"maximumAttempts": 2}},
        {"id": "x", "timeout": 5},
    ],
    ids=str,
)
def test_a_step_that_is_asked_for_in_an_odd_way_is_refused(options: Json) -> None:
    async def stepping(value: Json, context: ToolContext) -> Json:
        await step(context, **options)

    async def story() -> None:
        async with engine(plain("stepping", stepping)) as e:
            run = await e.perform(node("a", tool="stepping", retry=ONCE))

        error = node_of(run, "a").error
        assert error is not None
        assert error.type in {"TypeError", "ValueError"}
        assert node_of(run, "a").steps == ()

    run_on_virtual_time(story())


@pytest.mark.parametrize("kind", [StepKind.MODEL, "MODEL"], ids=["kind", "name"])
def test_the_kind_of_a_step_may_be_its_name(kind: StepKind) -> None:
    async def stepping(value: Json, context: ToolContext) -> Json:
        await step(context, "x", kind=kind, limits=["api"])

    async def story() -> None:
        async with engine(plain("stepping", stepping)) as e:
            run_id = await e.submit(node("a", tool="stepping", retry=ONCE))
            await e.finished(run_id)
            [event] = [event for event in await e.log(run_id) if isinstance(event, StepStarted)]

        assert event.request is not None
        assert event.request.kind is StepKind.MODEL
        assert event.request.limits == ("api",)

    run_on_virtual_time(story())


@pytest.mark.parametrize(
    "used",
    [
        {"requests": -1},
        {"input_tokens": -1},
        {"output_tokens": 1.5},
        {"input_tokens": True},
        {"input_tokens": 2**63},
        {"cost_usd": NAN},
        {"cost_usd": INFINITE},
        {"cost_usd": -0.5},
        {"cost_usd": "0.5"},
    ],
    ids=str,
)
def test_usage_that_cannot_be_is_refused(used: Json) -> None:
    async def asking(value: Json, context: ToolContext) -> Json:
        await use(context, **used)

    async def story() -> None:
        async with engine(plain("asking", asking)) as e:
            run_id = await e.submit(node("a", tool="asking", retry=ONCE))
            run = await e.finished(run_id)

        (asked,) = node_of(run, "a").steps
        assert asked.error is not None
        assert asked.error.type in {"TypeError", "ValueError"}
        assert run.usage is None

    run_on_virtual_time(story())


def test_what_is_said_of_progress_is_kept_short_and_made_unicode() -> None:
    async def saying(value: Json, context: ToolContext) -> Json:
        context.progress(0.5, "\ud800" + "x" * 100_000)
        return "done"

    async def story() -> None:
        async with engine(plain("saying", saying)) as e:
            run_id = await e.submit(node("a", tool="saying", retry=ONCE))
            run = await e.finished(run_id)
            [told] = [event for event in await e.log(run_id) if isinstance(event, NodeProgress)]

        assert node_of(run, "a").status is NodeStatus.COMPLETED
        assert told.message[0] == "?"
        assert told.message[-1] == "…"
        assert len(told.message) <= 2_000

    run_on_virtual_time(story())


class Unspeakable:
    """What cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def deep() -> Json:
    value: Json = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "field",
    [NAN, 10**30, "\ud800", {"\ud800": 1}, {1: 2}, {1, 2}, b"\xff", Unspeakable(), deep(), Unspeakable, "x" * 10_000],
    ids=["nan", "huge", "surrogate", "odd name", "number as name", "set", "bytes", "silent", "deep", "class", "long"],
)
def test_whatever_is_logged_is_logged_somehow(field: Json) -> None:
    async def logging(value: Json, context: ToolContext) -> Json:
        context.log(LogLevel.INFO, "\ud800here", field=field)
        return "done"

    async def story() -> None:
        async with engine(plain("logging", logging)) as e:
            run_id = await e.submit(node("a", tool="logging", retry=ONCE))
            run = await e.finished(run_id)
            log = await e.log(run_id)
            [line] = [event for event in log if isinstance(event, NodeLog)]

        assert node_of(run, "a").status is NodeStatus.COMPLETED
        assert line.message == "?here"
        assert bytes(line.fields).startswith(b"{")
        assert fold(log) == run

    run_on_virtual_time(story())
