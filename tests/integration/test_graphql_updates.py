"""Watching runs over GraphQL."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import pytest

from gql_app.core.ids import RunId
from gql_app.core.values import Json
from gql_app.schema import operations
from tests.support.graphql import Api
from tests.support.service import Stage, node

pytestmark = pytest.mark.anyio

UPDATES = operations.load("WorkflowUpdates")


async def test_everything_is_told_from_the_beginning_and_then_the_subscription_completes() -> None:
    stage = Stage()
    run_id = await stage.perform(node("a"), node("b", "a"))

    updates = await watch(Api(stage.service), run_id, after=0)

    assert sequences(updates) == list(range(1, 8))
    assert updates[-1]["events"][-1]["__typename"] == "WorkflowCompleted"
    assert [each["id"] for each in updates[-1]["changedNodes"]] == ["a", "b"]
    assert updates[-1]["workflow"]["status"] == "COMPLETED"


async def test_what_happens_while_watching_is_told_as_it_happens() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"), node("b", "a"))

    async with aclosing(await Api(stage.service).subscribe(UPDATES, id=run_id)) as updates:
        first = data_of(await anext(updates))
        await stage.executor.succeed(run_id, "a", "out")
        second = data_of(await anext(updates))
        await stage.executor.succeed(run_id, "b")
        third = data_of(await anext(updates))
        rest = [update async for update in updates]

    assert (first["sequence"], first["events"]) == (3, [])
    assert [event["__typename"] for event in second["events"]] == ["NodeCompleted", "AttemptStarted"]
    assert [(each["id"], each["status"]) for each in second["changedNodes"]] == [("a", "COMPLETED"), ("b", "RUNNING")]
    assert sequences([second, third]) == [4, 5, 6, 7]
    assert rest == []


async def test_coming_back_with_the_last_sequence_misses_nothing_and_repeats_nothing() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"), node("b", "a"))
    api = Api(stage.service)
    async with aclosing(await api.subscribe(UPDATES, id=run_id, after=0)) as updates:
        before = data_of(await anext(updates))
    await stage.executor.succeed(run_id, "a")
    await stage.executor.succeed(run_id, "b")

    after = await watch(api, run_id, after=before["sequence"])

    assert sequences([before, *after]) == list(range(1, 8))


async def test_the_last_sequence_of_a_finished_run_completes_at_once() -> None:
    stage = Stage()
    run_id = await stage.perform(node("a"))

    assert await watch(Api(stage.service), run_id, after=5) == []


@pytest.mark.parametrize("after", [-1, 4])
async def test_a_sequence_that_is_not_there_yet_or_never_is_an_invalid_cursor(after: int) -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"))

    [result] = [each async for each in await Api(stage.service).subscribe(UPDATES, id=run_id, after=after)]

    assert result.errors is not None
    assert [error.extensions for error in result.errors] == [{"code": "INVALID_CURSOR"}]


async def test_a_run_that_is_not_there_is_an_error() -> None:
    [result] = [each async for each in await Api(Stage().service).subscribe(UPDATES, id="nothing")]

    assert result.data is None
    assert result.errors is not None
    assert [error.extensions for error in result.errors] == [{"code": "WORKFLOW_NOT_FOUND"}]


async def test_a_run_that_is_removed_while_it_is_watched_is_an_error() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"))

    async with aclosing(await Api(stage.service).subscribe(UPDATES, id=run_id)) as updates:
        await anext(updates)
        waiting = asyncio.ensure_future(anext(updates))
        await asyncio.sleep(0)
        await stage.repository.close()
        result = await waiting

    assert result.errors is not None
    assert [error.extensions for error in result.errors] == [{"code": "WORKFLOW_REMOVED"}]


async def test_a_subscription_with_bad_variables_names_them() -> None:
    [result] = [each async for each in await Api(Stage().service).subscribe(UPDATES, after="x")]

    assert result.errors is not None
    assert [(error.extensions or {})["variable"] for error in result.errors] == ["id", "after"]


async def test_a_subscription_with_a_syntax_error_says_so() -> None:
    [result] = [each async for each in await Api(Stage().service).subscribe("subscription {")]

    assert result.errors is not None
    assert "Syntax Error" in result.errors[0].message


async def test_a_watcher_that_goes_away_leaves_nothing_behind() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"))
    tasks = asyncio.all_tasks()

    async with aclosing(await Api(stage.service).subscribe(UPDATES, id=run_id)) as updates:
        await anext(updates)

    assert asyncio.all_tasks() == tasks


async def watch(api: Api, run_id: RunId, **variables: Json) -> Sequence[Json]:
    return [data_of(result) async for result in await api.subscribe(UPDATES, id=run_id, **variables)]


def data_of(result: Json) -> Json:
    assert result.errors is None
    return result.data["workflowUpdates"]


def sequences(updates: Sequence[Json]) -> list[int]:
    return [event["sequence"] for update in updates for event in update["events"]]
