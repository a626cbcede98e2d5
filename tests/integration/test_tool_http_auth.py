"""Who `http.request` says it is, and to whom."""

import json
from base64 import b64encode

import pytest

from gql_app.bootstrap import application
from gql_app.core.codec import encode_events
from gql_app.core.errors import InvalidInputError
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.run import RunStatus
from gql_app.core.values import Json
from gql_app.settings import Settings
from gql_app.tools.http import HttpRequest
from tests.support.documents import document
from tests.support.http_answers import Server, answer, served
from tests.support.http_calls import ask, failure, opened

SECRET = "correct-horse-battery"
BASIC = b64encode(f"ada:{SECRET}".encode()).decode()
WAYS = pytest.mark.parametrize(
    ("auth", "name", "value"),
    [
        ({"basic": {"username": "ada", "password": SECRET}}, "authorization", f"Basic {BASIC}"),
        ({"basic": {"username": "", "password": "ü"}}, "authorization", "Basic OsO8"),
        ({"bearer": SECRET}, "authorization", f"Bearer {SECRET}"),
        ({"apiKey": {"header": "X-Api-Key", "value": SECRET}}, "x-api-key", SECRET),
    ],
    ids=["basic", "unicode", "bearer", "key"],
)


@pytest.mark.anyio
@WAYS
async def test_the_server_is_told_who_asks(auth: Json, name: str, value: str) -> None:
    async with served(page=answer(302, location="/there"), there=answer()) as server, opened() as tool:
        await ask(tool, server.url("/page"), auth=auth, headers={"X-Other": "o"})

    assert [headers[name] for _, headers, _ in server.asked] == [value] * 2


@pytest.mark.anyio
@WAYS
async def test_another_server_is_not_told(auth: Json, name: str, value: str) -> None:
    async with served(page=answer()) as other, served() as server, opened() as tool:
        server.answers["/page"] = answer(307, location=other.url("/page"))
        await ask(tool, server.url("/page"), auth=auth)

    assert server.asked[0][1][name] == value
    assert name not in other.asked[0][1]
    assert SECRET not in str(other.asked)


@pytest.mark.anyio
@WAYS
async def test_another_server_cannot_send_it_back_either(auth: Json, name: str, value: str) -> None:
    # It would choose what is done in the caller's name.
    async with served() as other, served(there=answer()) as server, opened() as tool:
        server.answers["/page"] = answer(302, location=other.url("/back"))
        other.answers["/back"] = answer(302, location=server.url("/there"))
        await ask(tool, server.url("/page"), auth=auth)

    assert server.asked[0][1][name] == value
    assert name not in server.asked[1][1]


@pytest.mark.anyio
async def test_another_port_of_the_same_host_is_another_server() -> None:
    async with served(page=answer()) as other, served() as server, opened() as tool:
        server.answers["/page"] = answer(302, location=f"//127.0.0.1:{other.port}/page")
        await ask(tool, server.url("/page"), auth={"bearer": SECRET})

    assert "authorization" not in other.asked[0][1]


@pytest.mark.anyio
@WAYS
async def test_no_error_shows_it(auth: Json, name: str, value: str) -> None:
    async with served(page=answer(401), loop=answer(302, location="/loop")) as server, opened() as tool:
        errors = [await failure(tool, server.url(path), auth=auth) for path in ("/page", "/loop", "/nothing")]

    assert [error.type for error in errors] == ["HttpStatusError", "TooManyRedirects", "HttpConnectionError"]
    assert not any(SECRET in str(error) or BASIC in str(error) for error in errors)
    assert SECRET not in repr(tool.parse({"url": "http://h", "auth": auth}))


@pytest.mark.parametrize(
    ("auth", "reason"),
    [
        ({}, "give one of `basic`, `bearer` and `apiKey`"),
        ({"bearer": SECRET, "basic": {"username": "a", "password": "b"}}, "give one of `basic`, `bearer` and `apiKey`"),
        ({"bearer": None}, "give one of `basic`, `bearer` and `apiKey`"),
        (SECRET, "must be an object"),
        ({"basic": SECRET}, "`auth.basic`: Value error, this must be an object"),
        ({"basic": {"username": "a:b", "password": SECRET}}, "the name of a user may hold no colon"),
        ({"basic": {"username": "a", "password": f"{SECRET}\r\nX-Admin: 1"}}, "this may hold no control characters"),
        ({"basic": {"username": "a"}}, "`auth.basic.password` is missing"),
        ({"basic": {"username": "a", "password": 12345678}}, "this must be a string"),
        ({"bearer": f"{SECRET}\r\nX-Admin: 1"}, "this may hold only ASCII"),
        ({"bearer": f"{SECRET}\n"}, "this may hold only ASCII"),
        ({"bearer": f"{SECRET}ü"}, "this may hold only ASCII"),
        ({"bearer": ""}, "at least 1 character"),
        ({"bearer": 12345678}, "this must be a string"),
        ({"apiKey": {"header": "X-Key: a\r\nX-Admin", "value": SECRET}}, "is not the name of a header"),
        ({"apiKey": {"header": "Transfer-Encoding", "value": SECRET}}, "is set by the tool itself"),
        ({"apiKey": {"header": "X-Key", "value": f"{SECRET}\n"}}, "this may hold only ASCII"),
        ({"apiKey": {"header": "X-Key", "value": [SECRET]}}, "this must be a string"),
        ({"token": SECRET}, "`auth.token`"),
    ],
)
def test_what_says_nothing_or_smuggles_something_is_refused_and_not_shown(auth: Json, reason: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        HttpRequest(Settings()).parse({"url": "http://h", "auth": auth})

    assert reason in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "12345678" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"url": "http://h", "headers": {"Authorization": "x"}}, "`auth` and the header 'authorization' exclude"),
        ({"url": "http://u:p@h"}, "`auth` and a user in the URL exclude each other"),
    ],
)
def test_there_is_one_way_to_say_it(options: dict[str, Json], reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        HttpRequest(Settings()).parse({**options, "auth": {"bearer": SECRET}})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("auth", "sent"),
    [
        ({"basic": {"username": "ada", "password": "${ secrets.TOKEN }"}}, f"Basic {BASIC}"),
        ({"bearer": "${ secrets.TOKEN }"}, f"Bearer {SECRET}"),
    ],
    ids=["basic", "bearer"],
)
@pytest.mark.parametrize("stream", [None, "text"])
async def test_a_secret_that_the_server_shows_back_stands_nowhere(
    auth: Json, sent: str, stream: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GQL_APP_SECRET_TOKEN", SECRET)
    body = json.dumps({"you sent": sent}).encode()
    page = answer(body=body, content_type="application/json", x_echo=sent)
    async with served(page=page) as server, application(Settings()) as opened:
        node = {"url": server.url("/page"), "auth": auth, "stream": stream}
        run = await opened.service.submit(
            DEFAULT_NAMESPACE, document({"id": "a", "tool": "http.request", "input": node})
        )
        async for _ in opened.service.watch(DEFAULT_NAMESPACE, run.run_id, after=0):
            pass
        run = await opened.service.get(DEFAULT_NAMESPACE, run.run_id)
        log = encode_events(await opened.service.events(DEFAULT_NAMESPACE, run.run_id, limit=1_000)).decode()
        output = json.dumps(await opened.service.value(run, run.nodes[0].output))

    assert run.status is RunStatus.COMPLETED
    assert sent_to(server) == [sent]
    for text in (log, output):
        assert "[secret TOKEN]" in text
        assert SECRET not in text
        assert BASIC not in text
        assert BASIC[8:-4] not in text


def sent_to(server: Server) -> list[str]:
    return [headers["authorization"] for _, headers, _ in server.asked]
