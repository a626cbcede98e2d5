"""Subscribers of the same operation are given the same answer, which is made once."""

import asyncio
from contextlib import AsyncExitStack, aclosing
from itertools import pairwise

import pytest

from gql_app.core.ids import Namespace, RunId
from gql_app.core.values import Json
from gql_app.schema import operations
from gql_app.schema.execution import Answer
from gql_app.schema.sharing import SharedAnswers
from gql_app.storage.memory import MemoryRunRepository
from tests.support.graphql import Api, read_answer
from tests.support.service import Stage, node
from tests.support.streams import StreamLog

pytestmark = pytest.mark.anyio

UPDATES = operations.load("WorkflowUpdates")
BIG = "x" * 50_000
OUTPUTS = "subscription ($id: ID!, $after: Int) { workflowUpdates(id: $id, after: $after) { changedNodes { output } } }"
PICKED = """subscription ($id: ID!, $after: Int, $pointer: String) {
  workflowUpdates(id: $id, after: $after) { changedNodes { output(pointer: $pointer) } } }"""


async def test_subscribers_of_one_operation_share_each_answer() -> None:
    stage = Stage()
    run_id = await stage.perform(node("a"), node("b", "a"))
    api = Api(stage.service)

    one, other = [await answers(api, UPDATES, id=run_id, after=0) for _ in range(2)]

    assert [answer.sequence for answer in one] == [7]
    assert all(mine is theirs for mine, theirs in zip(one, other, strict=True))


async def test_who_comes_back_shares_with_who_stayed() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"))
    api = Api(stage.service)

    async with aclosing(api.operations.subscribe(api.prepare(UPDATES, {"id": run_id}), api.context)) as stayed:
        first = await anext(stayed)
        await stage.executor.succeed(run_id, "a")
        second = await anext(stayed)
    back = await answers(api, UPDATES, id=run_id, after=first.sequence)

    assert back == [second]
    assert back[0] is second


async def test_who_asks_for_the_same_topics_and_nodes_shares_and_who_asks_for_others_does_not() -> None:
    stage = Stage()
    log = StreamLog(nodes=2)
    log.start(0)
    log.start(1)
    log.chunk("text", 0)
    log.log("line", 1)
    log.complete(0)
    log.complete(1)
    log.end()
    await log.write(stage.repository)
    api = Api(stage.service)
    asked: list[Json] = [
        {"only": ["OUTPUT", "LOG"]},
        {"only": ["LOG", "OUTPUT", "LOG"]},
        {"only": ["OUTPUT"]},
        {"only": ["OUTPUT"], "nodes": ["n1"]},
        {"only": ["LOG"], "nodes": ["n1", "n0"]},
        {"only": ["LOG"], "nodes": ["n0", "n1", "n0"]},
        {},
        {"only": None, "nodes": None},
    ]

    told = [(await answers(api, UPDATES, id=log.run_id, after=0, **each))[0] for each in asked]

    same = [first is second for first, second in pairwise(told)]
    assert same == [True, False, False, False, True, False, True]
    kinds = [[event["__typename"] for event in data_of(each)["events"]] for each in told]
    assert kinds[0] == ["NodeOutputChunk", "NodeLog", "WorkflowCompleted"]
    assert kinds[2] == ["NodeOutputChunk", "WorkflowCompleted"]
    assert kinds[3] == ["WorkflowCompleted"]
    assert kinds[4] == ["NodeLog", "WorkflowCompleted"]
    assert len(kinds[6]) == log.sequence


async def test_what_was_streamed_so_far_is_put_together_once_for_all_who_watch() -> None:
    stage = Stage()
    log = StreamLog()
    log.start()
    log.chunk("text")
    await log.write(stage.repository)
    api = Api(stage.service)
    query = "subscription ($id: ID!) { workflowUpdates(id: $id) { workflow { nodes { outputSoFar } } } }"

    async with AsyncExitStack() as stack:
        watching = []
        for _ in range(10):
            source = api.operations.subscribe(api.prepare(query, {"id": log.run_id}), api.context)
            watching.append(await stack.enter_async_context(aclosing(source)))
        firsts = await asyncio.gather(*(anext(each) for each in watching))
        log.chunk(" and more")
        await log.write(stage.repository, after=log.sequence - 1)
        seconds = await asyncio.gather(*(anext(each) for each in watching))

    assert all(each is firsts[0] for each in firsts)
    assert all(each is seconds[0] for each in seconds)
    assert data_of(seconds[0])["workflow"]["nodes"] == [{"outputSoFar": "text and more"}]


async def test_the_sequence_is_told_whether_or_not_it_is_selected() -> None:
    stage = Stage()
    run_id = await stage.perform(node("a"))

    [answer] = await answers(Api(stage.service), OUTPUTS, id=run_id, after=0)

    assert answer.sequence == 5


async def test_what_else_variables_tell_apart_is_not_shared() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"))
    await stage.executor.succeed(run_id, "a", {"x": 1, "y": 2})
    api = Api(stage.service)

    told = [await answers(api, PICKED, id=run_id, after=0, pointer=pointer) for pointer in ("/x", "/y", "/x")]

    assert [output_of(each) for [each] in told] == [1, 2, 1]
    assert told[0][0] is told[2][0]


@pytest.mark.parametrize("extensions", [{"cost": True}, {"cost": False}])
async def test_the_cost_is_told_only_to_who_asks(extensions: Json) -> None:
    stage = Stage()
    run_id = await stage.perform(node("a"))
    api = Api(stage.service)
    await answers(api, UPDATES, id=run_id, after=0)

    operation = api.prepare(UPDATES, {"id": run_id, "after": 0}, extensions=extensions)
    [answer] = [each async for each in api.operations.subscribe(operation, api.context)]

    assert (read_answer(answer).extensions is not None) == extensions["cost"]


async def test_who_asks_at_once_waits_for_the_one_that_is_made() -> None:
    stage = Stage(repository=SlowRepository)
    run_id = await big(stage)
    api = Api(stage.service)

    tasks = [asyncio.create_task(answers(api, OUTPUTS, id=run_id, after=0)) for _ in range(10)]
    await slow(stage).begun.wait()
    slow(stage).opened.set()
    told = await asyncio.gather(*tasks)

    assert slow(stage).reads == 1
    assert all(each[0] is told[0][0] for each in told)
    assert output_of(told[0][0]) == BIG


async def test_who_goes_away_takes_the_answer_from_nobody_else() -> None:
    stage = Stage(repository=SlowRepository)
    run_id = await big(stage)
    api = Api(stage.service)
    first, second = [asyncio.create_task(answers(api, OUTPUTS, id=run_id, after=0)) for _ in range(2)]
    await slow(stage).begun.wait()

    first.cancel()
    await asyncio.wait([first])
    slow(stage).opened.set()

    assert output_of((await second)[0]) == BIG
    assert slow(stage).reads == 1


async def test_an_answer_that_nobody_waits_for_is_given_up() -> None:
    stage = Stage(repository=SlowRepository)
    run_id = await big(stage)
    api = Api(stage.service)
    tasks = [asyncio.create_task(answers(api, OUTPUTS, id=run_id, after=0)) for _ in range(2)]
    before = asyncio.all_tasks()
    await slow(stage).begun.wait()

    for task in tasks:
        task.cancel()
    await asyncio.wait([*tasks, *(asyncio.all_tasks() - before)])

    assert slow(stage).stopped == 1
    slow(stage).opened.set()
    assert output_of((await answers(api, OUTPUTS, id=run_id, after=0))[0]) == BIG


async def test_an_answer_that_fails_is_told_to_all_and_made_again_for_the_next_update() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"), node("b", "a"))
    api = Api(stage.service)
    query = 'subscription ($id: ID!) { workflowUpdates(id: $id) { changedNodes { output(pointer: "wrong") } } }'

    async with AsyncExitStack() as stack:
        watching = [
            await stack.enter_async_context(
                aclosing(api.operations.subscribe(api.prepare(query, {"id": run_id}), api.context))
            )
            for _ in range(2)
        ]
        for each in watching:
            await anext(each)
        told = []
        for name in ("a", "b"):
            await stage.executor.succeed(run_id, name)
            told.append([await anext(each) for each in watching])

    assert all(one is other and one.failed for one, other in told)
    assert told[0][0] is not told[1][0]


async def test_what_is_kept_is_bounded() -> None:
    shared = SharedAnswers(maximum_answers=3, maximum_bytes=100)
    small, large = Answer(body=b"x"), Answer(body=b"x" * 99)

    for key in range(5):
        shared.keep(key, object(), small)
    kept = [key for key in range(5) if shared.find(key)]
    shared.keep("large", object(), large)
    shared.keep("small", object(), small)

    assert kept == [2, 3, 4]
    assert [shared.find(key) is not None for key in (3, 4, "large", "small")] == [False, False, True, True]


async def answers(api: Api, query: str, **variables: Json) -> list[Answer]:
    return [each async for each in api.operations.subscribe(api.prepare(query, variables), api.context)]


def output_of(answer: Answer) -> Json:
    result = read_answer(answer)
    assert result.errors is None
    return result.data["workflowUpdates"]["changedNodes"][0]["output"]


async def big(stage: Stage) -> RunId:
    """Perform a run whose output stands apart from its log."""
    run_id = await stage.submit(node("a"))
    await stage.executor.succeed(run_id, "a", BIG)
    return run_id


class SlowRepository(MemoryRunRepository):
    """A store whose values are read when they are let."""

    def __init__(self, **parts: Json) -> None:
        super().__init__(**parts)
        self.begun, self.opened = asyncio.Event(), asyncio.Event()
        self.reads = self.stopped = 0

    async def value(self, namespace: Namespace, run_id: RunId, sha256: str) -> bytes:
        """Read a value once the store is open."""
        self.reads += 1
        self.begun.set()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        return await super().value(namespace, run_id, sha256)


def slow(stage: Stage) -> SlowRepository:
    assert isinstance(stage.repository, SlowRepository)
    return stage.repository


def data_of(answer: Answer) -> Json:
    return read_answer(answer).data["workflowUpdates"]
