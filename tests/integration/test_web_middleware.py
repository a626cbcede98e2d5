"""What every request passes on its way in, around applications of a few lines."""

import logging
from http import HTTPStatus

import httpx
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gql_app.settings import Settings
from gql_app.web.app import create_app
from gql_app.web.failures import MaskedFailures
from gql_app.web.hosts import OwnMachine
from gql_app.web.limits import BodyLimit

pytestmark = pytest.mark.anyio


async def break_down(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("the password is 1234")


async def count(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


@pytest.mark.parametrize("path", ["/graphql", "/workflows/"])
async def test_what_nobody_expected_is_logged_once_and_masked(path: str, caplog: pytest.LogCaptureFixture) -> None:
    async with client(MaskedFailures(break_down)) as masked:
        answer = await masked.get(path)

    assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert "INTERNAL" in answer.text
    assert "1234" not in answer.text
    [record] = caplog.records
    assert record.exc_info
    [reference] = (word for word in record.getMessage().split() if len(word) == 16)
    assert reference in answer.text


async def test_a_client_that_has_gone_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def abandoned(scope: Scope, receive: Receive, send: Send) -> None:
        raise ClientDisconnect

    sent = await run(MaskedFailures(abandoned), {"type": "http", "path": "/"})

    assert sent == []
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


async def test_a_websocket_that_fails_is_closed_with_an_id() -> None:
    [closed] = await run(MaskedFailures(break_down), {"type": "websocket", "path": "/graphql"})

    assert (closed["type"], closed["code"]) == ("websocket.close", 1011)
    assert "1234" not in closed["reason"]


async def test_what_fails_halfway_sends_nothing_after_it() -> None:
    async def halfway(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError

    sent = await run(MaskedFailures(halfway), {"type": "http", "path": "/"})

    assert [message["type"] for message in sent] == ["http.response.start"]


@pytest.mark.parametrize(("size", "status"), [(10, HTTPStatus.OK), (11, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)])
async def test_a_limit_is_kept_to_the_byte(size: int, status: HTTPStatus) -> None:
    async with client(BodyLimit(count, maximum=10)) as limited:
        answer = await limited.post("/", content=b"x" * size)

    assert answer.status_code == status


async def test_of_an_endless_body_only_so_much_is_read() -> None:
    read = 0

    async def endless() -> Message:
        nonlocal read
        read += 1 << 20
        return {"type": "http.request", "body": b"x" * (1 << 20), "more_body": True}

    sent = await run(BodyLimit(count, maximum=10), {"type": "http", "path": "/", "headers": []}, endless)

    assert sent[0]["status"] == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert read <= 32 << 20


async def test_who_waits_to_be_let_on_is_refused_before_sending_anything() -> None:
    async def nothing() -> Message:
        raise AssertionError("Nothing may be asked for.")

    headers = [(b"content-length", b"11"), (b"expect", b"100-continue")]

    sent = await run(BodyLimit(count, maximum=10), {"type": "http", "path": "/", "headers": headers}, nothing)

    assert sent[0]["status"] == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


@pytest.mark.parametrize("server", [None, ("127.0.0.1", 8000), ("::1", 8000), ("/run/app.sock", None)])
async def test_what_comes_from_the_own_machine_is_answered(server: tuple[str, int | None] | None) -> None:
    sent = await run(
        OwnMachine(count), {"type": "http", "path": "/", "server": server, "method": "GET", "headers": []}, empty
    )

    assert sent[0]["status"] == HTTPStatus.OK


@pytest.mark.parametrize("server", [("192.0.2.1", 8000), ("2001:db8::1", 8000), ("0.0.0.0", 8000)])
async def test_what_comes_over_a_network_is_refused_where_nobody_is_asked(server: tuple[str, int]) -> None:
    sent = await run(OwnMachine(count), {"type": "http", "path": "/", "server": server, "headers": []})
    [closed] = await run(OwnMachine(count), {"type": "websocket", "path": "/graphql", "server": server, "headers": []})

    assert sent[0]["status"] == HTTPStatus.FORBIDDEN
    assert b"GQL_APP_KEYS_FILE" in sent[1]["body"]
    assert closed["type"] == "websocket.close"


@pytest.mark.parametrize(
    ("settings", "name", "status"),
    [
        (Settings(), "workflows.example", HTTPStatus.MISDIRECTED_REQUEST),
        (Settings(allowed_hosts=("Workflows.Example",)), "workflows.example:443", HTTPStatus.OK),
        (Settings(allowed_hosts=("workflows.example",)), "evil.example", HTTPStatus.MISDIRECTED_REQUEST),
        (Settings(host="0.0.0.0", insecure=True), "whatever.example", HTTPStatus.OK),
        (
            Settings(host="0.0.0.0", insecure=True, allowed_hosts=("a.example",)),
            "b.example",
            HTTPStatus.MISDIRECTED_REQUEST,
        ),
        (Settings(host="0.0.0.0", insecure=True, allowed_hosts=("a.example",)), "a.example", HTTPStatus.OK),
    ],
)
async def test_a_service_answers_to_its_names_alone(settings: Settings, name: str, status: HTTPStatus) -> None:
    async with client(create_app(settings)) as asking:
        answer = await asking.get("/graphql", headers={"host": name, "accept": "text/html"})

    assert answer.status_code == status, answer.text


async def empty() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def client(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def run(app: ASGIApp, scope: Scope, receive: Receive | None = None) -> list[Message]:
    """Call an application and give what it sent."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def hang_up() -> Message:
        return {"type": "http.disconnect"}

    await app(scope, receive or hang_up, send)
    return sent
