"""GraphQL over HTTP through a real server: what works, and what bad requests are told."""

from collections.abc import Iterator
from http import HTTPStatus

import httpx
import pytest

from gql_app.core.values import Json
from gql_app.settings import Settings
from tests.support.documents import SUBMIT, document, echo, submit
from tests.support.server import RunningServer, live_server

HEALTH = "{ health { status } }"
MODERN = "application/graphql-response+json"
JSON = {"content-type": "application/json", "accept": MODERN}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with live_server(Settings(shutdown_grace_seconds=0, maximum_request_bytes=64 << 10)) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def test_a_query_is_answered_by_post(client: httpx.Client) -> None:
    answer = client.post("/graphql", json={"query": HEALTH})

    assert answer.status_code == HTTPStatus.OK
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json() == {"data": {"health": {"status": "OK"}}}


def test_a_query_is_answered_by_get(client: httpx.Client) -> None:
    parameters = {"query": "query Tool($name: String!) { tool(name: $name) { name } }", "variables": '{"name": "echo"}'}

    answer = client.get("/graphql", params=parameters)

    assert answer.json() == {"data": {"tool": {"name": "echo"}}}


def test_a_submitted_workflow_can_be_read(server: RunningServer) -> None:
    run_id = submit(server, document(echo("greet", "hello")))

    shown = server.execute("query Read($id: ID!) { workflow(id: $id) { id name } }", id=run_id)

    assert shown == {"workflow": {"id": run_id, "name": "test"}}


def test_the_new_response_type_is_used_for_who_asks_for_it(client: httpx.Client) -> None:
    answer = client.post("/graphql", json={"query": HEALTH}, headers={"accept": MODERN})

    assert answer.headers["content-type"] == f"{MODERN}; charset=utf-8"


def test_a_deep_value_is_a_problem_of_the_document(client: httpx.Client) -> None:
    deep: Json = "bottom"
    for _ in range(900):
        deep = [deep]

    answer = client.post("/graphql", json={"query": SUBMIT, "variables": {"spec": document(echo("a", deep))}})

    assert answer.status_code == HTTPStatus.OK
    assert answer.json()["data"]["submitWorkflow"]["problems"][0]["code"] == "LIMIT_EXCEEDED"


def test_a_wrong_variable_is_pointed_at(client: httpx.Client) -> None:
    spec = document({**echo("a", 1), "retry": {"maximumAttempts": "many"}})

    answer = client.post("/graphql", json={"query": SUBMIT, "variables": {"spec": spec}}, headers=JSON)

    assert answer.status_code == HTTPStatus.BAD_REQUEST
    extensions = answer.json()["errors"][0]["extensions"]
    assert extensions["code"] == "INVALID_FIELD"
    assert extensions["pointer"].endswith("/nodes/0/retry/maximumAttempts")


def test_only_the_head_of_an_answer_can_be_asked_for(client: httpx.Client) -> None:
    answer = client.head("/graphql", params={"query": HEALTH})

    assert (answer.status_code, answer.content) == (HTTPStatus.OK, b"")


def test_a_file_takes_no_post(client: httpx.Client) -> None:
    answer = client.post("/graphql/static/graphiql.js", json=1)

    assert answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert "GET" in answer.headers["allow"]


def test_a_body_as_big_as_allowed_is_read(client: httpx.Client) -> None:
    body = b'{"query": "{ health { status } }"}'

    answer = client.post("/graphql", content=body.ljust(64 << 10), headers=JSON)

    assert answer.status_code == HTTPStatus.OK


@pytest.mark.parametrize("path", ["/graphql", "/workflows/", "/nowhere"])
def test_a_body_that_announces_too_much_is_refused(client: httpx.Client, path: str) -> None:
    answer = client.post(path, content=b" " * (2 << 20), headers=JSON)

    assert_too_large(answer)


def test_a_body_that_turns_out_too_big_is_refused(client: httpx.Client) -> None:
    chunks = (b" " * 1024 for _ in range(1024))

    answer = client.post("/graphql", content=chunks, headers=JSON)

    assert_too_large(answer)


def assert_too_large(answer: httpx.Response) -> None:
    assert answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert "65536" in answer.text
    assert "REQUEST_TOO_LARGE" in answer.text
    assert answer.json()


def test_an_unknown_address_is_told_what_there_is(client: httpx.Client) -> None:
    answer = client.get("/nowhere")

    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert answer.headers["content-type"] == "application/problem+json"
    assert "/graphql" in answer.json()["detail"]
