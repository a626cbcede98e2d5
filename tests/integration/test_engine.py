"""The engine at work: real machine, real store, virtual time."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import pytest

from gql_app.core.errors import OverloadedError, ToolError, WorkflowNotFoundError
from gql_app.core.events import (
    AttemptFailed,
    AttemptStarted,
    NodeCompleted,
    NodeQueued,
    RetryState,
    RunEvent,
    SkipReason,
    SlotLimit,
    WorkflowCompleted,
)
from gql_app.core.ids import DEFAULT_NAMESPACE, NodeKey, RunId
from gql_app.core.run import AttemptStatus, NodeStatus, RunStatus
from gql_app.core.scope import decode
from gql_app.core.signals import CancelRequested
from gql_app.core.spec import Jitter, RetryPolicy, TimeoutPolicy
from gql_app.core.values import Json
from gql_app.ports import ToolContext
from gql_app.testing.virtual_time import run_on_virtual_time
from tests.support.builders import ONCE, inline, kinds, node
from tests.support.engine import Engine, engine, node_of, plain

STEADY = RetryPolicy(maximum_attempts=3, initial_interval_seconds=10.0, jitter=Jitter.NONE)


async def echo(value: Json, context: ToolContext) -> Json:
    return value


async def sleep(value: Json, context: ToolContext) -> Json:
    await asyncio.sleep(value["seconds"])
    return value["seconds"]


def failing(times: int) -> Json:
    """Make the work of a tool that fails so many times before it returns its attempt."""

    async def work(value: Json, context: ToolContext) -> Json:
        if context.attempt <= times:
            raise ToolError("not yet", type="Busy")
        return context.attempt

    return work


ECHO = plain("echo", echo)
SLEEP = plain("sleep", sleep)


def test_a_run_flows_from_node_to_node() -> None:
    async def story() -> None:
        async with engine(ECHO) as e:
            first = node("a", input={"n": "${ input.n }"})
            second = node("b", reads=["a"], input="${ nodes.a.output.n * 2 }")

            run = await e.perform(first, second, value=inline(b'{"n":21}'))

            assert run.status is RunStatus.COMPLETED
            assert decode(run.output, {}) == {"b": 42}

    run_on_virtual_time(story())


def test_the_output_is_what_its_template_says() -> None:
    async def story() -> None:
        async with engine(ECHO) as e:
            run = await e.perform(node("a", input=1), output={"of a": "${ nodes.a.output }", "text": "<${ run.id }>"})

            assert decode(run.output, {}) == {"of a": 1, "text": f"<{run.run_id}>"}

    run_on_virtual_time(story())


def test_big_values_are_stored_beside_the_log_and_read_where_they_are_needed() -> None:
    async def story() -> None:
        big = "x" * 10_000
        async with engine(ECHO) as e:
            run = await e.perform(
                node("a", input=big), node("b", reads=["a"], input="${ size(nodes.a.output) }"), node("c", input=big)
            )

            assert node_of(run, "a").output.sha256 is not None
            assert decode(node_of(run, "b").output, {}) == 10_000
            assert run.output.sha256 is not None
            stored = await e.repository.value(run.namespace, run.run_id, run.output.sha256)
            assert decode(run.output, {run.output.sha256: stored}) == {"b": 10_000, "c": big}

    run_on_virtual_time(story())


def test_a_condition_that_reads_a_big_value_is_answered() -> None:
    async def story() -> None:
        async with engine(ECHO) as e:
            big = node("a", input="x" * 10_000)
            run = await e.perform(big, node("b", reads=["a"], when="size(nodes.a.output) > 10000", input=1))

            assert node_of(run, "b").skip_reason is SkipReason.CONDITION_FALSE

    run_on_virtual_time(story())


def test_a_node_is_tried_again_after_its_delay() -> None:
    async def story() -> None:
        async with engine(plain("flaky", failing(2))) as e:
            run = await e.perform(node("a", tool="flaky", retry=STEADY))

            attempts = node_of(run, "a").attempts
            assert [a.status for a in attempts] == [AttemptStatus.FAILED, AttemptStatus.FAILED, AttemptStatus.COMPLETED]
            started = [(a.started_at - attempts[0].started_at).total_seconds() for a in attempts]
            assert started == pytest.approx([0, 10, 30])

    run_on_virtual_time(story())


def test_attempts_of_all_runs_together_keep_the_limit() -> None:
    async def story() -> None:
        now, most = 0, 0

        async def count(value: Json, context: ToolContext) -> Json:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(1)
            now -= 1

        async with engine(plain("count", count), maximum_attempts_in_flight=3) as e:
            runs = [await e.submit(*(node(f"n{i}", tool="count") for i in range(5))) for _ in range(3)]
            for run_id in runs:
                assert (await e.finished(run_id)).status is RunStatus.COMPLETED

            assert most == 3
            assert e.executor.load().attempts == 0

    run_on_virtual_time(story())


def test_a_big_run_does_not_hold_up_a_small_one() -> None:
    async def story() -> None:
        async with engine(SLEEP, maximum_attempts_in_flight=2) as e:
            nap = {"seconds": 1}
            big = await e.submit(*(node(f"n{i}", tool="sleep", input=nap) for i in range(100)))
            await e.until(big, lambda run: run.running == 2)
            small = await e.submit(node("only", tool="sleep", input=nap))
            await e.finished(small)

            assert (await e.run(big)).unfinished >= 96

    run_on_virtual_time(story())


def test_a_node_that_waits_for_its_tools_own_limit_says_so() -> None:
    async def story() -> None:
        async with engine(plain("one", sleep, max_concurrency=1)) as e:
            run_id = await e.submit(*(node(name, tool="one", input={"seconds": 5}) for name in "ab"))
            run = await e.until(run_id, lambda run: node_of(run, "b").status is NodeStatus.QUEUED)

            assert node_of(run, "b").queued_for is SlotLimit.TOOL
            assert (await e.finished(run_id)).status is RunStatus.COMPLETED

    run_on_virtual_time(story())


def test_a_node_that_moves_from_its_tools_line_to_the_executors_says_so() -> None:
    async def story() -> None:
        async with engine(plain("one", sleep, max_concurrency=1), SLEEP, maximum_attempts_in_flight=1) as e:
            nodes = [
                node("a", tool="one", input={"seconds": 1}),
                node("b", tool="sleep", input={"seconds": 1}),
                node("c", tool="one", input={"seconds": 1}),
            ]
            run_id = await e.submit(*nodes)
            await e.finished(run_id)

            waits = [(q.node.id, q.limit) for q in await e.log(run_id) if isinstance(q, NodeQueued)]
            assert ("c", SlotLimit.TOOL) in waits
            assert ("c", SlotLimit.EXECUTOR) in waits

    run_on_virtual_time(story())


def test_waiting_too_long_for_a_slot_fails_the_node_and_gives_up_its_place() -> None:
    async def story() -> None:
        async with engine(SLEEP, maximum_attempts_in_flight=1) as e:
            slow = node("a", tool="sleep", input={"seconds": 50}, continue_on_failure=True)
            hasty = node(
                "b",
                tool="sleep",
                input={"seconds": 1},
                timeout=TimeoutPolicy(queue_seconds=5),
                continue_on_failure=True,
            )
            run = await e.perform(slow, hasty)

            error = node_of(run, "b").error
            assert error is not None
            assert error.type == "QueueTimeout"
            assert run.status is RunStatus.COMPLETED

    run_on_virtual_time(story())


def test_a_run_that_takes_too_long_is_timed_out() -> None:
    async def story() -> None:
        async with engine(SLEEP) as e:
            run = await e.perform(node("a", tool="sleep", input={"seconds": 50}), timeout_seconds=20.0)

            assert run.status is RunStatus.TIMED_OUT
            assert run.finished_at is not None
            assert (run.finished_at - run.created_at).total_seconds() == pytest.approx(20)

    run_on_virtual_time(story())


def test_cancelling_stops_the_tools_and_is_stored_when_it_returns() -> None:
    async def story() -> None:
        async with engine(SLEEP) as e:
            run_id = await e.submit(node("a", tool="sleep", input={"seconds": 50}))
            await e.until(run_id, lambda run: run.running == 1)

            await e.executor.signal(DEFAULT_NAMESPACE, run_id, CancelRequested(reason="enough"))

            assert (await e.run(run_id)).status in {RunStatus.STOPPING, RunStatus.CANCELLED}
            run = await e.finished(run_id)
            assert (run.status, node_of(run, "a").status) == (RunStatus.CANCELLED, NodeStatus.CANCELLED)

    run_on_virtual_time(story())


def test_a_signal_to_a_run_that_is_not_here_is_refused() -> None:
    async def story() -> None:
        async with engine(ECHO) as e:
            run = await e.perform(node("a"))

            for run_id in (RunId("nobody"), run.run_id):
                with pytest.raises(WorkflowNotFoundError):
                    await e.executor.signal(DEFAULT_NAMESPACE, run_id, CancelRequested())

    run_on_virtual_time(story())


def test_starting_a_run_twice_is_starting_it_once() -> None:
    async def story() -> None:
        async with engine(SLEEP) as e:
            run_id = await e.submit(node("a", tool="sleep", input={"seconds": 1}))
            await e.executor.start(DEFAULT_NAMESPACE, run_id)
            run = await e.finished(run_id)
            await e.executor.start(DEFAULT_NAMESPACE, run_id)

            assert len(node_of(run, "a").attempts) == 1
            assert e.executor.load().runs == 0

    run_on_virtual_time(story())


def test_an_expression_that_fails_at_run_time_fails_its_node_and_is_quoted() -> None:
    async def story() -> None:
        async with engine(ECHO) as e:
            run = await e.perform(node("a", input={}), node("b", reads=["a"], input="${ nodes.a.output.missing + 1 }"))

            failed = node_of(run, "b")
            assert failed.error is not None
            assert failed.error.type == "ExpressionError"
            assert "nodes.a.output.missing + 1" in failed.error.message
            assert (failed.retry_state, len(failed.attempts)) == (RetryState.NON_RETRYABLE_ERROR, 1)

    run_on_virtual_time(story())


def test_a_tool_that_is_gone_fails_its_node() -> None:
    async def story() -> None:
        async with engine() as e:
            run = await e.perform(node("a", tool="gone"))

            assert run.error is not None
            assert run.error.type == "UnknownTool"

    run_on_virtual_time(story())


def test_ten_thousand_nodes_in_a_chain_of_skips_end() -> None:
    async def story() -> None:
        async with engine(ECHO) as e:
            nodes = [node("n0", when="false")] + [node(f"n{i}", reads=[f"n{i - 1}"]) for i in range(1, 10_000)]
            run = await e.perform(*nodes)

            assert run.status is RunStatus.COMPLETED
            assert {n.status for n in run.nodes} == {NodeStatus.SKIPPED}

    run_on_virtual_time(story())


def test_an_executor_that_shuts_down_accepts_nothing_and_cancels_what_would_be_lost_with_it() -> None:
    async def story() -> None:
        async with engine(SLEEP, shutdown_grace_seconds=5) as e:
            quick = await e.submit(node("a", tool="sleep", input={"seconds": 3}), node("b", after=["a"]))
            slow = await e.submit(node("a", tool="sleep", input={"seconds": 50}))
            await e.until(slow, lambda run: run.running == 1)

            await e.executor.close()

            assert node_of(await e.run(quick), "a").status is NodeStatus.COMPLETED
            assert (await e.run(quick)).status is RunStatus.CANCELLED
            assert (await e.run(slow)).status is RunStatus.CANCELLED
            with pytest.raises(OverloadedError):
                await e.submit(node("a", tool="sleep"))

    run_on_virtual_time(story())


class Durable:
    """The store in memory, said to survive its process; now and then it does not answer."""

    durable = True

    def __init__(self, engine: Engine) -> None:
        self._store = engine.repository
        self.broken = 0
        self.refused = asyncio.Event()
        self.appended_by_others: Sequence[RunEvent] = ()

    def __getattr__(self, name: str) -> Json:
        return getattr(self._store, name)

    async def append(self, *args: Json, **kwargs: Json) -> None:
        if self.broken:
            self.broken -= 1
            self.refused.set()
            raise OSError("the disk is full")
        await self._store.append(*args, **kwargs)


def test_a_durable_run_goes_on_where_it_was_after_a_shutdown() -> None:
    async def story() -> None:
        async with engine(SLEEP, shutdown_grace_seconds=5) as first:
            store = Durable(first)
            async with engine(SLEEP, repository=store, shutdown_grace_seconds=5) as e:
                nodes = [node("a", tool="sleep", input={"seconds": 3}), node("b", tool="sleep", input={"seconds": 20})]
                run_id = await e.submit(*nodes)
                await e.until(run_id, lambda run: run.running == 2)

            left = await e.run(run_id)
            async with engine(SLEEP, repository=store) as second:
                await second.executor.start(DEFAULT_NAMESPACE, run_id)
                run = await second.finished(run_id)

            assert left.status is RunStatus.RUNNING
            assert node_of(left, "a").status is NodeStatus.COMPLETED
            assert node_of(left, "b").attempts[0].status is AttemptStatus.LOST
            assert run.status is RunStatus.COMPLETED
            assert len(node_of(run, "a").attempts) == 1

    run_on_virtual_time(story())


def test_nothing_is_acted_on_before_it_is_stored() -> None:
    async def story() -> None:
        calls: list[int] = []

        async def note(value: Json, context: ToolContext) -> Json:
            calls.append(context.attempt)

        async with engine() as inner:
            store = Durable(inner)
            async with engine(plain("note", note), repository=store) as e:
                store.broken = 3
                run_id = await e.submit(node("a", tool="note"))
                await store.refused.wait()
                before = list(calls)
                run = await e.finished(run_id)

            assert before == []
            assert calls == [1]
            assert run.status is RunStatus.COMPLETED

    run_on_virtual_time(story())


def test_a_run_that_another_writer_has_taken_over_is_left_to_it() -> None:
    async def story() -> None:
        async with engine(SLEEP) as e:
            run_id = await e.submit(node("a", tool="sleep", input={"seconds": 5}))
            run = await e.until(run_id, lambda run: run.running == 1)
            foreign = NodeCompleted(sequence=run.sequence + 1, at=run.at, node=NodeKey("a"), attempt=1)
            await e.repository.append(DEFAULT_NAMESPACE, run_id, run.sequence, [foreign], values={})
            await asyncio.sleep(10)

            assert e.executor.load().runs == 0
            assert e.executor.load().attempts == 0
            assert (await e.log(run_id))[-1] == foreign

    run_on_virtual_time(story())


def test_a_run_whose_driver_fails_is_taken_over_again(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with engine(SLEEP) as e:
            run_id = await e.submit(node("a", tool="sleep", input={"seconds": 50}, retry=STEADY))
            await e.until(run_id, lambda run: run.running == 1)
            now, e.executor.clock = e.executor.clock, BrokenClock()
            with pytest.raises(WorkflowNotFoundError):
                await e.executor.signal(DEFAULT_NAMESPACE, run_id, CancelRequested())
            e.executor.clock = now
            run = await e.finished(run_id)

            assert [a.status for a in node_of(run, "a").attempts] == [AttemptStatus.LOST, AttemptStatus.COMPLETED]
            assert run.status is RunStatus.COMPLETED
            assert "the clock has stopped" in caplog.text

    run_on_virtual_time(story())


class BrokenClock:
    """A clock that fails, and with it whoever asks it."""

    def now(self) -> datetime:
        raise RuntimeError("the clock has stopped")


def test_the_log_of_a_plain_run_holds_what_happened_and_nothing_else() -> None:
    async def story() -> None:
        async with engine(plain("flaky", failing(1))) as e:
            run = await e.perform(node("a", tool="flaky"))

            expected = [AttemptStarted, AttemptFailed, AttemptStarted, NodeCompleted, WorkflowCompleted]
            assert kinds(await e.log(run.run_id))[2:] == expected

    run_on_virtual_time(story())


def test_an_executor_that_is_empty_closes_at_once() -> None:
    async def story() -> None:
        async with engine(ECHO) as e:
            await e.perform(node("a", retry=ONCE))
            before = asyncio.get_running_loop().time()
            await e.executor.close()

            assert asyncio.get_running_loop().time() == before

    run_on_virtual_time(story())
