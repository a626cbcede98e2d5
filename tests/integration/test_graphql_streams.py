"""What attempts show, their steps and what was used, over GraphQL."""

from collections.abc import Callable
from contextlib import aclosing

import pytest

from gql_app.core.events import Usage
from gql_app.core.values import Json
from gql_app.schema import operations
from tests.support.graphql import Api
from tests.support.service import Stage
from tests.support.streams import StreamLog

pytestmark = pytest.mark.anyio

UPDATES = operations.load("WorkflowUpdates")
NODE = """
query ($id: ID!, $at: Int) { workflow(id: $id, at: $at) {
  sequence progress { completed total fraction } usage { requests inputTokens outputTokens costUsd }
  node(id: "n0") {
    outputSoFar tail: outputSoFar(last: 3) outputTruncated progress { fraction message } stepCount
    usage { inputTokens } attempts { number usage { outputTokens } }
  }
} }
"""
STEPS = """
query ($id: ID!, $status: [StepStatus!], $first: Int, $after: ID, $last: Int) { workflow(id: $id) { node(id: "n0") {
  steps(status: $status, first: $first, after: $after, last: $last) {
    id parentId kind name status nodeAttempt attempt maximumAttempts startedAt finishedAt durationSeconds retryState
    error { type } nextAttemptAt input output(pointer: "/text") usage { inputTokens }
    waitingOn { __typename ... on WaitingOnSlot { limit tool name } ... on WaitingOnRetry { until } }
  }
} } }
"""


async def ask(log: StreamLog, query: str, **variables: Json) -> Json:
    stage = Stage()
    await log.write(stage.repository)
    return (await Api(stage.service).ask(query, id=log.run_id, **variables))["workflow"]


def agent() -> StreamLog:
    """Write the log of an agent that is under way."""
    log = StreamLog(nodes=2)
    log.start()
    log.progress(0.5, message="half")
    log.step("model-1", input={"prompt": "hi"})
    log.chunk("wrong", step="model-1", step_attempt=1)
    log.fail_step("model-1")
    log.try_step("model-1", 2)
    log.chunk("hello", step="model-1", step_attempt=2)
    usage = Usage(requests=1, input_tokens=20, output_tokens=5, cost_usd=0.25)
    log.complete_step("model-1", 2, output={"text": "hello"}, usage=usage)
    log.queue_step("call-1", name="search")
    return log


async def test_usage_beyond_what_an_int_can_say_hides_nothing_else() -> None:
    log = StreamLog()
    log.start()
    log.step("model-1")
    log.complete_step("model-1", usage=Usage(requests=1, input_tokens=3_000_000_000, output_tokens=5))

    run = await ask(log, "query Q($id: ID!) { workflow(id: $id) { status usage { inputTokens outputTokens } } }")

    assert run == {"status": "RUNNING", "usage": {"inputTokens": 2_147_483_647, "outputTokens": 5}}


async def test_a_node_tells_what_it_has_streamed_how_far_it_is_and_what_it_used() -> None:
    run = await ask(agent(), NODE)

    assert run["node"] == {
        "outputSoFar": "hello",
        "tail": "llo",
        "outputTruncated": False,
        "progress": {"fraction": 0.5, "message": "half"},
        "stepCount": 2,
        "usage": {"inputTokens": 20},
        "attempts": [{"number": 1, "usage": {"outputTokens": 5}}],
    }
    assert run["progress"] == {"completed": 0, "total": 2, "fraction": 0.25}
    assert run["usage"] == {"requests": 1, "inputTokens": 20, "outputTokens": 5, "costUsd": 0.25}


async def test_a_node_is_shown_as_it_was() -> None:
    run = await ask(agent(), NODE, at=6)

    assert run["sequence"] == 6
    assert run["node"]["outputSoFar"] == "wrong"
    assert (await ask(agent(), NODE, at=7))["node"]["outputSoFar"] is None


async def test_the_progress_of_a_run_counts_what_attempts_tell_until_they_end() -> None:
    log = StreamLog(nodes=4)
    moves: list[Callable[[], None]] = [
        log.start,
        lambda: log.progress(0.5),
        lambda: log.start(1),
        lambda: log.progress(0.25, 1),
        lambda: log.fail(1),
        lambda: log.progress(None, message="soon"),
        log.complete,
    ]
    fractions = []
    for move in moves:
        move()
        fractions.append((await ask(log, NODE))["progress"]["fraction"])

    assert fractions == [0, 0.125, 0.125, 0.1875, 0.125, 0, 0.25]


async def test_steps_tell_what_they_did_and_what_they_wait_for() -> None:
    model, call = (await ask(agent(), STEPS))["node"]["steps"]

    assert model == {
        "id": "model-1",
        "parentId": None,
        "kind": "MODEL",
        "name": "test",
        "status": "COMPLETED",
        "nodeAttempt": 1,
        "attempt": 2,
        "maximumAttempts": 3,
        "startedAt": "2026-01-01T00:00:05Z",
        "finishedAt": "2026-01-01T00:00:10Z",
        "durationSeconds": 5.0,
        "retryState": None,
        "error": None,
        "nextAttemptAt": None,
        "input": {"prompt": "hi"},
        "output": "hello",
        "usage": {"inputTokens": 20},
        "waitingOn": None,
    }
    assert (call["status"], call["kind"], call["attempt"]) == ("QUEUED", "TOOL", 0)
    assert call["waitingOn"] == {"__typename": "WaitingOnSlot", "limit": "TOOL", "tool": "search", "name": "search"}


async def test_steps_that_failed_tell_when_or_why_not_they_are_tried_again() -> None:
    log = StreamLog()
    log.start()
    log.step("a")
    log.fail_step("a")
    log.step("a/b")
    log.fail_step("a/b", final=True)

    first, second = (await ask(log, STEPS))["node"]["steps"]

    assert (first["status"], first["retryState"], first["error"]) == ("RETRYING", None, {"type": "Boom"})
    assert first["waitingOn"] == {"__typename": "WaitingOnRetry", "until": first["nextAttemptAt"]}
    assert (second["status"], second["retryState"]) == ("FAILED", "NON_RETRYABLE_ERROR")
    assert (second["parentId"], second["waitingOn"]) == ("a", None)


def many() -> StreamLog:
    log = StreamLog()
    log.start()
    for number in range(30):
        log.step(f"s{number}")
        if number % 10:
            log.complete_step(f"s{number}")
    return log


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, range(20)),
        ({"first": 2}, range(2)),
        ({"first": 5, "after": "s3"}, range(4, 9)),
        ({"last": 3}, range(27, 30)),
        ({"last": 3, "after": "s28"}, range(29, 30)),
        ({"after": "s29"}, range(0)),
        ({"status": ["RUNNING"]}, range(0, 30, 10)),
        ({"status": ["RUNNING"], "last": 1}, range(20, 21)),
        ({"status": []}, range(0)),
    ],
)
async def test_steps_are_told_a_part_at_a_time(asked: Json, expected: range) -> None:
    steps = (await ask(many(), STEPS, **asked))["node"]["steps"]

    assert [step["id"] for step in steps] == [f"s{number}" for number in expected]


@pytest.mark.parametrize(
    ("asked", "argument"),
    [
        ({"first": 0}, "first"),
        ({"last": -1}, "last"),
        ({"first": 1, "last": 1}, "last"),
        ({"after": "nothing"}, "after"),
    ],
)
async def test_steps_that_cannot_be_told_are_an_invalid_argument(asked: Json, argument: str) -> None:
    stage = Stage()
    log = many()
    await log.write(stage.repository)

    problem = await Api(stage.service).refused(STEPS, id=log.run_id, **asked)

    assert problem.extensions == {"code": "INVALID_ARGUMENT", "argument": argument}


async def test_steps_are_priced_by_how_many_are_asked_for() -> None:
    api = Api(Stage().service)
    query = "query ($first: Int) { workflow(id: 1) { node(id: 1) { steps(first: $first) { id name } } } }"

    assert api.prepare(query, {"first": 500}).cost == 3 + 2 * 500
    assert api.prepare(query).cost == 3 + 2 * 20
    assert api.prepare("{ workflow(id: 1) { nodes { steps(last: 7) { id } } } }").cost == 2 + 50 * (1 + 7)


async def test_a_subscription_is_told_what_it_asks_for() -> None:
    stage = Stage()
    log = agent()
    await log.write(stage.repository)
    asked: Json = {"id": log.run_id, "after": 0, "only": ["OUTPUT"], "nodes": ["n0"]}

    async with aclosing(await Api(stage.service).subscribe(UPDATES, **asked)) as updates:
        result = await anext(updates)

    update = result.data["workflowUpdates"]
    assert [event["__typename"] for event in update["events"]] == ["NodeOutputChunk", "StepFailed", "NodeOutputChunk"]
    assert update["sequence"] == log.sequence
    assert [node["id"] for node in update["changedNodes"]] == ["n0"]


@pytest.mark.parametrize(
    ("asked", "argument"), [({"only": []}, "only"), ({"nodes": []}, "nodes"), ({"nodes": ["n7"]}, "nodes")]
)
async def test_a_subscription_that_nothing_could_pass_is_an_invalid_argument(asked: Json, argument: str) -> None:
    stage = Stage()
    log = agent()
    await log.write(stage.repository)

    [result] = [each async for each in await Api(stage.service).subscribe(UPDATES, id=log.run_id, **asked)]

    assert result.errors is not None
    assert [error.extensions for error in result.errors] == [{"code": "INVALID_ARGUMENT", "argument": argument}]


async def test_a_topic_that_there_is_not_is_refused_before_anything_begins() -> None:
    [result] = [each async for each in await Api(Stage().service).subscribe(UPDATES, id="1", only=["NEWS"])]

    assert not result.began


async def test_what_was_streamed_so_far_can_be_read_with_the_first_update_and_goes_on_from_there() -> None:
    stage = Stage()
    log = StreamLog()
    log.start()
    log.chunk("Hel")
    await log.write(stage.repository)
    query = """subscription ($id: ID!) { workflowUpdates(id: $id, only: [OUTPUT]) {
      events { ... on NodeOutputChunk { text } } workflow { nodes { outputSoFar } } } }"""

    async with aclosing(await Api(stage.service).subscribe(query, id=log.run_id)) as updates:
        first = (await anext(updates)).data["workflowUpdates"]
        log.chunk("lo")
        await log.write(stage.repository, after=log.sequence - 1)
        second = (await anext(updates)).data["workflowUpdates"]

    assert first == {"events": [], "workflow": {"nodes": [{"outputSoFar": "Hel"}]}}
    assert second == {"events": [{"text": "lo"}], "workflow": {"nodes": [{"outputSoFar": "Hello"}]}}


async def test_the_last_lines_that_a_node_logged_are_told() -> None:
    stage = Stage()
    log = StreamLog()
    log.start()
    for number in range(30):
        log.log(f"line {number}", number=number)
    log.fail()
    await log.write(stage.repository)
    api = Api(stage.service)
    query = "query ($id: ID!, $last: Int!) { workflow(id: $id) { nodes { logs(last: $last) { message fields } } } }"

    data = await api.ask(query, id=log.run_id, last=2)
    refused = await api.refused(query, id=log.run_id, last=0)

    assert data["workflow"]["nodes"] == [
        {"logs": [{"message": f"line {n}", "fields": {"number": n}} for n in (28, 29)]}
    ]
    assert refused.extensions == {"code": "INVALID_ARGUMENT", "argument": "last"}
    assert api.prepare(query, {"id": "1", "last": 30}).cost == 2 + 50 * (1 + 30 * 2)


async def test_no_characters_of_what_was_streamed_are_an_invalid_argument() -> None:
    stage = Stage()
    log = agent()
    await log.write(stage.repository)
    query = 'query ($id: ID!) { workflow(id: $id) { node(id: "n0") { outputSoFar(last: 0) } } }'

    problem = await Api(stage.service).refused(query, id=log.run_id)

    assert problem.extensions == {"code": "INVALID_ARGUMENT", "argument": "last"}
