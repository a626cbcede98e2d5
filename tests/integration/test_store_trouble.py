"""A store that is away, loses answers, or holds a damaged run: nothing is lost, and no node fails for it."""

import asyncio
import logging

import pytest

from gql_app.core.errors import CorruptRunError, OverloadedError
from gql_app.core.events import AttemptLost
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.run import RunStatus
from gql_app.core.signals import CancelRequested
from gql_app.core.values import Json
from gql_app.engine.elected import ElectedExecutor
from gql_app.ports import ToolContext
from gql_app.service import WorkflowService
from gql_app.settings import Settings
from gql_app.testing.virtual_time import VirtualClock, run_on_virtual_time
from tests.support.builders import kinds, node
from tests.support.engine import Engine, PlainTool, engine, node_of, plain
from tests.support.service import NamedTools, document
from tests.support.service import node as written
from tests.support.troubled_repository import TroubledRepository


async def work(value: Json, context: ToolContext) -> Json:
    await asyncio.sleep(10.0)
    return context.attempt


async def large(value: Json, context: ToolContext) -> Json:
    await asyncio.sleep((value or {}).get("seconds", 0.0))
    return context.node_id * 5_000


WORK, LARGE = plain("works", work), plain("large", large)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.ERROR]


def made_by(repository: TroubledRepository, *tools: PlainTool) -> Engine:
    return Engine(*tools, clock=VirtualClock(), settings=Settings(), repository=repository)


def test_an_attempt_goes_on_while_the_store_is_away_and_its_end_is_stored_once_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        repository = TroubledRepository()
        async with engine(WORK, repository=repository) as made:
            run_id = await made.submit(node("a", tool="works"))
            await asyncio.sleep(1.0)

            repository.away = True
            await asyncio.sleep(40.0)
            repository.away = False
            run = await made.finished(run_id)

            assert run.status is RunStatus.COMPLETED
            assert len(node_of(run, "a").attempts) == 1
            assert not errors(caplog)

    run_on_virtual_time(scene())


def test_a_run_whose_store_is_away_for_too_long_is_taken_over_from_its_log_once_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        repository = TroubledRepository()
        async with engine(WORK, repository=repository, store_patience_seconds=30.0) as made:
            run_id = await made.submit(node("a", tool="works"))
            await asyncio.sleep(1.0)

            repository.away = True
            await asyncio.sleep(1_800.0)
            given_up = made.executor.load()
            repository.away = False
            run = await made.finished(run_id)

            assert given_up.attempts == given_up.left == 0
            assert AttemptLost in kinds(await made.log(run_id))
            assert run.status is RunStatus.COMPLETED
            assert len(node_of(run, "a").attempts) == 2
            assert not errors(caplog)
            assert len(caplog.records) <= 2

    run_on_virtual_time(scene())


def test_a_damaged_run_is_left_and_counted_and_all_others_go_on() -> None:
    async def scene() -> None:
        repository = TroubledRepository()
        first = made_by(repository, WORK)
        damaged = await first.submit(node("a", tool="works"))
        whole = await first.submit(node("a", tool="works"))
        await first.executor.abandon()
        repository.damaged.add(damaged)
        executor = ElectedExecutor(repository, lambda: made_by(repository, WORK).executor)

        await executor.open(stands_by=False)
        run = await first.finished(whole)

        assert run.status is RunStatus.COMPLETED
        assert executor.load().left == 1
        assert executor.load().runs == 0
        with pytest.raises(CorruptRunError):
            await executor.start(DEFAULT_NAMESPACE, damaged)
        repository.damaged.clear()
        await executor.start(DEFAULT_NAMESPACE, damaged)
        assert (await first.finished(damaged)).status is RunStatus.COMPLETED
        assert executor.load().left == 0
        await executor.close()

    run_on_virtual_time(scene())


def test_a_run_whose_lease_is_lost_is_left_at_once_and_nothing_of_it_is_written() -> None:
    async def scene() -> None:
        repository = TroubledRepository()
        async with engine(WORK, repository=repository) as made:
            run_id = await made.submit(node("a", tool="works"))
            await asyncio.sleep(1.0)
            before = await made.log(run_id)

            repository.lease_is_lost = True
            await asyncio.sleep(9.5)

            assert made.executor.load().runs == made.executor.load().left == 0
            assert await made.log(run_id) == before

    run_on_virtual_time(scene())


def test_an_output_of_values_that_are_stored_and_values_that_are_fresh_is_made() -> None:
    async def scene() -> None:
        async with engine(LARGE) as made:
            run = await made.perform(
                node("a", tool="large"),
                node("b", tool="large", input={"seconds": 1.0}),
                timeout_seconds=60.0,
            )

            assert run.status is RunStatus.COMPLETED
            assert run.output.size == 10_000 + len('{"a":"","b":""}')

    run_on_virtual_time(scene())


def test_a_value_that_cannot_be_read_for_a_while_fails_no_node_and_no_condition() -> None:
    async def scene() -> None:
        repository = TroubledRepository()
        async with engine(LARGE, repository=repository) as made:
            run_id = await made.submit(
                node("a", tool="large"),
                node("b", tool="large", input={"seconds": 5.0}, after=["a"]),
                node("c", tool="large", input={"text": "${ nodes.a.output }"}, after=["b"], reads=["a"]),
                node("d", tool="large", when="nodes.a.output != ''", after=["b"], reads=["a"]),
            )

            await asyncio.sleep(1.0)
            repository.values_are_away = True
            await asyncio.sleep(20.0)
            repository.values_are_away = False
            run = await made.finished(run_id)

            assert run.status is RunStatus.COMPLETED
            assert [len(one.attempts) for one in run.nodes] == [1, 1, 1, 1]

    run_on_virtual_time(scene())


def served(repository: TroubledRepository) -> tuple[WorkflowService, ElectedExecutor, Engine]:
    """A service on this store, in the only process."""
    played = made_by(repository, plain("work", work))
    executor = ElectedExecutor(repository, lambda: made_by(repository, plain("work", work)).executor)
    service = WorkflowService(
        repository=repository,
        executor=executor,
        evaluator=played.sandbox,
        tools=NamedTools(),
        clock=VirtualClock(),
        settings=Settings(),
    )
    return service, executor, played


def test_a_run_that_was_stored_without_an_answer_is_found_by_its_key_and_runs() -> None:
    async def scene() -> None:
        repository = TroubledRepository()
        service, executor, played = served(repository)
        await executor.open(stands_by=False)
        await asyncio.sleep(1.0)
        brief = document(written("a"))

        repository.loses_answers = True
        with pytest.raises(OverloadedError):
            await service.submit(DEFAULT_NAMESPACE, brief, idempotency_key="k")
        repository.loses_answers = False
        found = await service.submit(DEFAULT_NAMESPACE, brief, idempotency_key="k")
        async with asyncio.timeout(60.0):
            run = await played.finished(found.run_id)

        assert run.status is RunStatus.COMPLETED
        assert await repository.unfinished() == []
        await executor.close()

    run_on_virtual_time(scene())


def test_a_cancel_that_was_left_for_the_executor_is_obeyed_although_the_run_is_just_taken_over_again() -> None:
    async def scene() -> None:
        repository = TroubledRepository()
        first = made_by(repository, WORK)
        run_id = await first.submit(node("a", tool="works"))
        executor = ElectedExecutor(
            repository,
            lambda: (
                Engine(
                    WORK, clock=VirtualClock(), settings=Settings(store_patience_seconds=0.0), repository=repository
                ).executor
            ),
        )
        await first.executor.abandon()
        await executor.open(stands_by=False)
        await asyncio.sleep(1.0)

        repository.away = True
        await repository.send(DEFAULT_NAMESPACE, run_id, CancelRequested(reason="Enough."))
        await asyncio.sleep(0.5)
        repository.away = False
        run = await first.finished(run_id)

        await asyncio.sleep(5.0)

        assert run.status is RunStatus.CANCELLED
        assert await repository.letters() == []
        await executor.close()

    run_on_virtual_time(scene())
