"""Requests that no good client sends, through a real server: a clear answer as GraphQL has it, and never a failure."""

import json
import logging
import socket
from collections.abc import Iterator
from http import HTTPStatus

import httpx
import pytest

from gql_app.core.values import Json
from gql_app.schema.operations import load
from gql_app.schema.trusted import digest_of
from gql_app.settings import Posture, Settings
from tests.support.documents import WATCH
from tests.support.requirements import REPOSITORY
from tests.support.server import LONGEST_WAIT, RunningServer, live_server

HEALTH = "{ health { status } }"
HEALTHY = {"data": {"health": {"status": "OK"}}}
JSON_TYPE = "application/json"
MODERN = "application/graphql-response+json"
POSTED = {"content-type": JSON_TYPE}
EVENTS = {"accept": "text/event-stream"}
SUBSCRIPTION = 'subscription { workflowUpdates(id: "a") { sequence } }'
MUTATION = 'mutation { cancelWorkflow(id: "a") { __typename } }'


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with live_server() as running:
        yield running


@pytest.fixture(scope="module")
def production() -> Iterator[RunningServer]:
    trusted = REPOSITORY / "schema" / "operations"
    settings = Settings(posture=Posture.PRODUCTION, trusted_documents=trusted, shutdown_grace_seconds=0)
    with live_server(settings) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_fails(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def assert_refused(answer: httpx.Response, status: HTTPStatus, form: str = JSON_TYPE) -> list[Json]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == f"{form}; charset=utf-8"
    assert answer.json().keys() == {"errors"}
    errors: list[Json] = answer.json()["errors"]
    assert errors
    assert all(error["message"] for error in errors)
    return errors


MISSHAPEN = {
    "nothing": b"",
    "blanks": b" \r\n\t ",
    "a number": b"1",
    "null": b"null",
    "true": b"true",
    "an empty list": b"[]",
    "a batch": b'[{"query": "{ health { status } }"}, {"query": "{ health { status } }"}]',
    "text": b'"text"',
    "no JSON": b"not json",
    "half of it": b'{"query": "{ health',
    "two of it": b'{"query": "{ health { status } }"} {"query": "{ health { status } }"}',
    "a query as it stands": b"{ health { status } }",
    "a sequence of JSON": b'\x1e{"query": "{ health { status } }"}\n',
    "no UTF-8": b"\xff\xfe",
    "no UTF-8 inside": b'{"query": "\xff"}',
    "half a character": b'{"query": "\xe2\x82"}',
    "half a pair": b'{"query": "\\ud800"}',
    "UTF-16": '{"query": "{ health { status } }"}'.encode("utf-16"),
    "UTF-32": '{"query": "{ health { status } }"}'.encode("utf-32"),
    "a mark of the order of bytes": b'\xef\xbb\xbf{"query": "{ health { status } }"}',
    "zeros": b"\x00" * 100,
    "deep lists": b"[" * 100_000,
    "deep lists that end": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep variables": b'{"query": "{ health { status } }", "variables": {"a": '
    + b"[" * 100_000
    + b"]" * 100_000
    + b"}}",
    "deep extensions": b'{"query": "{ health { status } }", "extensions": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
    "a number that is none": b'{"query": "{ health { status } }", "variables": {"x": NaN}}',
    "variables in a list": b'{"query": "{ health { status } }", "variables": []}',
    "variables in text": b'{"query": "{ health { status } }", "variables": "{}"}',
    "an operation of a number": b'{"query": "{ health { status } }", "operationName": 1}',
    "extensions in text": b'{"query": "{ health { status } }", "extensions": "{}"}',
    "a query of a number": b'{"query": 1}',
    "a query of null": b'{"query": null}',
    "an empty query": b'{"query": ""}',
    "a query of the wrong name": b'{"QUERY": "{ health { status } }"}',
    "an id of a number": b'{"documentId": 1}',
    "variables alone": b'{"variables": {}}',
    "an empty object": b"{}",
}
UNFIT = {
    "blanks": "  ",
    "a comment": "# { health { status } }",
    "half a document": "{",
    "an unknown field": "{ nothing }",
    "a fragment alone": "fragment F on Query { health { status } }",
    "a missing variable": "query Q($id: ID!) { workflow(id: $id) { id } }",
    "a schema": "type Query { a: Int }",
    "deep fields": "{a" * 5_000,
    "deep values": "{ tool(name: " + "[" * 5_000 + ") { name } }",
    "no operation of the name": "query A { health { status } }",
}


@pytest.mark.parametrize("form", [JSON_TYPE, MODERN])
@pytest.mark.parametrize("body", MISSHAPEN.values(), ids=MISSHAPEN)
def test_a_body_that_is_no_request_is_refused(client: httpx.Client, body: bytes, form: str) -> None:
    answer = client.post("/graphql", content=body, headers={**POSTED, "accept": form})

    [error] = assert_refused(answer, HTTPStatus.BAD_REQUEST, form)
    assert error["extensions"]["code"] in {"INVALID_JSON", "BAD_REQUEST"}


@pytest.mark.parametrize(("form", "status"), [(JSON_TYPE, HTTPStatus.OK), (MODERN, HTTPStatus.BAD_REQUEST)])
@pytest.mark.parametrize("query", UNFIT.values(), ids=UNFIT)
def test_an_operation_that_cannot_begin_has_errors_and_no_data(
    client: httpx.Client, query: str, form: str, status: HTTPStatus
) -> None:
    answer = client.post("/graphql", json={"query": query, "operationName": "B"}, headers={"accept": form})

    assert_refused(answer, status, form)


def test_of_a_key_that_is_there_twice_the_last_counts(client: httpx.Client) -> None:
    body = b'{"query": "{ nothing }", "query": "{ health { status } }"}'

    answer = client.post("/graphql", content=body, headers=POSTED)

    assert answer.json() == HEALTHY


def test_members_that_nobody_knows_are_ignored(client: httpx.Client) -> None:
    answer = client.post("/graphql", json={"query": HEALTH, "id": 1, "__proto__": {}, "": [[]]})

    assert answer.json() == HEALTHY


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "json",
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/json-seq",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/json; charset",
        "application/json, text/plain",
        "*/*",
        ";",
        "é",
        "a" * 10_000,
    ],
)
def test_a_body_of_another_type_is_refused(client: httpx.Client, content_type: str | None) -> None:
    headers = {} if content_type is None else {b"content-type": content_type.encode("latin-1")}

    answer = client.post("/graphql", content=json.dumps({"query": HEALTH}).encode(), headers=headers)

    [error] = assert_refused(answer, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    assert "application/json" in error["message"]
    assert len(error["message"]) < 300


def test_a_body_with_two_types_is_refused(client: httpx.Client) -> None:
    headers = [("content-type", JSON_TYPE), ("content-type", JSON_TYPE)]

    answer = client.post("/graphql", content=json.dumps({"query": HEALTH}).encode(), headers=headers)

    assert_refused(answer, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "x"])
def test_a_body_that_is_packed_is_refused(client: httpx.Client, encoding: str) -> None:
    headers = {**POSTED, "content-encoding": encoding}

    answer = client.post("/graphql", content=json.dumps({"query": HEALTH}).encode(), headers=headers)

    [error] = assert_refused(answer, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    assert "Content-Encoding" in error["message"]


@pytest.mark.parametrize("accept", ["", "text/plain", "image/*", "application/json;q=0", ";;", "a" * 900])
def test_who_takes_nothing_that_there_is_is_told_what_there_is(client: httpx.Client, accept: str) -> None:
    answer = client.post("/graphql", json={"query": HEALTH}, headers={"accept": accept})

    [error] = assert_refused(answer, HTTPStatus.NOT_ACCEPTABLE)
    assert MODERN in error["message"]


def test_a_header_that_is_there_twice_counts_as_one(client: httpx.Client) -> None:
    headers = [("accept", "text/plain"), ("accept", MODERN)]

    answer = client.post("/graphql", json={"query": HEALTH}, headers=headers)

    assert answer.headers["content-type"] == f"{MODERN}; charset=utf-8"


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("accept", ["*/*", JSON_TYPE, MODERN, "multipart/mixed;subscriptionSpec=2.0, */*"])
def test_a_subscription_that_no_stream_is_asked_for_is_told_which_there_are(
    client: httpx.Client, method: str, accept: str
) -> None:
    asked = {"query": SUBSCRIPTION}

    answer = client.request(method, "/graphql", headers={"accept": accept}, params=asked, json=asked)

    [error] = assert_refused(answer, HTTPStatus.BAD_REQUEST, MODERN if accept == MODERN else JSON_TYPE)
    for transport in ("text/event-stream", "multipart/mixed", "graphql-transport-ws"):
        assert transport in error["message"]


@pytest.mark.parametrize("accept", ["text/event-stream", "multipart/mixed;subscriptionSpec=1.0"])
def test_a_stream_that_cannot_begin_is_an_ordinary_refusal(client: httpx.Client, accept: str) -> None:
    answer = client.post("/graphql", json={"query": "subscription { nothing }"}, headers={"accept": accept})

    assert_refused(answer, HTTPStatus.BAD_REQUEST)


@pytest.mark.parametrize("last", ["", "x", "-1", "1.0", "\N{FULLWIDTH DIGIT ONE}", "9" * 1_000])
def test_a_last_event_that_was_never_sent_is_refused(client: httpx.Client, last: str) -> None:
    headers = {b"accept": b"text/event-stream", b"last-event-id": last.encode()}

    answer = client.post("/graphql", json={"query": WATCH, "variables": {"id": "a"}}, headers=headers)

    [error] = assert_refused(answer, HTTPStatus.BAD_REQUEST)
    assert error["extensions"]["code"] == "INVALID_CURSOR"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "QUERY"])
def test_another_method_is_told_which_there_are(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/graphql", json={"query": HEALTH})

    assert_refused(answer, HTTPStatus.METHOD_NOT_ALLOWED)
    assert answer.headers["allow"] == "GET, HEAD, POST, OPTIONS"


def test_who_asks_for_the_methods_is_told_them(client: httpx.Client) -> None:
    answer = client.options("/graphql")

    assert (answer.status_code, answer.content) == (HTTPStatus.NO_CONTENT, b"")
    assert answer.headers["allow"] == "GET, HEAD, POST, OPTIONS"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_mutation_goes_by_post_alone(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/graphql", params={"query": MUTATION})

    assert answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert answer.headers["allow"] == "POST"


def test_a_stream_has_no_head(client: httpx.Client) -> None:
    answer = client.head("/graphql", params={"query": SUBSCRIPTION}, headers=EVENTS)

    assert answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert answer.headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    "parameters",
    [
        "",
        "query=",
        "query",
        "&&&=&",
        "variables=%7B%7D",
        "query=%FF",
        "query=%7Bhealth%7Bstatus%7D%7D&query=%7Bhealth%7Bstatus%7D%7D",
        "query=%7Bhealth%7Bstatus%7D%7D&variables=1",
        "query=%7Bhealth%7Bstatus%7D%7D&variables=%7B",
        "query=%7Bhealth%7Bstatus%7D%7D&variables=" + "[" * 20_000,
        "query=%7Bhealth%7Bstatus%7D%7D&extensions=text",
        "&".join(f"a{number}=1" for number in range(1_000)),
    ],
    ids=lambda parameters: parameters[:70],
)
def test_an_address_that_asks_nothing_readable_is_refused(client: httpx.Client, parameters: str) -> None:
    answer = client.get(f"/graphql?{parameters}")

    assert_refused(answer, HTTPStatus.BAD_REQUEST)


def test_empty_parameters_are_as_good_as_none(client: httpx.Client) -> None:
    answer = client.get("/graphql?query=%7Bhealth%7Bstatus%7D%7D&variables=&extensions=&other=%00")

    assert answer.json() == HEALTHY


def test_an_address_of_twenty_thousand_characters_is_read(client: httpx.Client) -> None:
    answer = client.get("/graphql", params={"query": HEALTH, "note": "x" * 20_000})

    assert answer.json() == HEALTHY


def test_an_address_of_a_hundred_thousand_characters_is_refused(server: RunningServer) -> None:
    request = (
        b"GET /graphql?query=%7Bhealth%7Bstatus%7D%7D&note=" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )

    assert talk(server, request).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "accept": "text/html,*/*;q=0.8"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://evil.example", "sec-fetch-site": "none"},
    ],
)
def test_a_page_of_another_site_asks_nothing_by_get(client: httpx.Client, headers: dict[str, str]) -> None:
    answer = client.get("/graphql", params={"query": HEALTH}, headers=headers)

    [error] = assert_refused(answer, HTTPStatus.FORBIDDEN)
    assert error["extensions"]["code"] == "FORBIDDEN_ORIGIN"


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_our_own_page_asks_by_get(client: httpx.Client, site: str) -> None:
    answer = client.get("/graphql", params={"query": HEALTH}, headers={"sec-fetch-site": site})

    assert answer.json() == HEALTHY


def test_a_page_of_an_allowed_origin_asks_by_get() -> None:
    origin = "http://localhost:5173"
    headers = {"origin": origin, "sec-fetch-site": "cross-site"}
    settings = Settings(allowed_origins=(origin,), shutdown_grace_seconds=0)

    with live_server(settings) as server, server.client() as client:
        answer = client.get("/graphql", params={"query": HEALTH}, headers=headers)

    assert answer.json() == HEALTHY


def test_production_has_no_page(production: RunningServer) -> None:
    with production.client() as client:
        page = client.get("/graphql", headers={"accept": "text/html,*/*;q=0.8"})
        asset = client.get("/graphql/static/graphiql.js")

    [error] = assert_refused(page, HTTPStatus.NOT_FOUND)
    assert "POST" in error["message"]
    assert asset.status_code == HTTPStatus.NOT_FOUND


def test_production_answers_only_trusted_documents_by_get(production: RunningServer) -> None:
    text = load("Health")
    by_id = {"documentId": f"sha256:{digest_of(text)}"}
    by_hash = {"extensions": json.dumps({"persistedQuery": {"version": 1, "sha256Hash": digest_of(text)}})}

    with production.client() as client:
        trusted = [client.get("/graphql", params=asked) for asked in ({"query": text}, by_id, by_hash)]
        got = client.get("/graphql", params={"query": HEALTH})
        posted = client.post("/graphql", json={"query": HEALTH})

    [error] = assert_refused(got, HTTPStatus.METHOD_NOT_ALLOWED)
    assert "trusted" in error["message"]
    assert got.headers["allow"] == "POST"
    assert posted.json() == HEALTHY
    assert [answer.json()["data"]["health"]["status"] for answer in trusted] == ["OK"] * 3


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n1",
        b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /graphql HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
    ],
    ids=repr,
)
def test_what_is_no_http_is_refused(server: RunningServer, request_bytes: bytes) -> None:
    assert talk(server, request_bytes).startswith(b"HTTP/1.1 400 ")


def test_a_body_that_breaks_off_leaves_nothing_behind(server: RunningServer, client: httpx.Client) -> None:
    head = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"

    talk(server, head + b'{"query": ', hang_up=True)

    assert client.post("/graphql", json={"query": HEALTH}).json() == HEALTHY


def talk(server: RunningServer, request: bytes, *, hang_up: bool = False) -> bytes:
    """Send bytes as they are, and tell the beginning of what comes back."""
    address = httpx.URL(server.url)
    assert address.port is not None
    with socket.create_connection((address.host, address.port), timeout=LONGEST_WAIT) as connection:
        connection.sendall(request)
        return b"" if hang_up else connection.recv(65_536)
