"""Metrics as they are read from a real server while things happen on it."""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from gql_app.core.access import Scope
from gql_app.core.values import Json
from gql_app.settings import Settings
from tests.support.documents import WATCH, document, echo, submit
from tests.support.gate import Gate, gated
from tests.support.metrics import Samples
from tests.support.server import LONGEST_WAIT, RunningServer, ThreadServer, live_server
from tests.support.tokens import add_key, bearer

pytestmark = pytest.mark.anyio

READ = "query GetWorkflow($id: ID!) { workflow(id: $id) { status } }"


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    with Gate() as gate:
        yield gate


@pytest.fixture(scope="module")
def server(gate: Gate) -> Iterator[ThreadServer]:
    with live_server(tools=[gate.tool]) as running:
        yield running
        gate.open()


def read(server: RunningServer) -> Samples:
    with server.client() as client:
        answer = client.get("/metrics")
    assert answer.status_code == HTTPStatus.OK
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return Samples(answer.text)


def ask(server: RunningServer, query: str, **body: Json) -> httpx.Response:
    with server.client() as client:
        return client.post("/graphql", json={"query": query, **body})


def operations(samples: Samples, name: str, kind: str, outcome: str) -> float:
    return samples.value("graphql_operations_total", operation=name, kind=kind, outcome=outcome)


async def test_a_run_leaves_its_traces(server: ThreadServer) -> None:
    before = read(server)
    run_id = submit(server, document(echo("a", 1), echo("b", 2)))
    async with server.socket() as socket:
        updates = [update async for update in socket.results(WATCH, {"id": run_id, "after": 0})]
    server.wait_until_idle()

    after = read(server)

    def grown(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    assert grown("runs_submitted_total") == 1
    assert grown("runs_ended_total", outcome="COMPLETED") == 1
    assert grown("attempts_total", tool="echo", outcome="COMPLETED") == 2
    assert grown("subscription_messages_total", transport="websocket") == len(updates)
    assert after.value("subscribers", transport="websocket") == 0
    assert after.value("websockets") == 0


async def test_a_subscriber_that_vanishes_is_no_longer_counted(server: ThreadServer) -> None:
    run_id = submit(server, document(gated()))
    async with server.socket() as socket:
        await anext(socket.results(WATCH, {"id": run_id}))
        there = read(server)
        socket.connection.transport.abort()
    server.wait_until_idle()

    gone = read(server)

    assert (there.value("subscribers", transport="websocket"), there.value("websockets")) == (1, 1)
    assert (gone.value("subscribers", transport="websocket"), gone.value("websockets")) == (0, 0)
    assert operations(gone, "Watch", "subscription", "CANCELLED") >= 1


@pytest.mark.parametrize(("accept", "transport"), [("text/event-stream", "sse"), ("multipart/mixed", "multipart")])
async def test_a_stream_that_is_left_is_no_longer_counted(server: ThreadServer, accept: str, transport: str) -> None:
    run_id = submit(server, document(gated()))
    body = {"query": WATCH, "variables": {"id": run_id}}
    with server.client() as client, client.stream("POST", "/graphql", json=body, headers={"accept": accept}) as stream:
        pieces, text = stream.iter_text(), ""
        while "workflowUpdates" not in text:
            text += next(pieces)
        there = read(server)
    server.wait_until_idle()

    gone = read(server)

    assert there.value("subscribers", transport=transport) == 1
    assert gone.value("subscribers", transport=transport) == 0
    assert gone.value("subscription_messages_total", transport=transport) == 1


async def test_operations_are_counted_by_name_kind_and_outcome(server: ThreadServer) -> None:
    before = read(server)
    ask(server, READ, variables={"id": "nope"})
    ask(server, "{ health { status } }")
    ask(server, "{ health { nothing } }")
    ask(server, '{ workflows(first: 1, after: "nonsense") { nodes { id } } }')

    after = read(server)

    for name, kind, outcome in [
        ("GetWorkflow", "query", "COMPLETED"),
        ("anonymous", "query", "COMPLETED"),
        ("anonymous", "query", "FAILED"),
        ("unknown", "unknown", "REFUSED"),
    ]:
        assert operations(after, name, kind, outcome) - operations(before, name, kind, outcome) == 1
    assert after.value("graphql_operation_duration_seconds_count", operation="GetWorkflow", kind="query") >= 1


async def test_what_clients_make_up_makes_no_new_series(server: ThreadServer) -> None:
    with server.client() as client:
        for number in range(200):
            client.post("/graphql", json={"query": f"query Made{number} {{ __typename }}"})
            client.get(f"/made/up/{number}")
            client.get(f"/workflows/{number}")

    samples = read(server)

    named = samples.labels("graphql_operations_total", "operation")
    assert len([name for name in named if name.startswith("Made")]) <= Settings().maximum_operation_names
    assert operations(samples, "other", "query", "COMPLETED") >= 100
    routes = samples.labels("http_requests_total", "route")
    assert {"other", "/workflows/{run_id}", "/graphql", "/metrics"} <= routes
    assert len(routes) < 12


async def test_openmetrics_is_told_to_who_asks_for_it(server: ThreadServer) -> None:
    with server.client() as client:
        answer = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})

    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    families = text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]  # the library's
    names = {family.name for family in families}
    assert {"gql_app_build", "gql_app_runs_ended", "gql_app_event_loop_delay_seconds", "process_open_fds"} <= names


async def test_two_servers_in_one_process_do_not_share_their_metrics(server: ThreadServer) -> None:
    submit(server, document(echo("a", 1)))

    with live_server() as other:
        fresh = read(other)

    assert read(server).value("runs_submitted_total") >= 1
    assert fresh.value("runs_submitted_total") == 0


def test_metrics_can_have_a_port_of_their_own() -> None:
    with live_server(Settings(metrics_port=0, shutdown_grace_seconds=0)) as server, server.client() as client:
        port = server.server.config.loaded_app.state.instruments.metrics_port
        own = f"http://127.0.0.1:{port}"
        submit(server, document(echo("a", 1)))

        assert client.get("/metrics").status_code == HTTPStatus.NOT_FOUND
        assert Samples(client.get(f"{own}/metrics").text).value("runs_submitted_total") == 1
        assert client.head(f"{own}/metrics").content == b""
        assert client.get(f"{own}/workflows/").status_code == HTTPStatus.NOT_FOUND
        assert client.post(f"{own}/metrics").status_code == HTTPStatus.METHOD_NOT_ALLOWED

    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{own}/metrics", trust_env=False, timeout=LONGEST_WAIT)


async def test_a_subscription_that_ends_with_an_error_has_failed(server: ThreadServer) -> None:
    async with server.socket() as socket:
        await socket.subscribe(WATCH, {"id": "nope"})
        while (await socket.receive())["type"] == "next":
            pass
    server.wait_until_idle()

    assert operations(read(server), "Watch", "subscription", "FAILED") == 1


def test_who_is_let_in_may_read_the_metrics_only_with_the_scope_for_it(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    reader, admin = add_key(keys, "reader"), add_key(keys, "admin", scopes=(Scope.ADMIN,))

    with live_server(Settings(keys_file=str(keys), shutdown_grace_seconds=0)) as server, server.client() as client:
        statuses = [
            client.get("/metrics", headers=headers).status_code for headers in ({}, bearer(reader), bearer(admin))
        ]

    assert statuses == [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.OK]


def test_an_answer_has_the_id_of_its_request(server: ThreadServer) -> None:
    with server.client() as client:
        made = client.get("/health").headers["x-request-id"]
        again = client.get("/health").headers["x-request-id"]
        given = client.get("/health", headers={"x-request-id": "abc-123"}).headers["x-request-id"]
        unsafe = client.get("/nowhere", headers={"x-request-id": "a b"}).headers["x-request-id"]

    assert len(made) == len(again) == len(unsafe) == 16
    assert len({made, again, unsafe}) == 3
    assert given == "abc-123"
