"""The client's websocket against servers that say what a test wants."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from gql_app.client import Backoff, ClientError, NotAllowedError, NotAServerError, RefusedError, WorkflowClient
from gql_app.core.values import Json
from tests.support.relay import PROTOCOL

pytestmark = pytest.mark.anyio

IMPATIENT = Backoff(initial_seconds=0.001, maximum_seconds=0.001, maximum_attempts=5)

Behaviour = Callable[[ServerConnection, Json], Awaitable[None]]


@asynccontextmanager
async def behaving(behave: Behaviour, *, subprotocol: Subprotocol = PROTOCOL) -> AsyncIterator[str]:
    """Serve websockets: once a client has introduced itself and subscribed, `behave` is told the subscription."""

    async def handle(connection: ServerConnection) -> None:
        try:
            introduction = json.loads(await connection.recv())
            await say(connection, type="connection_ack")
            message = json.loads(await connection.recv())
            await behave(connection, {**message["payload"], "introduction": introduction})
        except ConnectionClosed:
            pass

    async with serve(handle, "127.0.0.1", 0, subprotocols=[subprotocol]) as server:
        [listener] = server.sockets
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def say(connection: ServerConnection, **message: Json) -> None:
    await connection.send(json.dumps(message))


def update(sequence: int, status: str = "RUNNING") -> Json:
    """Write a result of the subscription."""
    workflow = {"id": "r", "name": "n", "status": status, "sequence": sequence}
    workflow["progress"] = {"total": 1, "completed": 0, "fraction": 0}
    told = {"sequence": sequence, "events": [], "changedNodes": [], "workflow": workflow}
    return {"data": {"workflowUpdates": told}}


async def test_the_token_and_the_published_operation_are_sent() -> None:
    heard: list[Json] = []

    async def behave(connection: ServerConnection, subscription: Json) -> None:
        heard.append(subscription)
        await say(connection, type="next", id="1", payload=update(7, "COMPLETED"))
        await say(connection, type="complete", id="1")

    async with behaving(behave) as url, WorkflowClient(url, token="secret") as client:
        seen = [told.sequence async for told in client.watch("r", after=3)]

    [subscription] = heard
    assert seen == [7]
    assert subscription["introduction"]["payload"] == {"authorization": "Bearer secret"}
    assert subscription["operationName"] == "WorkflowUpdates"
    assert subscription["query"].startswith("# Watch a run.")
    assert subscription["variables"] == {"id": "r", "after": 3}


@pytest.mark.parametrize("code", [1001, 1012, 1011])
async def test_a_server_that_goes_away_is_met_again_with_the_last_sequence(code: int) -> None:
    asked: list[int | None] = []
    lost: list[str] = []

    async def behave(connection: ServerConnection, subscription: Json) -> None:
        asked.append(subscription["variables"]["after"])
        if len(asked) == 1:
            await say(connection, type="next", id="1", payload=update(4))
            await connection.close(code, "Service restart")
        else:
            await say(connection, type="next", id="1", payload=update(4))
            await say(connection, type="next", id="1", payload=update(5, "COMPLETED"))
            await say(connection, type="complete", id="1")

    async with behaving(behave) as url, WorkflowClient(url, backoff=IMPATIENT) as client:
        seen = [told.sequence async for told in client.watch("r", lost=lambda why, _: lost.append(why))]

    assert seen == [4, 5]
    assert asked == [None, 4]
    assert len(lost) == 1
    assert str(code) in lost[0]


@pytest.mark.parametrize(("code", "name"), [(4401, "UNAUTHENTICATED"), (4403, "FORBIDDEN")])
async def test_who_is_let_go_does_not_come_back(code: int, name: str) -> None:
    connections = 0

    async def behave(connection: ServerConnection, subscription: Json) -> None:
        nonlocal connections
        connections += 1
        await say(connection, type="next", id="1", payload=update(1))
        await connection.close(code, "The key has expired")

    async with behaving(behave) as url, WorkflowClient(url, token="t", backoff=IMPATIENT) as client:
        with pytest.raises(NotAllowedError, match="The key has expired") as refused:
            _ = [told async for told in client.watch("r")]

    assert (refused.value.code, connections) == (name, 1)


@pytest.mark.parametrize(
    "message",
    ["[]", "null", "1", "no JSON", "{}", '{"type": "next", "id": "1", "payload": []}', "[" * 100_000],
    ids=["list", "null", "number", "text", "no type", "no result", "deep"],
)
async def test_what_is_no_message_of_the_protocol_is_not_waited_on(message: str) -> None:
    async def behave(connection: ServerConnection, subscription: Json) -> None:
        await connection.send(message)
        await connection.wait_closed()

    async with behaving(behave) as url, WorkflowClient(url) as client:
        with pytest.raises(NotAServerError):
            await anext(client.watch("r"))


@pytest.mark.parametrize(
    ("errors", "kind"),
    [([], NotAServerError), ([{"message": "No."}], RefusedError), (["No."], NotAServerError)],
    ids=["none", "one", "text"],
)
async def test_an_operation_that_is_refused_is_not_asked_again(errors: Json, kind: type[ClientError]) -> None:
    async def behave(connection: ServerConnection, subscription: Json) -> None:
        await say(connection, type="error", id="1", payload=errors)
        await connection.wait_closed()

    async with behaving(behave) as url, WorkflowClient(url) as client:
        with pytest.raises(kind):
            await anext(client.watch("r"))


async def test_who_speaks_another_protocol_is_told_so() -> None:
    async def behave(connection: ServerConnection, subscription: Json) -> None:
        raise AssertionError("It must not come to that.")

    async with behaving(behave, subprotocol=Subprotocol("graphql-ws")) as url, WorkflowClient(url) as client:
        with pytest.raises(NotAServerError):
            await anext(client.watch("r"))


async def test_a_watch_that_is_left_with_results_waiting_leaves_nothing_behind() -> None:
    done = asyncio.Event()

    async def behave(connection: ServerConnection, subscription: Json) -> None:
        try:
            for sequence in range(1, 200):
                await say(connection, type="next", id="1", payload=update(sequence))
            await connection.wait_closed()
        finally:
            done.set()

    async with behaving(behave) as url, WorkflowClient(url) as client:
        before = asyncio.all_tasks()
        async with aclosing(client.watch("r")) as updates:
            first = await anext(updates)
        await done.wait()
        left = {task for task in asyncio.all_tasks() - before if "_receive_data_loop" in repr(task)}

    assert first.sequence == 1
    assert left == set()


async def test_a_watch_that_is_cancelled_ends() -> None:
    told = asyncio.Event()

    async def behave(connection: ServerConnection, subscription: Json) -> None:
        told.set()
        await connection.wait_closed()

    async with behaving(behave) as url, WorkflowClient(url) as client:
        waiting = asyncio.ensure_future(anext(client.watch("r")))
        await told.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
