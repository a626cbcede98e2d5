"""Who may do what over plain HTTP, and the headers of every answer."""

from collections.abc import Mapping
from http import HTTPStatus

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route

from gql_app.core.access import Identity, Scope
from gql_app.core.values import Json
from gql_app.web.gate import ForbiddenError, Gate, UnauthenticatedError, refuse_caller, require
from gql_app.web.headers import SecurityHeaders

pytestmark = pytest.mark.anyio


class Doorkeeper(Gate):
    """Takes the token for the one scope that its bearer has."""

    async def admit(self, connection: HTTPConnection, payload: Mapping[str, Json] | None = None) -> Identity:
        match connection.headers.get("authorization"):
            case None:
                return Identity(name="nobody")
            case "wrong":
                raise UnauthenticatedError('The "token" is no good.')
            case scope:
                return Identity(name="somebody", scopes=frozenset({Scope(scope)}))


async def write(request: Request) -> Response:
    request.state.gate = Doorkeeper()
    identity = await require(request, Scope.WRITE)
    return Response(identity.name, headers={"cache-control": "max-age=5"})


def client() -> httpx.AsyncClient:
    app = Starlette(
        routes=[Route("/", write)],
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={UnauthenticatedError: refuse_caller, ForbiddenError: refuse_caller},
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.mark.parametrize("scope", [Scope.WRITE, Scope.ADMIN])
async def test_who_has_the_scope_or_is_an_administrator_may(scope: Scope) -> None:
    async with client() as asking:
        answer = await asking.get("/", headers={"authorization": scope})

    assert (answer.status_code, answer.text) == (HTTPStatus.OK, "somebody")


async def test_who_lacks_the_scope_is_told_which() -> None:
    async with client() as asking:
        answer = await asking.get("/", headers={"authorization": Scope.READ})

    assert (answer.status_code, answer.json()["code"]) == (HTTPStatus.FORBIDDEN, "FORBIDDEN")
    assert "workflows:write" in answer.json()["detail"]
    assert answer.headers["www-authenticate"].endswith('scope="workflows:write"')


async def test_who_brings_no_token_is_asked_for_one() -> None:
    async with client() as asking:
        answer = await asking.get("/")

    assert (answer.status_code, answer.json()["code"]) == (HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"] == 'Bearer realm="gql_app"'


async def test_who_brings_a_wrong_token_is_told_what_is_wrong_with_it() -> None:
    async with client() as asking:
        answer = await asking.get("/", headers={"authorization": "wrong"})

    assert answer.status_code == HTTPStatus.UNAUTHORIZED
    assert answer.json()["detail"] == 'The "token" is no good.'
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="gql_app", error="invalid_token", error_description="The \'token\' is no good."'
    )


async def test_every_answer_has_the_headers_that_it_does_not_set_itself() -> None:
    async with client() as asking:
        answer, refusal = await asking.get("/", headers={"authorization": "admin"}), await asking.get("/nowhere")

    assert (answer.headers["cache-control"], refusal.headers["cache-control"]) == ("max-age=5", "no-store")
    for reply in (answer, refusal):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert reply.headers["x-frame-options"] == "DENY"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.headers["cross-origin-resource-policy"] == "same-origin"
