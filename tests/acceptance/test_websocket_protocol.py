"""What a websocket client is told that breaks the protocol, asks too much or may not come in."""

import json
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus

from gql_app.core.values import Json
from gql_app.settings import Settings
from tests.support.documents import SUBMIT, WATCH, document, submit
from tests.support.gate import Gate, gated
from tests.support.server import RunningServer, live_server
from tests.support.socket_client import SocketClient, connect

pytestmark = pytest.mark.anyio

HEALTH = "{ health { status } }"


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    with Gate() as gate:
        yield gate


@pytest.fixture(scope="module")
def server(gate: Gate) -> Iterator[RunningServer]:
    with live_server(Settings(shutdown_grace_seconds=0, maximum_subscriptions=3), tools=[gate.tool]) as running:
        yield running
        gate.open()


async def test_a_query_is_answered_over_a_websocket(server: RunningServer) -> None:
    async with server.socket() as socket:
        results = [result async for result in socket.results(HEALTH)]

    assert results == [{"health": {"status": "OK"}}]


async def test_a_mutation_is_carried_out_over_a_websocket(server: RunningServer) -> None:
    async with server.socket() as socket:
        results = [result async for result in socket.results(SUBMIT, {"spec": document()})]

    assert [result["submitWorkflow"]["__typename"] for result in results] == ["SubmitWorkflowSuccess"]


@pytest.mark.parametrize(
    "payload",
    [
        {"query": ""},
        {"query": "{"},
        {"query": "{ nothing }"},
        {"query": "query Q($id: ID!) { workflow(id: $id) { id } }"},
        {"query": "query Q($id: ID!) { workflow(id: $id) { id } }", "variables": {"id": []}},
        {"query": HEALTH, "operationName": "Other"},
        {"query": "query A { __typename } query B { __typename }"},
        {"query": "fragment F on Query { __typename }"},
        {"documentId": "sha256:0000"},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0000"}}},
    ],
    ids=str,
)
async def test_an_operation_that_cannot_begin_is_refused_and_harms_no_other(
    server: RunningServer, payload: Json
) -> None:
    async with server.socket() as socket:
        await socket.send(id="bad", type="subscribe", payload=payload)
        refused = await socket.receive()
        results = [result async for result in socket.results(HEALTH, id="good")]
        again = [result async for result in socket.results(HEALTH, id="bad")]

    assert (refused["id"], refused["type"]) == ("bad", "error")
    assert [error["message"] for error in refused["payload"]]
    assert results == again == [{"health": {"status": "OK"}}]


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "1",
        "null",
        "[]",
        "{}",
        '{"type": 1}',
        '{"type": "unknown"}',
        '{"type": "connection_ack"}',
        '{"type": "next", "id": "1", "payload": {}}',
        '{"type": "connection_init", "payload": []}',
        '{"type": "subscribe", "payload": {"query": "{ health { status } }"}}',
        '{"type": "subscribe", "id": "1"}',
        '{"type": "subscribe", "id": "1", "payload": null}',
        '{"type": "subscribe", "id": "1", "payload": {}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": null}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "extensions": "a"}}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "id": 1, "payload": {"query": "{ health { status } }"}}',
        '{"type": "subscribe", "id": "", "payload": {"query": "{ health { status } }"}}',
        '{"type": "subscribe", "id": "1", "payload": "{ health { status } }"}',
        '{"type": "subscribe", "id": "1", "payload": {"query": 1}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "variables": []}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "operationName": 1}}',
        '{"type": "complete"}',
        '{"type": "complete", "id": []}',
        '{"type": "complete", "id": ""}',
        '{"type": "ping", "payload": 1}',
        '{"type": "pong", "payload": []}',
        '{"type": "ping", "payload": {"a": NaN}}',
        '{"type": "\\ud800"}',
        "[" * 100_000,
        '{"type": "' + "\U000e0001" * 1_000 + '"}',
    ],
    ids=lambda text: text[:80],
)
async def test_a_message_of_the_wrong_shape_closes_the_connection(server: RunningServer, text: str) -> None:
    async with server.socket() as socket:
        await socket.send_text(text)
        code, reason = await socket.closed()

    assert code == 4400
    assert len(reason.encode()) <= 123
    assert reason.startswith("Invalid message: ")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('{"type": "subscribe", "id": 1, "payload": {"query": "{ a }"}}', "$.id"),
        ('{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "variables": []}}', "$.payload.variables"),
        ('{"type": "subscribe", "id": "1", "payload": {}}', "query"),
        ('{"type": "nonsense"}', "nonsense"),
        ("{}", "type"),
        ("[]", "array"),
    ],
)
async def test_the_reason_names_what_is_wrong(server: RunningServer, text: str, wrong: str) -> None:
    async with server.socket() as socket:
        await socket.send_text(text)

        assert wrong in (await socket.closed())[1]


async def test_a_name_in_use_closes_the_connection_however_long_it_is(server: RunningServer, gate: Gate) -> None:
    run_id = submit(server, document(gated()))

    async with server.socket() as socket:
        for _ in range(2):
            await socket.subscribe(WATCH, {"id": run_id}, id="\U0001f600" * 1_000)
        code, reason = await socket.closed()

    assert code == 4409
    assert reason.startswith("Subscriber for \U0001f600")


async def test_a_binary_message_closes_the_connection(server: RunningServer) -> None:
    async with server.socket() as socket:
        await socket.connection.send(b'{"type": "ping"}')

        assert await socket.closed() == (4400, "WebSocket message type must be text")


async def test_a_message_of_more_than_a_mebibyte_closes_the_connection(server: RunningServer) -> None:
    async with server.socket() as socket:
        await socket.send_text(" " * ((1 << 20) + 1))
        code, _ = await socket.closed()

    assert code == 1009


async def test_text_that_is_not_utf_8_closes_the_connection(server: RunningServer) -> None:
    async with server.socket() as socket:
        await socket.connection.send(b'{"type": "\xff"}', text=True)
        code, _ = await socket.closed()

    assert code == 1007


async def test_an_introduction_may_have_null_for_a_payload(server: RunningServer) -> None:
    async with connect(server.ws_url, introduced=False) as socket:
        await socket.send(type="connection_init", payload=None)

        assert await socket.receive() == {"type": "connection_ack"}


async def test_a_ping_is_answered_with_what_it_brought(server: RunningServer) -> None:
    async with server.socket() as socket:
        await socket.send(type="ping", payload={"at": 1})

        assert await socket.receive() == {"type": "pong", "payload": {"at": 1}}


async def test_pongs_and_what_has_ended_already_are_passed_over(server: RunningServer) -> None:
    async with connect(server.ws_url, introduced=False) as socket:
        await pass_over(socket)
        await socket.introduce()
        await pass_over(socket)


async def pass_over(socket: SocketClient) -> None:
    await socket.send(type="pong", payload={"at": 1})
    await socket.send(type="pong")
    await socket.send(type="complete", id="1")
    await socket.send(type="ping")
    assert await socket.receive() == {"type": "pong"}


@pytest.mark.parametrize("length", [60, 120, 125, 126, 127, 65_535, 65_536, 500_000])
async def test_messages_of_every_length_come_whole(server: RunningServer, length: int) -> None:
    padding = length - len('{"type":"pong","payload":{"text":"éé"}}'.encode())
    payload = {"text": "é" + "x" * padding + "é"}

    async with server.socket() as socket:
        await socket.send(type="ping", payload=payload)
        message = await socket.connection.recv()

    assert len(str(message).encode()) == length
    assert json.loads(message) == {"type": "pong", "payload": payload}


@pytest.mark.parametrize("payload", [{}, {"payload": None}, {"payload": {}}], ids=str)
async def test_a_ping_that_brought_nothing_is_answered_with_nothing(server: RunningServer, payload: Json) -> None:
    async with server.socket() as socket:
        await socket.send(type="ping", **payload)

        assert await socket.receive() == {"type": "pong"}


async def test_who_has_not_introduced_itself_gets_nothing(server: RunningServer) -> None:
    async with connect(server.ws_url, introduced=False) as socket:
        await socket.subscribe(HEALTH)
        code, _ = await socket.closed()

    assert code == 4401


async def test_a_second_introduction_closes_the_connection(server: RunningServer) -> None:
    async with server.socket() as socket:
        await socket.send(type="connection_init")
        code, _ = await socket.closed()

    assert code == 4429


async def test_a_connection_that_stays_silent_is_closed(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gql_app.web.sockets.connection.INIT_SECONDS", 0.01)

    with live_server() as impatient:
        async with connect(impatient.ws_url, introduced=False) as socket:
            code, _ = await socket.closed()

    assert code == 4408


async def test_an_operation_too_many_is_refused_and_the_others_go_on(server: RunningServer, gate: Gate) -> None:
    run_id = submit(server, document(gated()))

    async with server.socket() as socket:
        for name in ("1", "2", "3"):
            await socket.subscribe(WATCH, {"id": run_id}, id=name)
            assert (await socket.receive())["id"] == name
        await socket.subscribe(WATCH, {"id": run_id}, id="4")
        refused = await socket.receive()
        await socket.send(id="1", type="complete")
        await socket.subscribe(WATCH, {"id": run_id}, id="5")
        accepted = await socket.receive()

    assert (refused["id"], refused["type"]) == ("4", "error")
    assert [error["extensions"]["code"] for error in refused["payload"]] == ["TOO_MANY_OPERATIONS"]
    assert (accepted["id"], accepted["type"]) == ("5", "next")


async def test_the_legacy_protocol_is_not_spoken(server: RunningServer) -> None:
    async with connect(server.ws_url, introduced=False, protocol="graphql-ws") as socket:
        code, _ = await socket.closed()

    assert code == 4406


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"])
async def test_a_page_of_another_origin_may_not_connect(server: RunningServer, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(server.ws_url, origin=origin):
            pass

    assert refused.value.response.status_code == 403
    assert b"GQL_APP_ALLOWED_ORIGINS" in refused.value.response.body


async def test_a_page_of_ours_may_connect(server: RunningServer) -> None:
    async with connect(server.ws_url, origin=server.url) as socket:
        results = [result async for result in socket.results(HEALTH)]

    assert results == [{"health": {"status": "OK"}}]


async def test_a_page_of_an_allowed_origin_may_connect() -> None:
    origin = "http://localhost:5173"
    with live_server(Settings(shutdown_grace_seconds=0, allowed_origins=(origin,))) as server:
        async with connect(server.ws_url, origin=origin) as socket:
            results = [result async for result in socket.results(HEALTH)]

    assert results == [{"health": {"status": "OK"}}]


async def test_a_websocket_under_another_name_is_refused(server: RunningServer) -> None:
    port = int(server.url.rpartition(":")[2])

    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://evil.example:{port}/graphql", host="127.0.0.1", port=port):
            pass

    assert refused.value.response.status_code == 403


async def test_a_websocket_elsewhere_is_refused(server: RunningServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(server.ws_url.replace("/graphql", "/nowhere")):
            pass

    assert refused.value.response.status_code == 403
