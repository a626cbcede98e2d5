"""What a page of another origin can make a browser send unasked reaches nothing that matters."""

import json
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from starlette.routing import Mount, Route

from gql_app.settings import Settings
from gql_app.web.app import create_app
from tests.support.documents import document
from tests.support.server import RunningServer, live_server

MUTATION = """
mutation { submitWorkflow(spec: {name: "forged", nodes: [{id: "a", tool: "echo", input: {value: 1}}]}) { __typename } }
"""
BODIES = {
    "an operation": json.dumps({"query": MUTATION}),
    "a document": json.dumps(document(name="forged")),
    "fields of a form": "query=mutation&variables=%7B%7D",
}
SIMPLE_TYPES = [
    None,
    "text/plain",
    "text/plain; charset=application/json",
    "application/x-www-form-urlencoded",
    'multipart/form-data; boundary="application/json"',
]


def addresses() -> list[str]:
    """Tell every address of the application that a request can be sent to."""
    found = [route.path for route in create_app(Settings()).routes if isinstance(route, Route | Mount)]
    return sorted({path.replace("{run_id}", "x") for path in found})


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with live_server() as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_was_carried_out(server: RunningServer) -> Iterator[None]:
    yield
    assert server.execute("{ workflows { nodes { name } } }")["workflows"]["nodes"] == []


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("path", addresses())
def test_a_simple_post_is_refused_everywhere(server: RunningServer, path: str, body: str) -> None:
    with server.client(follow_redirects=True) as client:
        answers = [
            client.post(path, content=body.encode(), headers={"content-type": content} if content else {})
            for content in SIMPLE_TYPES
        ]

    assert all(answer.is_client_error for answer in answers), answers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", addresses())
def test_a_link_changes_nothing(server: RunningServer, path: str, method: str) -> None:
    with server.client() as client:
        answer = client.request(method, path, params={"query": MUTATION, "spec": json.dumps(document(name="forged"))})

    assert answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR


def test_every_address_is_tried() -> None:
    assert {"/graphql", "/workflows/", "/workflows/x", "/health", "/ready", "/metrics"} <= set(addresses())
