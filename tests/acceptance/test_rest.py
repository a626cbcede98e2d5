"""Workflows over plain HTTP through a real server."""

import json
from collections.abc import Iterator
from http import HTTPStatus

import anyio
import httpx
import pytest

from gql_app.core.values import Json
from gql_app.settings import Settings
from tests.support.documents import WATCH, document, echo
from tests.support.gate import Gate, gated
from tests.support.server import RunningServer, live_server


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with live_server() as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


async def _watch_to_the_end(server: RunningServer, run_id: str) -> None:
    async with server.socket() as socket:
        async for _ in socket.results(WATCH, {"id": run_id}):
            pass


def finished(server: RunningServer, client: httpx.Client, spec: Json) -> Json:
    """Submit a document, wait for the run's end and read it."""
    created = client.post("/workflows/", json=spec)
    anyio.run(_watch_to_the_end, server, created.json()["run_id"])
    return client.get(created.headers["location"]).json()


def test_health_is_ok(client: httpx.Client) -> None:
    answer = client.get("/health")

    assert answer.status_code == HTTPStatus.OK
    assert answer.text.startswith('{"status":"ok"')


def test_a_started_service_is_ready(client: httpx.Client) -> None:
    answer = client.get("/ready")

    assert (answer.status_code, answer.json()) == (HTTPStatus.OK, {"status": "ready"})


@pytest.mark.parametrize("path", ["/workflows", "/workflows/"])
def test_a_document_is_started(client: httpx.Client, path: str) -> None:
    answer = client.post(path, json=document())

    assert answer.status_code == HTTPStatus.CREATED
    run_id = answer.json()["run_id"]
    assert answer.headers["location"] == f"/workflows/{run_id}"
    assert client.get(answer.headers["location"]).json()["run_id"] == run_id


def test_a_run_is_shown_with_its_nodes_by_id(server: RunningServer, client: httpx.Client) -> None:
    run = finished(server, client, document(echo("a", [1, "ä"]), echo("b", "${ nodes.a.output }")))

    assert run["name"] == "test"
    assert run["status"] == "COMPLETED"
    assert list(run["nodes"]) == ["a", "b"]
    assert run["nodes"]["a"]["status"] == "COMPLETED"
    assert run["nodes"]["a"]["attempts"] == 1
    assert run["nodes"]["a"]["output"] == [1, "ä"]
    assert run["output"] == {"b": [1, "ä"]}
    assert run["error"] is None


def test_a_big_output_is_shown_too(server: RunningServer, client: httpx.Client) -> None:
    run = finished(server, client, document(echo("a", "x" * 100_000)))

    assert run["nodes"]["a"]["output"] == "x" * 100_000


def test_a_failed_run_says_why(server: RunningServer, client: httpx.Client) -> None:
    broken = {"id": "a", "tool": "echo", "input": {"value": "${ 1 / input.zero }"}}

    run = finished(server, client, document(broken, input={"zero": 0}))

    assert run["status"] == "FAILED"
    assert run["nodes"]["a"]["error"]["type"] == "ExpressionError"
    assert run["error"]["node_id"] == "a"


def test_the_encoding_may_be_named(client: httpx.Client) -> None:
    content_type = 'application/json; charset="UTF-8"'

    answer = client.post("/workflows/", content=json.dumps(document()), headers={"content-type": content_type})

    assert answer.status_code == HTTPStatus.CREATED


def test_an_unknown_run_is_not_found(client: httpx.Client) -> None:
    answer = client.get("/workflows/nobody")

    assert_problem(answer, HTTPStatus.NOT_FOUND, "WORKFLOW_NOT_FOUND")
    assert "nobody" in answer.json()["detail"]


def test_an_invalid_document_is_told_every_problem(client: httpx.Client) -> None:
    answer = client.post("/workflows/", json=document(echo("a", 1, tool="ecko"), echo("b", 1, dependsOn=["c"])))

    assert_problem(answer, HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID_WORKFLOW")
    problems = {(found["code"], found["pointer"]) for found in answer.json()["problems"]}
    assert problems == {("UNKNOWN_TOOL", "/nodes/0/tool"), ("UNKNOWN_NODE", "/nodes/1/dependsOn/0")}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"NaN", b"[" * 60_000], ids=lambda body: repr(body[:20]))
def test_a_body_that_is_not_json_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/workflows/", content=body, headers={"content-type": "application/json"})

    assert_problem(answer, HTTPStatus.BAD_REQUEST, "INVALID_JSON")


@pytest.mark.parametrize("body", [b"1", b"null", b"[]", b'"x"', b"{}", b'{"name": 1}', b"[" * 900 + b"]" * 900])
def test_json_that_is_no_document_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/workflows/", content=body, headers={"content-type": "application/json"})

    assert_problem(answer, HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID_WORKFLOW")
    assert answer.json()["problems"]


def test_a_body_of_another_type_is_refused(client: httpx.Client) -> None:
    answer = client.post("/workflows/", content=b"name: test", headers={"content-type": "application/yaml"})

    assert_problem(answer, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE")


def test_one_key_makes_one_run(client: httpx.Client) -> None:
    headers = {"idempotency-key": "one"}

    answers = [client.post("/workflows/", json=document(), headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [HTTPStatus.CREATED] * 2
    assert answers[0].json()["run_id"] == answers[1].json()["run_id"]


def test_a_key_that_was_used_for_another_document_is_a_conflict(client: httpx.Client) -> None:
    headers = {"idempotency-key": "another"}
    first = client.post("/workflows/", json=document(), headers=headers)

    answer = client.post("/workflows/", json=document(name="other"), headers=headers)

    assert_problem(answer, HTTPStatus.CONFLICT, "IDEMPOTENCY_CONFLICT")
    assert answer.json()["run_id"] == first.json()["run_id"]


def test_a_key_that_is_too_long_is_refused(client: httpx.Client) -> None:
    answer = client.post("/workflows/", json=document(), headers={"idempotency-key": "x" * 256})

    assert_problem(answer, HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT")


def test_a_full_service_says_when_to_come_back() -> None:
    settings = Settings(shutdown_grace_seconds=0, maximum_active_runs=1, maximum_queued_runs=0)
    with Gate() as gate, live_server(settings, tools=[gate.tool]) as server, server.client() as client:
        client.post("/workflows/", json=document(gated()))

        answer = client.post("/workflows/", json=document())
        gate.open()

    assert_problem(answer, HTTPStatus.TOO_MANY_REQUESTS, "OVERLOADED")
    assert int(answer.headers["retry-after"]) >= 1


def test_another_method_is_told_which_are_allowed(client: httpx.Client) -> None:
    answer = client.put("/workflows/nobody")

    assert_problem(answer, HTTPStatus.METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED")
    assert {"GET", "DELETE"} <= set(answer.headers["allow"].split(", "))


def assert_problem(answer: httpx.Response, status: HTTPStatus, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["title"]
    assert problem["detail"]
