"""Steps, and tools that treat them badly: asked for too late, twice, in parallel, and let go of in every way."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

import pytest

from gql_app.core.errors import StepFailedError, ToolError
from gql_app.core.events import RunEvent, StepCompleted, StepFailed, StepKind, StepStarted, Usage
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.core.plan import ToolDefinition
from gql_app.core.run import NodeStatus, RunStatus
from gql_app.core.scope import decode
from gql_app.core.signals import CancelRequested
from gql_app.core.spec import Budget, Jitter, RetryPolicy, TimeoutPolicy
from gql_app.core.step_run import StepStatus
from gql_app.core.values import Json
from gql_app.engine.steps import MAXIMUM_STEPS
from gql_app.ports import ToolContext
from gql_app.testing.virtual_time import run_on_virtual_time
from tests.support.builders import ONCE, node
from tests.support.engine import Toolbox, engine, node_of, plain

TWICE = RetryPolicy(maximum_attempts=2, initial_interval_seconds=1.0, jitter=Jitter.NONE)
AT_ONCE = RetryPolicy(maximum_attempts=1)


async def at_once(context: ToolContext) -> Json:
    return "at once"


async def never(context: ToolContext) -> Json:
    await asyncio.sleep(100_000)


def of(log: Sequence[RunEvent], kind: type[RunEvent]) -> list[RunEvent]:
    return [event for event in log if isinstance(event, kind)]


def test_a_step_that_was_let_go_of_can_be_asked_for_again_at_once() -> None:
    async def stubborn(value: Json, context: ToolContext) -> Json:
        tries = []

        async def work(inner: ToolContext) -> Json:
            tries.append(inner.attempt)
            await asyncio.sleep(100 if len(tries) < 3 else 0)
            return "at last"

        while True:
            try:
                async with asyncio.timeout(5):
                    return [await context.step("x", work), tries]
            except TimeoutError:
                continue

    async def story() -> None:
        async with engine(plain("stubborn", stubborn)) as e:
            run_id = await e.submit(node("a", tool="stubborn", retry=ONCE))
            run = await e.finished(run_id)
            log = await e.log(run_id)
            assert e.executor.load().leftovers == 0

        assert decode(node_of(run, "a").output, {}) == ["at last", [1, 2, 3]]
        assert len(of(log, StepStarted)) == 3
        assert [event.error.type for event in log if isinstance(event, StepFailed)] == ["StepDropped"] * 2

    run_on_virtual_time(story())


def test_a_step_whose_answer_was_under_way_when_it_was_let_go_of_is_answered_rightly_when_asked_for_again() -> None:
    async def hasty(value: Json, context: ToolContext) -> Json:
        async def work(inner: ToolContext) -> Json:
            if inner.attempt == 1:
                raise ToolError("the first time", type="First", retryable=False)
            return "the second time"

        first = asyncio.ensure_future(context.step("x", work))
        for _ in range(20):  # It is let go of at every moment of its way, one after the other.
            await asyncio.sleep(0)
            if value == 0:
                first.cancel()
            value -= 1
        with suppress(asyncio.CancelledError, StepFailedError):
            await first
        try:
            return await context.step("x", work)
        except StepFailedError as error:
            return error.type

    async def story() -> None:
        async with engine(plain("hasty", hasty)) as e:
            for moment in range(20):
                run_id = await e.submit(node("a", tool="hasty", input=moment, retry=ONCE))
                run = await e.finished(run_id)
                tries = [event.step_attempt for event in await e.log(run_id) if isinstance(event, StepStarted)]

                assert decode(node_of(run, "a").output, {}) == ("the second time" if 2 in tries else "First")
                assert run.status is RunStatus.COMPLETED

    run_on_virtual_time(story())


def test_what_is_left_of_an_attempt_can_neither_take_a_step_nor_be_in_the_way_of_the_next() -> None:
    late: list[str] = []

    async def deaf(value: Json, context: ToolContext) -> Json:
        if context.attempt == 1:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                try:
                    await context.step("x", at_once)
                except StepFailedError as error:
                    late.append(error.type)
                context.heartbeat()
                context.emit("late")
                raise
        return await context.step("x", at_once)

    async def story() -> None:
        async with engine(plain("deaf", deaf)) as e:
            timeout = TimeoutPolicy(attempt_seconds=10.0)
            run = await e.perform(node("a", tool="deaf", retry=TWICE, timeout=timeout))
            await e.no_leftovers()

        assert decode(node_of(run, "a").output, {}) == "at once"
        assert late == ["StepTooLate"]

    run_on_virtual_time(story())


def test_what_goes_on_behind_a_tool_that_has_returned_takes_no_step() -> None:
    heard: list[str] = []
    behind: list[asyncio.Task[None]] = []

    async def returning(value: Json, context: ToolContext) -> Json:
        async def later() -> None:
            await asyncio.sleep(1)
            context.emit("late")
            context.progress(0.5)
            context.log("info", "late")
            try:
                await context.step("x", at_once)
            except StepFailedError as error:
                heard.append(error.type)

        behind.append(asyncio.ensure_future(later()))
        return "done"

    async def waiting(value: Json, context: ToolContext) -> Json:
        await asyncio.sleep(5)

    async def story() -> None:
        async with engine(plain("returning", returning), plain("waiting", waiting)) as e:
            run_id = await e.submit(node("a", tool="returning"), node("b", tool="waiting"))
            run = await e.finished(run_id)
            await asyncio.gather(*behind)

        assert run.status is RunStatus.COMPLETED
        assert node_of(run, "a").steps == ()
        assert (node_of(run, "a").streamed_bytes, run.progressed) == (0, 0)
        assert heard == ["StepTooLate"]

    run_on_virtual_time(story())


def test_a_step_is_not_done_when_its_attempt_ends_the_moment_it_begins() -> None:
    done: list[str] = []

    async def hasty(value: Json, context: ToolContext) -> Json:
        async def work(inner: ToolContext) -> Json:
            done.append("work")

        asking = asyncio.ensure_future(context.step("x", work))
        for _ in range(value):
            await asyncio.sleep(0)
        asking.cancel()
        return "done"

    async def story() -> None:
        async with engine(plain("hasty", hasty)) as e:
            for moment in range(12):
                done.clear()
                run_id = await e.submit(node("a", tool="hasty", input=moment, retry=ONCE))
                run = await e.finished(run_id)
                started = of(await e.log(run_id), StepStarted)

                assert run.status is RunStatus.COMPLETED
                assert len(done) <= len(started)
            await e.no_leftovers()

    run_on_virtual_time(story())


def test_steps_that_a_try_of_a_step_leaves_behind_are_not_in_the_way_of_the_next() -> None:
    async def leaving(value: Json, context: ToolContext) -> Json:
        async def outer(inner: ToolContext) -> Json:
            if inner.attempt == 1:
                for name in ("running", "queued", "failing"):
                    tool = {"running": "slow", "queued": "narrow", "failing": "broken"}[name]
                    asyncio.ensure_future(inner.call_tool(name, tool)).add_done_callback(lambda done: done.exception)
                await asyncio.sleep(1)
                raise ToolError("again")
            return [await inner.step(name, at_once) for name in ("running", "queued", "failing")]

        return await context.step("outer", outer, retry=TWICE)

    async def slow(value: Json, context: ToolContext) -> Json:
        await asyncio.sleep(100_000)

    async def broken(value: Json, context: ToolContext) -> Json:
        raise ToolError("no", retry_after=50.0)

    async def story() -> None:
        tools = [plain("leaving", leaving), plain("slow", slow), plain("broken", broken)]
        async with engine(*tools, plain("narrow", slow, max_concurrency=1)) as e:
            timeout = TimeoutPolicy(attempt_seconds=30.0)
            run_id = await e.submit(
                node("b", tool="narrow", retry=ONCE, timeout=timeout, continue_on_failure=True),
                node("a", tool="leaving", retry=ONCE),
            )
            run = await e.finished(run_id)
            await e.no_leftovers()
            load = e.executor.load()

        assert decode(node_of(run, "a").output, {}) == ["at once"] * 3
        assert (load.attempts, load.queued, load.leftovers) == (0, 0, 0)

    run_on_virtual_time(story())


def test_a_node_takes_no_more_steps_than_it_may_also_when_it_asks_for_all_at_once() -> None:
    async def greedy(value: Json, context: ToolContext) -> Json:
        asked = (context.step(f"x-{number}", at_once) for number in range(MAXIMUM_STEPS + 10))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return sorted({getattr(answer, "type", answer) for answer in answers})

    async def story() -> None:
        async with engine(plain("greedy", greedy)) as e:
            run_id = await e.submit(node("a", tool="greedy", retry=ONCE))
            run = await e.finished(run_id)

        assert decode(node_of(run, "a").output, {}) == ["TooManySteps", "at once"]
        assert len(node_of(run, "a").steps) == MAXIMUM_STEPS

    run_on_virtual_time(story())


def test_a_node_that_waits_for_a_step_is_not_silent() -> None:
    async def patient(value: Json, context: ToolContext) -> Json:
        async def work(inner: ToolContext) -> Json:
            if inner.attempt == 1:
                raise ToolError("come back", retry_after=30.0)
            await asyncio.sleep(20)
            return "done"

        return await context.step("x", work)

    async def silent(value: Json, context: ToolContext) -> Json:
        await context.step("x", at_once)
        await asyncio.sleep(10)

    async def story() -> None:
        async with engine(plain("patient", patient), plain("silent", silent)) as e:
            timeout = TimeoutPolicy(attempt_seconds=None, heartbeat_seconds=5.0)
            run = await e.perform(
                node("a", tool="patient", retry=ONCE, timeout=timeout),
                node("b", tool="silent", retry=ONCE, timeout=timeout, continue_on_failure=True),
            )

        error = node_of(run, "b").error
        assert node_of(run, "a").status is NodeStatus.COMPLETED
        assert error is not None
        assert error.type == "HeartbeatTimeout"

    run_on_virtual_time(story())


@pytest.mark.parametrize("ending", ["timeout", "let go"])
def test_what_a_try_used_that_did_not_end_by_itself_counts_for_the_budget(ending: str) -> None:
    async def spending(value: Json, context: ToolContext) -> Json:
        async def work(inner: ToolContext) -> Json:
            inner.report_usage(input_tokens=60)
            await asyncio.sleep(100)

        timeout = TimeoutPolicy(attempt_seconds=5.0 if ending == "timeout" else None)
        for number in range(10):
            try:
                async with asyncio.timeout(None if ending == "timeout" else 5):
                    await context.step(f"m{number}", work, kind=StepKind.MODEL, timeout=timeout, retry=AT_ONCE)
            except (StepFailedError, TimeoutError):
                pass

    async def story() -> None:
        async with engine(plain("spending", spending)) as e:
            run = await e.perform(node("a", tool="spending", retry=ONCE), budget=Budget(tokens=100))

        assert run.error is not None
        assert run.error.type == "BudgetExceeded"
        assert run.usage == Usage(2, 120, 0)

    run_on_virtual_time(story())


def test_a_cancelled_run_lets_an_agent_that_listens_end_at_once() -> None:
    ended: list[str] = []

    async def stepping(value: Json, context: ToolContext) -> Json:
        async def outer(inner: ToolContext) -> Json:
            try:
                return await inner.step("inner", never)
            finally:
                ended.append("outer")

        try:
            return await context.step("outer", outer)
        finally:
            ended.append("node")

    async def story() -> None:
        async with engine(plain("stepping", stepping)) as e:
            run_id = await e.submit(node("a", tool="stepping", retry=ONCE))
            await e.until(run_id, lambda run: len(node_of(run, "a").steps) == 2)
            await e.executor.signal(DEFAULT_NAMESPACE, run_id, CancelRequested())
            run = await e.finished(run_id)
            await e.no_leftovers()
            load = e.executor.load()

        assert run.finished_at == run.stopping_at
        assert run.status is RunStatus.CANCELLED
        assert [step.status for step in node_of(run, "a").steps] == [StepStatus.CANCELLED] * 2
        assert sorted(ended) == ["node", "outer"]
        assert load.attempts == 0

    run_on_virtual_time(story())


def test_a_big_output_of_a_step_is_read_back_by_the_next_attempt() -> None:
    big = {"text": "x" * 50_000}

    async def stepping(value: Json, context: ToolContext) -> Json:
        async def work(inner: ToolContext) -> Json:
            return big

        outputs = [await context.step(f"s{number}", work, input={"n": number, **big}) for number in range(3)]
        if context.attempt == 1:
            raise ToolError("again")
        return all(output == big for output in outputs)

    async def story() -> None:
        async with engine(plain("stepping", stepping)) as e:
            run_id = await e.submit(node("a", tool="stepping", retry=TWICE))
            run = await e.finished(run_id)
            completed = of(await e.log(run_id), StepCompleted)

        assert decode(node_of(run, "a").output, {}) is True
        assert len(completed) == 3

    run_on_virtual_time(story())


def test_what_finished_steps_were_asked_with_is_not_kept_in_memory() -> None:
    kept: list[int] = []

    async def story() -> None:
        async def asking(value: Json, context: ToolContext) -> Json:
            for number in range(50):
                await context.step(f"s{number}", at_once, input={"n": number, "text": "x" * 20_000})
            if context.attempt == 1:
                raise ToolError("again")
            await asyncio.sleep(0)
            kept.extend(len(driver._values) for driver in e.executor._drivers.values())

        async with engine(plain("asking", asking)) as e:
            run = await e.perform(node("a", tool="asking", retry=TWICE))

        assert run.status is RunStatus.COMPLETED
        assert kept == [0]

    run_on_virtual_time(story())


class Fenced(Toolbox):
    """Tools of which one is not for everybody, and one is not there yet."""

    def definitions(self, namespace: Namespace | None = None) -> Mapping[str, ToolDefinition]:
        known = dict(super().definitions())
        del known["late"]
        if namespace == DEFAULT_NAMESPACE:
            del known["fenced"]
        return known

    def why_missing(self, name: str, namespace: Namespace) -> str | None:
        return "It is on its way." if name == "late" else None


@pytest.mark.parametrize(("name", "answer"), [("fenced", "UnknownTool"), ("late", "late"), ("nobody's", "UnknownTool")])
def test_a_tool_that_is_not_for_the_namespace_of_a_run_is_not_called_as_a_step_either(name: str, answer: str) -> None:
    async def calling(value: Json, context: ToolContext) -> Json:
        try:
            return await context.call_tool("x", name)
        except ToolError as error:
            return error.type

    async def named(value: Json, context: ToolContext) -> Json:
        return name

    async def story() -> None:
        tools = [plain("calling", calling), plain("fenced", named), plain("late", named)]
        async with engine(*tools) as e:
            e.executor.caller.tools = Fenced({tool.definition.name: tool for tool in tools})
            run = await e.perform(node("a", tool="calling", retry=ONCE))

        assert decode(node_of(run, "a").output, {}) == answer

    run_on_virtual_time(story())


def test_a_step_that_was_done_is_not_taken_for_something_else() -> None:
    async def confused(value: Json, context: ToolContext) -> Json:
        if context.attempt == 1:
            await context.call_tool("x", "first")
            raise ToolError("again")
        return await context.call_tool("x", "second")

    async def named(value: Json, context: ToolContext) -> Json:
        return "the first"

    async def story() -> None:
        async with engine(plain("confused", confused), plain("first", named), plain("second", named)) as e:
            run = await e.perform(node("a", tool="confused", retry=TWICE))

        error = node_of(run, "a").error
        assert error is not None
        assert (error.type, error.retryable) == ("StepMismatch", False)
        assert "TOOL 'first'" in error.message
        assert "TOOL 'second'" in error.message

    run_on_virtual_time(story())
