"""Subscriptions over server-sent events and multipart, through a real server."""

import contextlib
import json
import socket
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from gql_app.settings import Settings
from tests.support.documents import WATCH, document, echo, submit
from tests.support.gate import Gate, gated
from tests.support.server import LONGEST_WAIT, RunningServer, ThreadServer, live_server
from tests.support.tokens import add_key, bearer

EVENTS = "text/event-stream"
PARTS = 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0, application/json'
FROM_THE_BEGINNING = 'subscription { workflowUpdates(id: "%s", after: 0) { sequence events { sequence } } }'
STATE = 'subscription { workflowUpdates(id: "%s") { sequence workflow { status } } }'

# Together more than the buffers of both sides hold, on any system.
OUTPUT_BYTES = 200_000
ALIASES = 28


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadServer]:
    with live_server() as running:
        yield running


@pytest.fixture
def gate() -> Iterator[Gate]:
    with Gate() as gate:
        yield gate


@pytest.fixture
def own_server(gate: Gate) -> Iterator[ThreadServer]:
    settings = Settings(shutdown_grace_seconds=0, stop_grace_seconds=0, maximum_streams=2)
    with live_server(settings, tools=[gate.tool]) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.getMessage() for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []


def finished(server: RunningServer) -> str:
    run_id = submit(server, document())
    with server.client() as client:
        events(client.post("/graphql", json={"query": STATE % run_id}, headers={"accept": EVENTS}))
    return run_id


def events(answer: httpx.Response) -> list[dict[str, str]]:
    """Read the events of a stream that has ended; pings and whatever is no event left out."""
    assert answer.status_code == HTTPStatus.OK, answer.text
    assert answer.headers["content-type"] == f"{EVENTS}; charset=utf-8"
    blocks = [dict(line.split(":", 1) for line in block.splitlines()) for block in answer.text.split("\n\n") if block]
    return [{name: value.strip() for name, value in block.items()} for block in blocks if "event" in block]


def sequences(told: list[dict[str, str]]) -> list[int]:
    updates = [json.loads(each["data"])["data"]["workflowUpdates"] for each in told if each["event"] == "next"]
    return [event["sequence"] for update in updates for event in update["events"]]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_run_is_told_as_events_with_their_sequence(server: RunningServer, client: httpx.Client, method: str) -> None:
    asked = {"query": FROM_THE_BEGINNING % finished(server)}

    answer = client.request(method, "/graphql", params=asked, json=asked, headers={"accept": EVENTS})

    *told, last = events(answer)
    assert [int(each["id"]) for each in told] == [
        json.loads(each["data"])["data"]["workflowUpdates"]["sequence"] for each in told
    ]
    assert sequences(told) == [1, 2, 3, 4, 5]
    assert last == {"event": "complete", "data": ""}
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize("query", [WATCH, FROM_THE_BEGINNING], ids=["a variable", "in the document"])
@pytest.mark.parametrize("last", [0, 3, 5])
def test_a_stream_goes_on_after_the_last_event_that_a_client_has(
    server: RunningServer, client: httpx.Client, last: int, query: str
) -> None:
    run_id = finished(server)
    asked = {"query": query.replace("%s", run_id), "variables": {"id": run_id, "after": 0}}

    answer = client.post("/graphql", json=asked, headers={"accept": EVENTS, "last-event-id": str(last)})

    assert sequences(events(answer)) == list(range(last + 1, 6))


@pytest.mark.parametrize("last", [6, 10**14])
def test_a_last_event_that_has_not_happened_is_an_error_in_the_stream(
    server: RunningServer, client: httpx.Client, last: int
) -> None:
    asked = {"query": FROM_THE_BEGINNING % finished(server)}

    answer = client.post("/graphql", json=asked, headers={"accept": EVENTS, "last-event-id": str(last)})

    failed, completed = events(answer)
    assert json.loads(failed["data"])["errors"][0]["extensions"]["code"] == "INVALID_CURSOR"
    assert completed["event"] == "complete"


def test_a_mutation_and_a_query_are_told_as_events_too(client: httpx.Client) -> None:
    told = [
        events(client.post("/graphql", json={"query": query}, headers={"accept": EVENTS}))
        for query in ("{ health { status } }", 'mutation { cancelWorkflow(id: "a") { __typename } }')
    ]

    assert [[each["event"] for each in stream] for stream in told] == [["next", "complete"]] * 2
    assert json.loads(told[0][0]["data"]) == {"data": {"health": {"status": "OK"}}}


def test_a_run_is_told_as_parts(server: RunningServer, client: httpx.Client) -> None:
    asked = {"query": FROM_THE_BEGINNING % finished(server)}

    answer = client.post("/graphql", json=asked, headers={"accept": PARTS})

    assert answer.headers["content-type"] == 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0'
    nothing, *parts, end = answer.content.split(b"\r\n--graphql")
    assert (nothing, end) == (b"", b"--\r\n")
    payloads = [json.loads(part.partition(b"\r\n\r\n")[2])["payload"] for part in parts]
    told = [event["sequence"] for payload in payloads for event in payload["data"]["workflowUpdates"]["events"]]
    assert told == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("accept", [EVENTS, PARTS])
def test_a_client_that_goes_leaves_nothing_behind(own_server: ThreadServer, accept: str) -> None:
    run_id = submit(own_server, document(gated()))

    with watching(own_server, STATE % run_id, accept):
        pass

    own_server.wait_until_idle()


@pytest.mark.parametrize("accept", [EVENTS, PARTS])
def test_a_client_that_goes_without_reading_leaves_nothing_behind(
    own_server: ThreadServer, gate: Gate, accept: str
) -> None:
    with stalled(own_server, accept):
        gate.open()

    own_server.wait_until_idle()


@pytest.mark.parametrize("accept", [EVENTS, PARTS])
def test_a_client_that_reads_nothing_does_not_keep_the_server_from_stopping(
    own_server: ThreadServer, accept: str
) -> None:
    with stalled(own_server, accept):
        own_server.stop()


def test_a_stream_of_events_breaks_off_when_the_server_stops(own_server: ThreadServer) -> None:
    run_id = submit(own_server, document(gated()))

    with watching(own_server, STATE % run_id, EVENTS) as stream:
        own_server.stop()
        rest = stream.read()

    assert b"complete" not in rest


def test_a_stream_of_parts_says_that_the_server_stops(own_server: ThreadServer) -> None:
    run_id = submit(own_server, document(gated()))

    with watching(own_server, STATE % run_id, PARTS) as stream:
        own_server.stop()
        rest = stream.read()

    *_, part, end = rest.split(b"\r\n--graphql")
    told = json.loads(part.partition(b"\r\n\r\n")[2])
    assert (told["payload"], told["errors"][0]["extensions"]["code"]) == (None, "SERVER_STOPPING")
    assert end == b"--\r\n"


def test_beyond_the_maximum_a_stream_is_refused_with_a_time_to_come_back(own_server: ThreadServer) -> None:
    query = STATE % submit(own_server, document(gated()))

    with watching(own_server, query, EVENTS), watching(own_server, query, PARTS), own_server.client() as client:
        refused = client.post("/graphql", json={"query": query}, headers={"accept": EVENTS})
        other = client.post("/graphql", json={"query": "{ health { status } }"})

    assert refused.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert refused.headers["retry-after"] == "5"
    assert refused.json()["errors"][0]["extensions"] == {"code": "OVERLOADED", "retryAfterSeconds": 5}
    assert other.status_code == HTTPStatus.OK


@pytest.mark.parametrize("accept", [EVENTS, PARTS])
def test_a_key_that_is_revoked_ends_its_stream(tmp_path: Path, gate: Gate, accept: str) -> None:
    keys = tmp_path / "keys.json"
    token = add_key(keys)
    settings = Settings(keys_file=str(keys), shutdown_grace_seconds=0, stop_grace_seconds=0)
    with live_server(settings, tools=[gate.tool]) as server, server.client(headers=bearer(token)) as client:
        submitted = client.post("/workflows/", json=document(gated())).json()
        asked = {"query": STATE % submitted["run_id"]}
        with client.stream("POST", "/graphql", json=asked, headers={"accept": accept}) as stream:
            keys.write_text("{}", encoding="utf-8")
            told = stream.read()
        stranger = client.post("/graphql", json=asked, headers={"accept": accept})

    assert b"UNAUTHENTICATED" in told
    assert stranger.status_code == HTTPStatus.UNAUTHORIZED
    assert stranger.headers["www-authenticate"].startswith("Bearer")
    assert stranger.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


@contextlib.contextmanager
def watching(server: RunningServer, query: str, accept: str) -> Iterator[httpx.Response]:
    """Subscribe, and read nothing but the head of the answer."""
    with (
        server.client() as client,
        client.stream("POST", "/graphql", json={"query": query}, headers={"accept": accept}) as answer,
    ):
        assert answer.status_code == HTTPStatus.OK
        yield answer


@contextlib.contextmanager
def stalled(server: RunningServer, accept: str) -> Iterator[None]:
    """Subscribe to more than there is room for, and read nothing of it but its beginning."""
    run_id = submit(server, document(echo("big", "x" * OUTPUT_BYTES), gated(dependsOn=["big"])))
    outputs = " ".join(f"a{number}: output" for number in range(ALIASES))
    body = json.dumps(
        {"query": f'subscription {{ workflowUpdates(id: "{run_id}", after: 0) {{ changedNodes {{ {outputs} }} }} }}'}
    )
    head = [
        "POST /graphql HTTP/1.1",
        "Host: localhost",
        f"Accept: {accept}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    with socket.socket() as connection:
        connection.settimeout(LONGEST_WAIT)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
        connection.sendall("\r\n".join([*head, "", body]).encode())
        beginning = b""
        while b"xxx" not in beginning:
            beginning = connection.recv(4096)
        yield
