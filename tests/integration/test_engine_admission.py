"""Runs that wait for their turn: who goes next, what is seen of them, and how they end."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gql_app.core.errors import WorkflowNotFoundError
from gql_app.core.events import (
    Failure,
    NodeSkipped,
    RunEvent,
    SlotLimit,
    WorkflowCancelled,
    WorkflowStarted,
    WorkflowStopping,
    WorkflowSubmitted,
)
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace, RunId
from gql_app.core.run import AttemptStatus, NodeStatus, RunStatus, SlotWait, waiting_on
from gql_app.core.signals import CancelRequested
from gql_app.core.values import Json
from gql_app.ports import ToolContext
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from gql_app.testing.virtual_time import VirtualClock, run_on_virtual_time
from tests.support.builders import ONCE, kinds, node
from tests.support.engine import Engine, engine, node_of, plain

A, B = Namespace("a"), Namespace("b")


async def sleep(value: Json, context: ToolContext) -> Json:
    await asyncio.sleep(value["seconds"])
    return None


SLEEP = plain("sleep", sleep)


def sleeper(seconds: float = 10.0) -> Json:
    return node("a", tool="sleep", input={"seconds": seconds}, retry=ONCE)


async def cancel(made: Engine, run_id: RunId, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
    await made.executor.signal(namespace, run_id, CancelRequested(reason="No more."))


class Durable(MemoryRunRepository):
    """The store in memory, taken for one that survives the process."""

    durable = True  # type: ignore[misc] # what the executor does with a durable store is the claim


def durable() -> Durable:
    return Durable(clock=VirtualClock(), settings=Settings())


def test_a_run_that_ends_lets_the_next_one_in_at_once() -> None:
    async def story() -> None:
        async with engine(SLEEP, maximum_active_runs=1) as made:
            first, second = await made.submit(sleeper(10)), await made.submit(sleeper(5))

            ended = [await made.finished(run_id) for run_id in (first, second)]

            assert ended[0].finished_at == ended[1].started_at
            assert ended[1].status is RunStatus.COMPLETED
            assert asyncio.get_running_loop().time() == 15

    run_on_virtual_time(story())


def test_a_run_that_waits_says_why_and_its_timeout_does_not_count() -> None:
    async def story() -> None:
        async with engine(SLEEP, maximum_active_runs=1) as made:
            await made.submit(sleeper(50))
            second = await made.submit(
                sleeper(5), node("b", after=["a"], tool="sleep", input={"seconds": 1}), timeout_seconds=20
            )

            await asyncio.sleep(45)
            run = await made.run(second)

            assert run.status is RunStatus.PENDING
            assert [waiting_on(run, each) for each in run.nodes] == [SlotWait(SlotLimit.RUNS, run.created_at)] * 2
            assert made.executor.load().queued_runs == 1
            assert (await made.finished(second)).status is RunStatus.COMPLETED
            assert made.executor.load().queued_runs == 0

    run_on_virtual_time(story())


def test_a_run_that_waits_is_cancelled_at_once_and_nothing_of_it_begins() -> None:
    async def story() -> None:
        async with engine(SLEEP, maximum_active_runs=1) as made:
            first = await made.submit(sleeper(10))
            second, third = await made.submit(sleeper(10)), await made.submit(sleeper(10))

            await cancel(made, second)
            log = await made.log(second)

            assert kinds(log) == [WorkflowSubmitted, WorkflowStopping, NodeSkipped, WorkflowCancelled]
            assert (await made.run(second)).error == Failure("Cancelled", "No more.", retryable=False)
            assert asyncio.get_running_loop().time() == 0
            assert made.executor.load().queued_runs == 1
            assert (await made.finished(third)).started_at == (await made.finished(first)).finished_at

    run_on_virtual_time(story())


def test_nobody_cancels_a_run_that_waits_from_another_namespace() -> None:
    async def story() -> None:
        async with engine(SLEEP, maximum_active_runs=1) as made:
            await made.submit(sleeper(10))
            second = await made.submit(sleeper(10))

            with pytest.raises(WorkflowNotFoundError):
                await cancel(made, second, A)

            assert (await made.run(second)).status is RunStatus.PENDING

    run_on_virtual_time(story())


def test_a_namespace_with_a_thousand_runs_does_not_hold_up_the_one_of_another() -> None:
    async def story() -> None:
        async with engine(SLEEP, maximum_active_runs=2, maximum_active_runs_per_namespace=2) as made:
            for _ in range(1_000):
                await made.submit_in(A, sleeper(10))

            run_id = await made.submit_in(B, sleeper(10))
            await asyncio.sleep(15)

            assert kinds(await made.repository.events(B, run_id, after=1, limit=1)) == [WorkflowStarted]
            assert made.executor.load().queued_runs == 997

    run_on_virtual_time(story())


def test_a_run_whose_driver_fails_keeps_its_place_and_gives_it_back_once() -> None:
    class Failing(MemoryRunRepository):
        """Reads nothing after the first time, for a while."""

        failures = 0

        async def events(self, namespace: Namespace, run_id: RunId, *, after: int, limit: int) -> Sequence[RunEvent]:
            if self.failures:
                self.failures -= 1
                raise OSError("the disk is gone")
            return await super().events(namespace, run_id, after=after, limit=limit)

    async def story() -> None:
        repository = Failing(clock=VirtualClock(), settings=Settings())
        async with engine(SLEEP, repository=repository, maximum_active_runs=1) as made:
            await made.submit(sleeper(10))
            second, third = await made.submit(sleeper(10)), await made.submit(sleeper(10))
            await asyncio.sleep(5)

            repository.failures = 2
            await asyncio.sleep(5.5)
            assert (await made.run(second)).status is RunStatus.PENDING
            ended = [await made.finished(run_id) for run_id in (second, third)]

            assert [run.status for run in ended] == [RunStatus.COMPLETED] * 2
            assert ended[0].finished_at == ended[1].started_at
            assert made.executor.load().runs <= 1

    run_on_virtual_time(story())


def test_a_run_that_cannot_be_read_to_cancel_it_waits_on() -> None:
    class Broken(MemoryRunRepository):
        """Reads nothing while it is broken."""

        broken = False

        async def events(self, namespace: Namespace, run_id: RunId, *, after: int, limit: int) -> Sequence[RunEvent]:
            if self.broken:
                raise OSError("the disk is gone")
            return await super().events(namespace, run_id, after=after, limit=limit)

    async def story() -> None:
        repository = Broken(clock=VirtualClock(), settings=Settings())
        async with engine(SLEEP, repository=repository, maximum_active_runs=1) as made:
            await made.submit(sleeper(10))
            second = await made.submit(sleeper(10))

            repository.broken = True
            with pytest.raises(WorkflowNotFoundError):
                await cancel(made, second)
            repository.broken = False

            assert made.executor.load().queued_runs == 1
            assert (await made.finished(second)).status is RunStatus.COMPLETED

    run_on_virtual_time(story())


def test_runs_that_wait_are_cancelled_when_the_service_shuts_down() -> None:
    async def story() -> None:
        async with engine(SLEEP, maximum_active_runs=1, shutdown_grace_seconds=0) as made:
            runs = [await made.submit(sleeper(1_000)) for _ in range(5)]

            await made.executor.close()

            assert [(await made.run(run_id)).status for run_id in runs] == [RunStatus.CANCELLED] * 5
            assert made.executor.load().queued_runs == made.executor.load().runs == 0

    run_on_virtual_time(story())


def test_runs_that_wait_stay_for_whoever_takes_over_a_durable_store() -> None:
    async def story() -> None:
        repository = durable()
        async with engine(SLEEP, repository=repository, maximum_active_runs=1, shutdown_grace_seconds=0) as made:
            patient = node("a", tool="sleep", input={"seconds": 10})
            runs = [await made.submit(patient) for _ in range(3)]
            await asyncio.sleep(5)
            await made.executor.close()
            statuses = [(await made.run(run_id)).status for run_id in runs]

        async with engine(SLEEP, repository=repository, maximum_active_runs=1) as other:
            for namespace, run_id in await repository.unfinished():
                await other.executor.start(namespace, run_id)
            waits = other.executor.load().queued_runs
            ended = [await other.finished(run_id) for run_id in runs]

        assert statuses == [RunStatus.RUNNING, RunStatus.PENDING, RunStatus.PENDING]
        assert waits == 2
        assert [run.status for run in ended] == [RunStatus.COMPLETED] * 3

    run_on_virtual_time(story())


def test_a_run_that_was_under_way_elsewhere_and_waits_can_be_cancelled() -> None:
    async def story() -> None:
        repository = durable()
        async with engine(SLEEP, repository=repository) as dying:
            await dying.submit(sleeper(1))
            patient = node("a", tool="sleep", input={"seconds": 30})
            run_id = await dying.submit(patient, node("b", after=["a"]))
            await asyncio.sleep(1)
            first = await dying.log(run_id)
        async with engine(SLEEP, maximum_active_runs=1) as made:
            await made.submit(sleeper(10))
            await made.repository.create(first, values={})
            await made.executor.start(DEFAULT_NAMESPACE, run_id)

            await cancel(made, run_id)
            run = await made.run(run_id)

            assert run.status is RunStatus.CANCELLED
            assert [each.status for each in run.nodes][1] is NodeStatus.SKIPPED
            lost = node_of(run, "a").attempts
            assert [attempt.status for attempt in lost] == [AttemptStatus.LOST]

    run_on_virtual_time(story())


step = st.tuples(
    st.sampled_from([A, B, Namespace("c")]),
    st.floats(0, 20),
    st.one_of(st.none(), st.floats(0, 60)),
    st.floats(0, 5),
)


@settings(max_examples=60)
@given(places=st.integers(1, 3), each=st.integers(1, 3), story=st.lists(step, min_size=1, max_size=20))
def test_every_run_has_its_turn_whatever_is_cancelled_and_limits_hold(
    places: int, each: int, story: list[tuple[Namespace, float, float | None, float]]
) -> None:
    active: dict[RunId, Namespace] = {}
    worst = [0, 0]

    async def work(value: Json, context: ToolContext) -> Json:
        active[context.run_id] = context.namespace
        worst[0] = max(worst[0], len(active))
        worst[1] = max(worst[1], sum(namespace == context.namespace for namespace in active.values()))
        try:
            await asyncio.sleep(value["seconds"])
        finally:
            del active[context.run_id]

    async def cancel_later(made: Engine, namespace: Namespace, run_id: RunId, after: float) -> None:
        await asyncio.sleep(after)
        try:
            await made.executor.signal(namespace, run_id, CancelRequested())
        except WorkflowNotFoundError:
            assert (await made.repository.summary(namespace, run_id)).status.final

    async def main() -> None:
        limits: Json = {"maximum_active_runs": places, "maximum_active_runs_per_namespace": each}
        async with engine(plain("sleep", work), **limits) as made, asyncio.TaskGroup() as group:
            for namespace, seconds, cancelled, pause in story:
                run_id = await made.submit_in(namespace, sleeper(seconds))
                if cancelled is not None:
                    group.create_task(cancel_later(made, namespace, run_id, cancelled))
                await asyncio.sleep(pause)
            while unfinished := await made.repository.unfinished():
                namespace, run_id = unfinished[0]
                sequence = (await made.repository.summary(namespace, run_id)).sequence
                await made.repository.wait(namespace, run_id, after=sequence)
            assert made.executor.load().queued_runs == 0

    run_on_virtual_time(main())
    assert worst[0] <= places
    assert worst[1] <= each


def test_a_storm_of_cancellations_ends_all_that_wait() -> None:
    async def story() -> None:
        async with engine(SLEEP, maximum_active_runs=3) as made:
            runs = [await made.submit(sleeper(10)) for _ in range(300)]

            await asyncio.gather(*(cancel(made, run_id) for run_id in runs + runs), return_exceptions=True)
            for run_id in runs:
                await made.finished(run_id)

            assert {(await made.run(run_id)).status for run_id in runs} == {RunStatus.CANCELLED}
            assert asyncio.get_running_loop().time() < 1
            again = await made.submit(sleeper(1))
            assert (await made.finished(again)).status is RunStatus.COMPLETED

    run_on_virtual_time(story())
