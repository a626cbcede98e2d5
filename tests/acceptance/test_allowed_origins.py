"""Pages of other origins that the settings let in."""

from collections.abc import Iterator
from http import HTTPStatus

import pytest
from pydantic import ValidationError
from websockets.exceptions import InvalidStatus

from gql_app.settings import Settings
from tests.support.server import RunningServer, live_server

pytestmark = pytest.mark.anyio

FRONTEND = "http://localhost:5173"
STRANGER = "http://evil.example"
HEADERS = "authorization,content-type,idempotency-key,last-event-id"
HEALTH = "{ health { status } }"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with live_server(Settings(allowed_origins=(FRONTEND,), shutdown_grace_seconds=0)) as running:
        yield running


async def test_a_page_of_an_allowed_origin_may_open_a_websocket(server: RunningServer) -> None:
    async with server.socket(origin=FRONTEND) as socket:
        results = [result async for result in socket.results(HEALTH)]

    assert results == [{"health": {"status": "OK"}}]


async def test_any_other_page_is_still_refused(server: RunningServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with server.socket(origin=STRANGER):
            pass

    assert refused.value.response.status_code == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_browser_learns_that_the_allowed_page_may_send_json_and_a_token(
    server: RunningServer, method: str
) -> None:
    asks = {"access-control-request-method": method, "access-control-request-headers": HEADERS}

    with server.client() as client:
        allowed = client.options("/graphql", headers={"origin": FRONTEND, **asks})
        refused = client.options("/graphql", headers={"origin": STRANGER, **asks})

    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (HTTPStatus.OK, FRONTEND)
    assert refused.status_code == HTTPStatus.BAD_REQUEST
    assert "access-control-allow-origin" not in refused.headers


async def test_the_allowed_page_may_read_answers_and_refusals(server: RunningServer) -> None:
    with server.client() as client:
        answer = client.post("/graphql", json={"query": HEALTH}, headers={"origin": FRONTEND})
        refusal = client.post("/graphql", json=1, headers={"origin": FRONTEND})

    assert (answer.status_code, refusal.status_code) == (HTTPStatus.OK, HTTPStatus.BAD_REQUEST)
    assert "www-authenticate" in answer.headers["access-control-expose-headers"]
    assert {reply.headers["access-control-allow-origin"] for reply in (answer, refusal)} == {FRONTEND}


async def test_without_the_setting_no_page_may_read_answers() -> None:
    with live_server() as server, server.client() as client:
        answer = client.post("/graphql", json={"query": HEALTH}, headers={"origin": FRONTEND})

    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_the_environment_lists_origins_and_tools_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_APP_ALLOWED_ORIGINS", "http://LOCALHOST:5173, https://app.example")
    monkeypatch.setenv("GQL_APP_TOOLS", "mine,yours")

    settings = Settings()

    assert settings.allowed_origins == (FRONTEND, "https://app.example")
    assert settings.tools == ("mine", "yours")


@pytest.mark.parametrize("origin", ["*", "null", "localhost", "http://localhost/page", "ftp://localhost", ""])
async def test_what_is_no_origin_is_refused_by_name(origin: str) -> None:
    with pytest.raises(ValidationError, match="not an origin"):
        Settings(allowed_origins=(origin,))
