"""The steps of attempts, through the real engine."""

import asyncio
from collections.abc import Callable

import pytest

from gql_app.core.errors import StepFailedError, ToolError
from gql_app.core.events import Failure, StepCompleted, StepFailed, StepKind, StepStarted
from gql_app.core.run import NodeStatus, RunStatus
from gql_app.core.scope import decode
from gql_app.core.spec import Budget, Jitter, RetryPolicy, TimeoutPolicy
from gql_app.core.step_run import StepStatus
from gql_app.core.values import Json
from gql_app.ports import ToolContext
from gql_app.testing.virtual_time import run_on_virtual_time
from tests.support.builders import ONCE, node
from tests.support.engine import engine, node_of, plain

TWICE = RetryPolicy(maximum_attempts=2, initial_interval_seconds=1.0, jitter=Jitter.NONE)


def counted(calls: list[str], name: str, result: Json) -> Callable[[ToolContext], Json]:
    async def work(context: ToolContext) -> Json:
        calls.append(f"{name} {context.attempt}")
        return result

    return work


def test_a_finished_step_is_not_done_again_when_the_node_is_tried_again() -> None:
    calls: list[str] = []

    async def stepping(value: Json, context: ToolContext) -> Json:
        first = await context.step("one", counted(calls, "one", {"big": "x" * 5_000}), input={"for": "one"})
        second = await context.step("two", counted(calls, "two", 2))
        if context.attempt == 1:
            raise ToolError("not yet")
        return [len(first["big"]), second]

    async def story() -> None:
        async with engine(plain("stepping", stepping)) as e:
            run_id = await e.submit(node("a", tool="stepping", retry=TWICE))
            run = await e.finished(run_id)
            started = [event for event in await e.log(run_id) if isinstance(event, StepStarted)]

        assert decode(node_of(run, "a").output, {}) == [5_000, 2]
        assert calls == ["one 1", "two 1"]
        assert [event.step for event in started] == ["one", "two"]
        assert [step.status for step in node_of(run, "a").steps] == [StepStatus.COMPLETED, StepStatus.COMPLETED]

    run_on_virtual_time(story())


def test_a_step_is_tried_again_by_its_own_policy_while_its_node_waits() -> None:
    async def stepping(value: Json, context: ToolContext) -> Json:
        async def work(inner: ToolContext) -> Json:
            if inner.attempt < 3:
                raise ToolError("busy", type="Busy", retry_after=30.0)
            return asyncio.get_running_loop().time()

        return await context.step("one", work)

    async def story() -> None:
        async with engine(plain("stepping", stepping)) as e:
            timeout = TimeoutPolicy(attempt_seconds=100.0)
            run_id = await e.submit(node("a", tool="stepping", retry=ONCE, timeout=timeout))
            run = await e.finished(run_id)
            failed = [event for event in await e.log(run_id) if isinstance(event, StepFailed)]

        assert decode(node_of(run, "a").output, {}) == 60.0
        assert [(event.step_attempt, event.error.type) for event in failed] == [(1, "Busy"), (2, "Busy")]

    run_on_virtual_time(story())


def test_a_step_that_hangs_is_timed_out_and_tried_again() -> None:
    async def stepping(value: Json, context: ToolContext) -> Json:
        async def work(inner: ToolContext) -> Json:
            if inner.attempt == 1:
                await asyncio.sleep(1_000)
            return inner.attempt

        return await context.step("one", work, timeout=TimeoutPolicy(attempt_seconds=5.0), retry=TWICE)

    async def story() -> None:
        async with engine(plain("stepping", stepping)) as e:
            run = await e.perform(node("a", tool="stepping", retry=ONCE))

        assert decode(node_of(run, "a").output, {}) == 2

    run_on_virtual_time(story())


def test_a_step_that_is_given_up_is_told_to_its_tool() -> None:
    async def stepping(value: Json, context: ToolContext) -> Json:
        async def work(inner: ToolContext) -> Json:
            raise ToolError("never", type="Hopeless", retryable=False)

        try:
            await context.step("one", work)
        except StepFailedError as error:
            return [error.step, error.type, error.retryable]

    async def story() -> None:
        async with engine(plain("stepping", stepping)) as e:
            run = await e.perform(node("a", tool="stepping", retry=ONCE))

        assert decode(node_of(run, "a").output, {}) == ["one", "Hopeless", False]

    run_on_virtual_time(story())


def test_tools_are_called_as_steps_side_by_side_within_their_own_limits() -> None:
    at_once: list[int] = [0, 0]

    async def narrow(value: Json, context: ToolContext) -> Json:
        at_once[0] += 1
        at_once[1] = max(at_once)
        await asyncio.sleep(1)
        at_once[0] -= 1
        return [value, context.step_id]

    async def stepping(value: Json, context: ToolContext) -> Json:
        return await asyncio.gather(*(context.call_tool(f"call-{i}", "narrow", i) for i in range(6)))

    async def story() -> None:
        narrow_tool = plain("narrow", narrow, max_concurrency=2)
        async with engine(plain("stepping", stepping), narrow_tool, maximum_attempts_in_flight=1) as e:
            run = await e.perform(node("a", tool="stepping", retry=ONCE))
            load = e.executor.load()

        assert decode(node_of(run, "a").output, {}) == [[i, f"call-{i}"] for i in range(6)]
        assert at_once == [0, 2]
        assert (load.attempts, load.queued) == (0, 0)

    run_on_virtual_time(story())


def test_steps_within_steps_bear_the_name_of_what_is_around_them() -> None:
    async def inner_tool(value: Json, context: ToolContext) -> Json:
        return await context.call_tool("deeper", "leaf", value)

    async def leaf(value: Json, context: ToolContext) -> Json:
        return context.idempotency_key.partition("/")[2]

    async def stepping(value: Json, context: ToolContext) -> Json:
        return await context.call_tool("outer", "inner", value)

    async def story() -> None:
        async with engine(plain("stepping", stepping), plain("inner", inner_tool), plain("leaf", leaf)) as e:
            run = await e.perform(node("a", tool="stepping", retry=ONCE))

        assert decode(node_of(run, "a").output, {}) == "a/outer/deeper"
        assert [step.id for step in node_of(run, "a").steps] == ["outer", "outer/deeper"]

    run_on_virtual_time(story())


def test_what_a_step_wanted_is_let_go_with_its_try_and_wanted_again_by_the_next() -> None:
    calls: list[int] = []

    async def leaf(value: Json, context: ToolContext) -> Json:
        calls.append(context.attempt)
        await asyncio.sleep(1_000 if len(calls) == 1 else 0)
        return "leaf"

    async def stepping(value: Json, context: ToolContext) -> Json:
        async def work(inner: ToolContext) -> Json:
            return await inner.call_tool("leaf", "leaf")

        return await context.step("outer", work, timeout=TimeoutPolicy(attempt_seconds=5.0), retry=TWICE)

    async def story() -> None:
        async with engine(plain("stepping", stepping), plain("leaf", leaf)) as e:
            run = await e.perform(node("a", tool="stepping", retry=ONCE))
            assert e.executor.load().leftovers == 0

        assert decode(node_of(run, "a").output, {}) == "leaf"
        assert calls == [1, 2]

    run_on_virtual_time(story())


def test_a_tool_that_no_longer_wants_a_step_can_go_on_without_it() -> None:
    async def stepping(value: Json, context: ToolContext) -> Json:
        async def work(inner: ToolContext) -> Json:
            await asyncio.sleep(1_000)

        try:
            async with asyncio.timeout(5):
                await context.step("slow", work, timeout=TimeoutPolicy(attempt_seconds=None))
        except TimeoutError:
            return await context.step("quick", counted([], "quick", "instead"))

    async def story() -> None:
        async with engine(plain("stepping", stepping)) as e:
            run = await e.perform(node("a", tool="stepping", retry=ONCE))
            assert e.executor.load().leftovers == 0

        steps = {step.id: step.status for step in node_of(run, "a").steps}
        assert decode(node_of(run, "a").output, {}) == "instead"
        assert steps == {"slow": StepStatus.FAILED, "quick": StepStatus.COMPLETED}

    run_on_virtual_time(story())


def test_two_steps_of_one_name_are_refused() -> None:
    async def stepping(value: Json, context: ToolContext) -> Json:
        async def work(inner: ToolContext) -> Json:
            await asyncio.sleep(1)

        await asyncio.gather(context.step("same", work), context.step("same", work))

    async def story() -> None:
        async with engine(plain("stepping", stepping)) as e:
            run = await e.perform(node("a", tool="stepping", retry=ONCE))

        error = node_of(run, "a").error
        assert error is not None
        assert "'same' is under way already" in error.message

    run_on_virtual_time(story())


def test_a_cancelled_node_takes_its_steps_along() -> None:
    ended: list[str] = []

    async def stepping(value: Json, context: ToolContext) -> Json:
        async def work(inner: ToolContext) -> Json:
            try:
                await asyncio.sleep(1_000)
            finally:
                ended.append("step")

        return await context.step("slow", work)

    async def story() -> None:
        async with engine(plain("stepping", stepping)) as e:
            timeout = TimeoutPolicy(attempt_seconds=5.0)
            run = await e.perform(node("a", tool="stepping", retry=ONCE, timeout=timeout))
            await e.no_leftovers()

        assert node_of(run, "a").status is NodeStatus.FAILED
        assert [step.status for step in node_of(run, "a").steps] == [StepStatus.CANCELLED]
        assert ended == ["step"]

    run_on_virtual_time(story())


def test_usage_is_added_up_and_a_run_over_its_budget_fails() -> None:
    async def asking(value: Json, context: ToolContext) -> Json:
        async def work(inner: ToolContext) -> Json:
            inner.report_usage(input_tokens=30, output_tokens=10, cost_usd=0.5)
            return "answer"

        for number in range(10):
            await context.step(f"model-{number}", work, kind=StepKind.MODEL, name="test")

    async def story() -> None:
        async with engine(plain("asking", asking)) as e:
            run_id = await e.submit(node("a", tool="asking", retry=ONCE), budget=Budget(tokens=100))
            run = await e.finished(run_id)
            done = [event for event in await e.log(run_id) if isinstance(event, StepCompleted)]

        assert run.status is RunStatus.FAILED
        assert run.error is not None
        assert run.error.type == "BudgetExceeded"
        assert len(done) == 3
        assert run.usage is not None
        assert (run.usage.tokens, run.usage.requests, run.usage.cost_usd) == (120, 3, 1.5)
        assert node_of(run, "a").usage == run.usage == node_of(run, "a").attempts[0].usage

    run_on_virtual_time(story())


def test_usage_outside_of_a_step_is_refused() -> None:
    async def asking(value: Json, context: ToolContext) -> Json:
        context.report_usage(input_tokens=1)

    async def story() -> None:
        async with engine(plain("asking", asking)) as e:
            run = await e.perform(node("a", tool="asking", retry=ONCE))

        error = node_of(run, "a").error
        assert isinstance(error, Failure)
        assert "context.step" in error.message

    run_on_virtual_time(story())


@pytest.mark.parametrize("id", ["", "a/b", "x" * 101])
def test_what_cannot_be_the_id_of_a_step_is_refused(id: str) -> None:
    async def stepping(value: Json, context: ToolContext) -> Json:
        return await context.step(id, counted([], "x", 1))

    async def story() -> None:
        async with engine(plain("stepping", stepping)) as e:
            run = await e.perform(node("a", tool="stepping", retry=ONCE))

        error = node_of(run, "a").error
        assert error is not None
        assert error.type == "ValueError"

    run_on_virtual_time(story())


def test_a_node_takes_so_many_steps_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gql_app.engine.steps.MAXIMUM_STEPS", 3)

    async def stepping(value: Json, context: ToolContext) -> Json:
        for number in range(4):
            await context.step(f"step-{number}", counted([], "x", 1))

    async def story() -> None:
        async with engine(plain("stepping", stepping)) as e:
            run = await e.perform(node("a", tool="stepping", retry=TWICE))

        error = node_of(run, "a").error
        assert error is not None
        assert (error.type, "'step-3'" in error.message) == ("TooManySteps", True)
        assert len(node_of(run, "a").steps) == 3

    run_on_virtual_time(story())


def test_what_is_too_big_for_a_step_is_named() -> None:
    async def stepping(value: Json, context: ToolContext) -> Json:
        await context.step("big", counted([], "x", 1), input="x" * 3_000)

    async def story() -> None:
        async with engine(plain("stepping", stepping), maximum_output_bytes=2_000) as e:
            run = await e.perform(node("a", tool="stepping", retry=TWICE))

        error = node_of(run, "a").error
        assert error is not None
        assert error.message.startswith("The input of step 'big' takes 3002 bytes")

    run_on_virtual_time(story())


def test_a_call_whose_failure_is_remembered_fails_in_the_next_attempt_without_being_made() -> None:
    tries: list[int] = []

    async def broken(value: Json, context: ToolContext) -> Json:
        tries.append(context.attempt)
        raise ToolError("It is broken.", type="Broken", retryable=False)

    async def calling(value: Json, context: ToolContext) -> Json:
        try:
            await context.call_tool("one", "broken", remember_failure=True)
        except StepFailedError as error:
            if context.attempt == 2:
                return [error.type, str(error)]
        raise ToolError("not yet")

    async def story() -> None:
        async with engine(plain("broken", broken), plain("calling", calling)) as e:
            run = await e.perform(node("a", tool="calling", retry=TWICE))

        assert decode(node_of(run, "a").output, {}) == ["Broken", "It is broken."]
        assert tries == [1]

    run_on_virtual_time(story())
