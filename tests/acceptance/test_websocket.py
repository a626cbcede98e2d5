"""Subscriptions through a real server: every event once and in order, also across a reconnect."""

from collections.abc import Iterator

import anyio
import pytest

from gql_app.core.values import Json
from tests.support.documents import WATCH, document, echo, submit
from tests.support.gate import Gate, gated
from tests.support.server import RunningServer, live_server
from tests.support.socket_client import SocketClient

pytestmark = pytest.mark.anyio


@pytest.fixture
def gate() -> Iterator[Gate]:
    with Gate() as gate:
        yield gate


@pytest.fixture
def server(gate: Gate) -> Iterator[RunningServer]:
    with live_server(tools=[gate.tool]) as running:
        yield running
        gate.open()


async def test_a_run_is_watched_from_its_first_event_to_its_last(server: RunningServer) -> None:
    run_id = submit(server, document(echo("a", 1), echo("b", "${ nodes.a.output }")))

    async with server.socket() as socket:
        updates = [update async for update in socket.results(WATCH, {"id": run_id, "after": 0})]

    assert sequences(updates) == list(range(1, last(updates)["sequence"] + 1))
    assert last(updates)["workflow"]["status"] == "COMPLETED"
    assert last(updates)["events"][-1]["__typename"] == "WorkflowCompleted"


async def test_a_run_is_watched_while_it_goes_on(server: RunningServer, gate: Gate) -> None:
    run_id = submit(server, document(gated("wait"), echo("after", 1, dependsOn=["wait"])))

    async with server.socket() as socket:
        updates = socket.results(WATCH, {"id": run_id})
        now = await anext(updates)
        gate.open()
        rest = [update async for update in updates]

    assert now["workflowUpdates"]["events"] == []
    assert now["workflowUpdates"]["workflow"]["status"] != "COMPLETED"
    assert sequences(rest) == list(range(now["workflowUpdates"]["sequence"] + 1, last(rest)["sequence"] + 1))
    assert last(rest)["workflow"]["status"] == "COMPLETED"


async def test_who_comes_back_misses_nothing_and_sees_nothing_twice(server: RunningServer, gate: Gate) -> None:
    run_id = submit(server, document(echo("a", 1), gated("wait", dependsOn=["a"]), echo("b", 2, dependsOn=["wait"])))
    async with server.socket() as socket:
        updates = socket.results(WATCH, {"id": run_id, "after": 0})
        seen = [await anext(updates)]
        while not completed_node("a", seen):
            seen.append(await anext(updates))

    gate.open()
    async with server.socket() as socket:
        rest = [update async for update in socket.results(WATCH, {"id": run_id, "after": last(seen)["sequence"]})]

    assert sequences(seen + rest) == list(range(1, last(rest)["sequence"] + 1))
    assert last(rest)["workflow"]["status"] == "COMPLETED"


async def test_a_finished_run_has_nothing_after_its_last_event(server: RunningServer) -> None:
    run_id = submit(server, document())

    async with server.socket() as socket:
        updates = [update async for update in socket.results(WATCH, {"id": run_id, "after": 0})]
        again = [update async for update in socket.results(WATCH, {"id": run_id, "after": last(updates)["sequence"]})]

    assert again == []


async def test_many_watch_over_one_connection(server: RunningServer, gate: Gate) -> None:
    run_id = submit(server, document(gated()))
    seen: dict[str, list[Json]] = {str(number): [] for number in range(20)}

    async with server.socket() as socket:
        for name in seen:
            await socket.subscribe(WATCH, {"id": run_id, "after": 0}, id=name)
        gate.open()
        completed = 0
        while completed < len(seen):
            message = await socket.receive()
            if message["type"] == "next":
                seen[message["id"]].append(message["payload"]["data"])
            completed += message["type"] == "complete"

    assert [sequences(updates) for updates in seen.values()] == [sequences(seen["0"])] * len(seen)
    assert sequences(seen["0"]) == list(range(1, last(seen["0"])["sequence"] + 1))


async def test_a_subscription_that_is_completed_by_its_client_says_no_more(server: RunningServer, gate: Gate) -> None:
    run_id = submit(server, document(gated()))

    async with server.socket() as socket:
        await socket.subscribe(WATCH, {"id": run_id}, id="left")
        assert (await socket.receive())["id"] == "left"
        await socket.send(id="left", type="complete")
        await socket.send(type="ping")
        assert await socket.receive() == {"type": "pong"}
        gate.open()
        updates = [update async for update in socket.results(WATCH, {"id": run_id, "after": 0})]

    assert last(updates)["workflow"]["status"] == "COMPLETED"


async def test_who_vanishes_holds_up_nobody(server: RunningServer, gate: Gate) -> None:
    run_id = submit(server, document(gated()))
    async with server.socket() as vanishing:
        await vanishing.subscribe(WATCH, {"id": run_id, "after": 0})
        await vanishing.receive()
        vanishing.connection.transport.abort()

    gate.open()
    async with server.socket() as socket:
        updates = [update async for update in socket.results(WATCH, {"id": run_id, "after": 0})]

    assert last(updates)["workflow"]["status"] == "COMPLETED"


async def test_an_unknown_run_is_an_error(server: RunningServer) -> None:
    async with server.socket() as socket:
        await socket.subscribe(WATCH, {"id": "nobody", "after": 0})

        assert await refusal(socket) == "WORKFLOW_NOT_FOUND"


@pytest.mark.parametrize("after", [-1, 1_000])
async def test_a_place_that_is_not_in_the_log_is_an_error(server: RunningServer, gate: Gate, after: int) -> None:
    run_id = submit(server, document(gated()))

    async with server.socket() as socket:
        await socket.subscribe(WATCH, {"id": run_id, "after": after})

        assert await refusal(socket) == "INVALID_CURSOR"


async def test_a_stopping_server_tells_its_subscribers_at_once(gate: Gate) -> None:
    with live_server(tools=[gate.tool]) as server:
        run_id = submit(server, document(gated()))
        async with server.socket() as socket:
            await socket.subscribe(WATCH, {"id": run_id, "after": 0})
            await socket.receive()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.to_thread.run_sync, server.stop)
                code, _ = await socket.closed()
                gate.open()

    assert code == 1012


def sequences(updates: list[Json]) -> list[int]:
    return [event["sequence"] for update in updates for event in update["workflowUpdates"]["events"]]


def last(updates: list[Json]) -> Json:
    return updates[-1]["workflowUpdates"]


def completed_node(node_id: str, updates: list[Json]) -> bool:
    events = [event for update in updates for event in update["workflowUpdates"]["events"]]
    return any(event["__typename"] == "NodeCompleted" and event["nodeId"] == node_id for event in events)


async def refusal(socket: SocketClient) -> str:
    """Tell with which code an operation is refused; its id is free again."""
    message = await socket.receive()
    assert message["type"] == "error"
    assert [data async for data in socket.results("{ __typename }")] == [{"__typename": "Query"}]
    code: str = message["payload"][0]["extensions"]["code"]
    return code
