"""What a key or a token lets in, over every transport, and for how long."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import httpx
import msgspec
import pytest

from gql_app.core.access import Scope
from gql_app.core.values import Json
from gql_app.settings import Settings
from gql_app.web.auth.key_writer import change_keys
from tests.support.documents import SUBMIT, WATCH, document
from tests.support.gate import Gate, gated
from tests.support.server import LONGEST_WAIT, RunningServer, live_server
from tests.support.tokens import add_key, bearer

pytestmark = pytest.mark.anyio

HEALTH = "{ health { status } }"
LIST = "{ workflows { nodes { id } } }"
BOTH = "{ health { status } tools { name } }"
EVENTS = {"accept": "text/event-stream"}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def server(path: Path) -> Iterator[RunningServer]:
    settings = Settings(shutdown_grace_seconds=0, keys_file=str(path))
    with Gate() as gate, live_server(settings, tools=[gate.tool]) as running:
        yield running
        gate.open()


def post(server: RunningServer, query: str, token: str | None, **variables: Json) -> httpx.Response:
    with server.client(headers=bearer(token) if token else {}) as client:
        return client.post("/graphql", json={"query": query, "variables": variables})


def code(answer: httpx.Response) -> str:
    [error] = answer.json()["errors"]
    found: str = error["extensions"]["code"]
    return found


@pytest.mark.parametrize("where", ["/health", "/ready"])
def test_everybody_may_ask_how_the_service_is(server: RunningServer, where: str) -> None:
    with server.client() as client:
        assert client.get(where).status_code == HTTPStatus.OK
    assert post(server, HEALTH, None).json() == {"data": {"health": {"status": "OK"}}}


@pytest.mark.parametrize(
    "query", [LIST, SUBMIT, WATCH, "{ __schema { types { name } } }", "{ health { status } tools { name } }"]
)
def test_who_brings_nothing_is_asked_for_a_token(server: RunningServer, query: str) -> None:
    answer = post(server, query, None, spec=document(), id="x")

    assert (answer.status_code, code(answer)) == (HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"] == 'Bearer realm="gql_app"'


def test_who_brings_a_wrong_token_is_told_so_even_where_none_is_needed(server: RunningServer) -> None:
    for query in (HEALTH, LIST):
        answer = post(server, query, "wrong-token")

        assert (answer.status_code, code(answer)) == (HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED")
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert "wrong-token" not in answer.text + str(answer.headers)


def test_who_may_read_may_not_write(server: RunningServer, path: Path) -> None:
    token = add_key(path, scopes=(Scope.READ,))

    read, written = post(server, LIST, token), post(server, SUBMIT, token, spec=document())
    with server.client(headers=bearer(token)) as client:
        by_rest, metrics = client.post("/workflows/", json=document()), client.get("/metrics")

    assert "data" in read.json()
    assert (written.status_code, code(written)) == (HTTPStatus.FORBIDDEN, "FORBIDDEN")
    assert [answer.status_code for answer in (by_rest, metrics)] == [HTTPStatus.FORBIDDEN] * 2
    assert "workflows:write" in by_rest.json()["detail"]


def test_who_may_write_may_not_read(server: RunningServer, path: Path) -> None:
    token = add_key(path, scopes=(Scope.WRITE,))

    assert post(server, SUBMIT, token, spec=document()).json()["data"]["submitWorkflow"]["workflow"]
    assert code(post(server, LIST, token)) == "FORBIDDEN"


def test_an_administrator_may_do_everything(server: RunningServer, path: Path) -> None:
    token = add_key(path, scopes=(Scope.ADMIN,))

    with server.client(headers=bearer(token)) as client:
        assert client.get("/metrics").status_code == HTTPStatus.OK
        assert client.post("/workflows/", json=document()).status_code == HTTPStatus.CREATED


@pytest.mark.parametrize("where", ["payload", "header"])
async def test_a_websocket_is_let_in_by_payload_or_header(server: RunningServer, path: Path, where: str) -> None:
    token = add_key(path)
    headers, payload = (bearer(token), None) if where == "header" else (None, {"authorization": f"Bearer {token}"})

    async with server.socket(introduced=False, additional_headers=headers) as socket:
        await socket.send(type="connection_init", payload=payload)
        assert (await socket.receive())["type"] == "connection_ack"
        results = [result async for result in socket.results(LIST)]

    assert len(results) == 1


@pytest.mark.parametrize("payload", [{"token": "wrong"}, {"token": 1}, {"authorization": "Basic x"}])
async def test_a_websocket_with_a_wrong_token_is_closed(server: RunningServer, payload: Json) -> None:
    async with server.socket(introduced=False) as socket:
        await socket.send(type="connection_init", payload=payload)
        closed, reason = await socket.closed()

    assert closed == 4403
    assert "wrong" not in reason


async def test_a_websocket_without_a_token_may_ask_for_the_health_alone(server: RunningServer) -> None:
    async with server.socket() as socket:
        assert [result async for result in socket.results(HEALTH)] == [{"health": {"status": "OK"}}]
        await socket.subscribe(WATCH, {"id": "x"}, id="2")
        refused = await socket.receive()

    assert refused["type"] == "error"
    assert refused["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"


def revoke_all(path: Path) -> None:
    change_keys(path, lambda keys: [])


def expire_all(path: Path) -> None:
    over = datetime.now(UTC) - timedelta(seconds=1)
    change_keys(path, lambda keys: [msgspec.structs.replace(key, expires_at=over) for key in keys])


async def end_of_stream(server: RunningServer, token: str, run_id: str, begun: asyncio.Event) -> str:
    """Watch a run by server-sent events until the server ends it, and give the last of what it told."""
    body = {"query": WATCH, "variables": {"id": run_id}}
    last = ""
    async with (
        httpx.AsyncClient(base_url=server.url, headers={**bearer(token), **EVENTS}, trust_env=False) as client,
        client.stream("POST", "/graphql", json=body, timeout=LONGEST_WAIT) as answer,
    ):
        async for line in answer.aiter_lines():
            begun.set()
            last = line or last
            if "errors" in line:
                last = line
                break
    return last


async def test_a_key_that_is_revoked_ends_what_it_opened_and_opens_nothing_more(
    server: RunningServer, path: Path
) -> None:
    token = add_key(path, "lost")
    run_id = post(server, SUBMIT, token, spec=document(gated())).json()["data"]["submitWorkflow"]["workflow"]["id"]
    begun = asyncio.Event()
    async with server.socket(introduced=False) as socket:
        await socket.send(type="connection_init", payload={"token": token})
        await socket.receive()
        await socket.subscribe(WATCH, {"id": run_id})
        await socket.receive()
        stream = asyncio.create_task(end_of_stream(server, token, run_id, begun))
        await begun.wait()

        revoke_all(path)
        closed, reason = await socket.closed()
        told = await stream

    assert (closed, reason) == (4403, "Forbidden: The API key has been revoked.")
    assert "The API key has been revoked." in told
    assert post(server, LIST, token).status_code == HTTPStatus.UNAUTHORIZED


async def test_a_key_that_expires_ends_its_websockets(server: RunningServer, path: Path) -> None:
    token = add_key(path)
    async with server.socket(introduced=False) as socket:
        await socket.send(type="connection_init", payload={"token": token})
        assert (await socket.receive())["type"] == "connection_ack"

        expire_all(path)
        closed, reason = await socket.closed()

    assert (closed, reason) == (4403, "Forbidden: The API key has expired.")


def test_a_file_of_keys_that_breaks_is_told_and_changes_nothing(server: RunningServer, path: Path) -> None:
    token, kept = add_key(path), path.read_bytes()
    assert "data" in post(server, LIST, token).json()

    path.write_bytes(b"broken")
    broken, listed = post(server, HEALTH, None), post(server, LIST, token)
    path.write_bytes(kept)

    assert broken.json()["data"]["health"]["status"] == "DEGRADED"
    assert "data" in listed.json()
    assert post(server, HEALTH, None).json()["data"]["health"]["status"] == "OK"
