"""The tool `http.request` against a real server."""

import asyncio
import errno
import gzip
import json
import os
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from gql_app.core.errors import InvalidInputError
from gql_app.core.values import Json
from gql_app.settings import Settings
from gql_app.tools.http import HttpRequest
from gql_app.tools.http_exchange import retry_after
from tests.support.http_answers import answer, served
from tests.support.http_calls import ask, failure, opened
from tests.support.tools import context_of

SECRET = "s3cr3t"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.anyio
async def test_json_is_parsed_and_headers_have_lower_case_names() -> None:
    page = answer(body=b'{"a": [1, null]}', content_type="application/json", X_Other="b")

    async with served(page=page) as server, opened() as tool:
        result = await ask(tool, server.url("/page"))

    assert result["status"] == 200
    assert result["body"] == {"a": [1, None]}
    assert result["headers"]["x-other"] == "b"
    assert result["url"] == server.url("/page")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("content_type", "data", "body"),
    [
        ("application/problem+json; charset=utf-8", b"[1]", [1]),
        ("application/json", b"", None),
        ("text/plain", "ü".encode(), "ü"),
        ("text/plain; charset=iso-8859-1", b"\xfc", "ü"),
        ("text/plain; charset=idna", "ü".encode(), "ü"),
        ("text/plain; charset=nonsense", "ü".encode(), "ü"),
        ("text/html", b"{}", "{}"),
        ("application/octet-stream", b"\xff\x00", "\ufffd\x00"),
    ],
)
async def test_the_content_type_says_what_the_body_is(content_type: str, data: bytes, body: Json) -> None:
    async with served(page=answer(body=data, content_type=content_type)) as server, opened() as tool:
        result = await ask(tool, server.url("/page"))

    assert result["body"] == body


@pytest.mark.anyio
async def test_method_headers_query_and_json_are_sent() -> None:
    async with served(page=answer()) as server, opened() as tool:
        await ask(
            tool,
            server.url("/page?a=1"),
            method="PUT",
            headers={"X-Key": SECRET},
            query={"b": ["x", 2], "c": True},
            json={"n": None},
        )

    line, headers, body = server.asked[0]
    assert line == "PUT /page?a=1&b=x&b=2&c=true"
    assert headers["x-key"] == SECRET
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {"n": None}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "content_type", "body"),
    [
        ({"text": "ü"}, "text/plain; charset=utf-8", "ü".encode()),
        ({"text": "<a/>", "headers": {"Content-Type": "application/xml"}}, "application/xml", b"<a/>"),
        ({"json": None}, "application/json", b"null"),
        ({}, None, b""),
    ],
)
async def test_a_body_is_sent_with_its_content_type(options: dict[str, Json], content_type: str, body: bytes) -> None:
    async with served(page=answer()) as server, opened() as tool:
        await ask(tool, server.url("/page"), method="POST", **options)

    assert server.asked[0][1].get("content-type") == content_type
    assert server.asked[0][2] == body


@pytest.mark.anyio
@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
async def test_a_status_that_may_pass_is_retryable(status: int) -> None:
    async with served(page=answer(status)) as server, opened() as tool:
        error = await failure(tool, server.url("/page"))

    assert (error.type, error.retryable, error.retry_after) == ("HttpStatusError", True, None)
    assert str(error).startswith(f"GET {server.url('/page')} answered {status} Status.")


@pytest.mark.anyio
@pytest.mark.parametrize("status", [304, 400, 401, 404, 409, 422])
async def test_any_other_unexpected_status_is_final(status: int) -> None:
    async with served(page=answer(status, retry_after="5")) as server, opened() as tool:
        error = await failure(tool, server.url("/page"))

    assert (error.type, error.retryable, error.retry_after) == ("HttpStatusError", False, None)
    assert f"add {status} to `expectedStatuses`" in str(error)


@pytest.mark.anyio
async def test_retry_after_replaces_the_delay() -> None:
    async with served(page=answer(503, retry_after="7")) as server, opened() as tool:
        error = await failure(tool, server.url("/page"))

    assert error.retry_after == 7.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("9" * 400, 30 * 86_400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 30 * 86_400.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("٣", None),
        ("1.5", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after(text, NOW) == seconds


@pytest.mark.anyio
async def test_expected_statuses_are_a_success_and_no_others() -> None:
    async with served(page=answer(404), other=answer(200)) as server, opened() as tool:
        found = await ask(tool, server.url("/page"), expectedStatuses=[200, 404])
        error = await failure(tool, server.url("/other"), expectedStatuses=[404])

    assert found["status"] == 404
    assert not error.retryable


@pytest.mark.anyio
async def test_a_redirect_is_followed() -> None:
    page = answer(302, location="/target?x=1")

    async with served(page=page, target=answer(body=b"there")) as server, opened() as tool:
        result = await ask(tool, server.url("/page"), headers={"X-Key": SECRET})

    assert result["body"] == "there"
    assert result["url"] == server.url("/target?x=1")
    assert server.asked[1][1]["x-key"] == SECRET


@pytest.mark.anyio
async def test_another_server_is_not_sent_the_headers() -> None:
    async with served(target=answer(body=b"there")) as other:
        page = answer(307, location=other.url("/target"))
        async with served(page=page) as server, opened() as tool:
            await ask(tool, server.url("/page"), headers={"X-Key": SECRET, "Accept": "text/plain"})

    assert server.asked[0][1]["x-key"] == SECRET
    assert "x-key" not in other.asked[0][1]
    assert other.asked[0][1]["accept"] == "text/plain"


@pytest.mark.anyio
async def test_another_server_is_called_by_its_own_name() -> None:
    async with served(target=answer()) as other, served() as server, opened() as tool:
        server.answers["/page"] = answer(302, location=other.url("/target"))
        await ask(tool, server.url("/page"), headers={"Host": "inside.example"})

    assert server.asked[0][1]["host"] == "inside.example"
    assert other.asked[0][1]["host"] == f"127.0.0.1:{other.port}"


@pytest.mark.anyio
async def test_redirects_end_after_five() -> None:
    async with served(page=answer(302, location="/page")) as server, opened() as tool:
        error = await failure(tool, server.url("/page"))

    assert (error.type, error.retryable) == ("TooManyRedirects", False)
    assert len(server.asked) == 6


@pytest.mark.anyio
async def test_a_redirect_can_be_left_alone() -> None:
    async with served(page=answer(302, location="/target")) as server, opened() as tool:
        error = await failure(tool, server.url("/page"), followRedirects=False)
        found = await ask(tool, server.url("/page"), expectedStatuses=[302])

    assert "answered 302" in str(error)
    assert found["headers"]["location"] == "/target"
    assert len(server.asked) == 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    "location", ["ftp://127.0.0.1/x", "http://[broken", "file:///etc/passwd", "http://h:99999/", f"http://{'a' * 300}/"]
)
async def test_a_redirect_to_what_is_no_http_url_fails(location: str) -> None:
    async with served(page=answer(302, location=location)) as server, opened() as tool:
        error = await failure(tool, server.url("/page"))

    assert error.type in ("InvalidInput", "HttpConnectionError")
    assert len(server.asked) == 1


@pytest.mark.anyio
async def test_a_body_of_exactly_the_limit_is_read() -> None:
    async with served(page=answer(body=b"x" * 2_000)) as server, opened(maximum_response_bytes=2_000) as tool:
        assert len((await ask(tool, server.url("/page")))["body"]) == 2_000


@pytest.mark.anyio
async def test_a_bigger_body_is_refused_before_it_has_all_come() -> None:
    # The rest of what is announced never comes: whoever waits for it waits for ever.
    endless = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b"x" * 5_000

    async with served(page=endless) as server, opened(maximum_response_bytes=2_000) as tool:
        error = await failure(tool, server.url("/page"))

    assert (error.type, error.retryable) == ("ResponseTooLarge", False)
    assert "2000 bytes" in str(error)


@pytest.mark.anyio
async def test_a_compressed_body_is_decompressed_up_to_the_limit() -> None:
    small = answer(body=gzip.compress(b"x" * 2_000, mtime=0), content_encoding="gzip")
    bomb = answer(body=gzip.compress(b"x" * 10_000_000, mtime=0), content_encoding="gzip")

    async with served(small=small, bomb=bomb) as server, opened(maximum_response_bytes=2_000) as tool:
        result = await ask(tool, server.url("/small"))
        error = await failure(tool, server.url("/bomb"))

    assert result["body"] == "x" * 2_000
    assert error.type == "ResponseTooLarge"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("encoding", "data", "retryable"),
    [("gzip", b"not compressed", True), ("gzip", gzip.compress(b"x" * 100, mtime=0)[:-8], True), ("br", b"x", False)],
)
async def test_a_body_that_cannot_be_decompressed_fails(encoding: str, data: bytes, retryable: bool) -> None:
    async with served(page=answer(body=data, content_encoding=encoding)) as server, opened() as tool:
        error = await failure(tool, server.url("/page"))

    assert (error.type, error.retryable) == ("InvalidResponseBody", retryable)


@pytest.mark.anyio
@pytest.mark.parametrize("data", [b"<html>", b"{", b"NaN", b"\xff"])
async def test_json_that_is_none_fails(data: bytes) -> None:
    async with served(page=answer(body=data, content_type="application/json")) as server, opened() as tool:
        error = await failure(tool, server.url("/page"))

    assert (error.type, error.retryable) == ("InvalidResponseBody", True)


@pytest.mark.anyio
async def test_a_head_request_has_no_body() -> None:
    page = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\ncontent-type: application/json\r\n\r\n"

    async with served(page=page) as server, opened() as tool:
        result = await ask(tool, server.url("/page"), method="HEAD")

    assert (result["body"], result["headers"]["content-length"]) == (None, "99999999")


@pytest.mark.anyio
async def test_a_refused_connection_is_retryable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/page"
        async with opened() as tool:
            error = await failure(tool, url)

    assert (error.type, error.retryable) == ("HttpConnectionError", True)
    assert str(error) == f"The connection with {url} failed: {os.strerror(errno.ECONNREFUSED)}."


@pytest.mark.anyio
async def test_a_connection_that_breaks_is_retryable() -> None:
    cut = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"

    async with served(cut=cut) as server, opened() as tool:
        before = await failure(tool, server.url("/nothing"))
        within = await failure(tool, server.url("/cut"))

    assert (before.type, before.retryable) == ("HttpConnectionError", True)
    assert (within.type, within.retryable) == ("HttpConnectionError", True)


@pytest.mark.anyio
async def test_a_server_that_cannot_be_reached_in_time_is_retryable() -> None:
    class Unreachable(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectTimeout("", request=request)

    tool = HttpRequest(Settings(), transport=Unreachable())

    error = await failure(tool, "http://127.0.0.1/page")

    assert (error.type, error.retryable) == ("HttpTimeout", True)


@pytest.mark.anyio
async def test_a_call_that_waits_for_a_silent_server_can_be_stopped() -> None:
    async with served(page=answer()) as server, opened() as tool:
        task = asyncio.create_task(ask(tool, server.url("/silent")))
        await server.silenced.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert (await ask(tool, server.url("/page")))["status"] == 200


@pytest.mark.anyio
async def test_wherever_a_call_is_stopped_its_connection_is_given_back() -> None:
    async with served(page=answer(body=b"x" * 200_000)) as server, opened(maximum_attempts_in_flight=1) as tool:
        for ticks in range(60):
            stopped = asyncio.create_task(ask(tool, server.url("/page"), method="POST", text="x" * 100_000))
            for _ in range(ticks):
                await asyncio.sleep(0)
            stopped.cancel()
            await asyncio.wait([stopped])

            assert (await asyncio.wait_for(ask(tool, server.url("/page")), 30))["status"] == 200


@pytest.mark.anyio
async def test_calls_share_connections_but_no_cookies() -> None:
    page = answer(set_cookie="session=1; Path=/")

    async with served(page=page) as server, opened() as tool:
        await ask(tool, server.url("/page"))
        await ask(tool, server.url("/page"))

    assert server.connections == 1
    assert "cookie" not in server.asked[1][1]


@pytest.mark.anyio
async def test_first_calls_at_once_share_one_pool() -> None:
    async with served(page=answer()) as server, opened() as tool:
        await asyncio.gather(*(ask(tool, server.url("/page")) for _ in range(5)))
        many = server.connections
        for _ in range(5):
            await ask(tool, server.url("/page"))

    assert server.connections == many


@pytest.mark.anyio
async def test_a_closed_tool_opens_again() -> None:
    async with served(page=answer()) as server, opened() as tool:
        await ask(tool, server.url("/page"))
        await tool.aclose()
        await ask(tool, server.url("/page"))

    assert server.connections == 2


@pytest.mark.anyio
async def test_every_piece_of_a_body_is_a_sign_of_life() -> None:
    beats: list[None] = []
    context = context_of(heartbeat=lambda: beats.append(None))

    async with served(page=answer(body=b"x" * 500_000)) as server, opened() as tool:
        await tool.call(tool.parse({"url": server.url("/page")}), context)

    assert len(beats) > 1


@pytest.mark.anyio
async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)

    async with served(page=answer()) as server, opened() as tool:
        assert (await ask(tool, server.url("/page")))["status"] == 200


@pytest.mark.anyio
async def test_no_secret_stands_in_an_error() -> None:
    def with_password(url: str) -> str:
        return url.replace("http://", f"http://user:{SECRET}@") + f"?key={SECRET}"

    async with served(page=answer(500), good=answer()) as server, opened() as tool:
        errors = [
            await failure(tool, with_password(server.url(path)), headers={"X-Key": SECRET})
            for path in ("/page", "/nothing")
        ]
        good = await ask(tool, with_password(server.url("/good")).partition("?")[0])

    assert not any(SECRET in str(error) for error in errors)
    assert SECRET not in json.dumps(good)
    assert server.asked[0][1]["authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"url": "ftp://127.0.0.1/x"}, "a URL begins with http:// or https://"),
        ({"url": "/path"}, "a URL begins with http:// or https://"),
        ({"url": "http:///path"}, "the URL names no host"),
        ({"url": "http://[::1"}, "this is not a URL"),
        ({"url": "http://host:99999/"}, "the URL's port 99999 is not one of 1 to 65535"),
        ({"url": f"http://u:{SECRET}@host:0/"}, "the URL's port 0 is not one of"),
        ({"url": "http://h", "method": "get"}, "`method`: Input should be 'GET'"),
        ({"url": "http://h", "headers": {"bad name": "x"}}, "'bad name' is not the name of a header"),
        (
            {"url": "http://h", "headers": {"X-Key": f"{SECRET}\n"}},
            "the value of the header 'X-Key' may hold only ASCII",
        ),
        ({"url": "http://h", "headers": {"Content-Length": "5"}}, "'Content-Length' is set by the tool itself"),
        ({"url": "http://h", "headers": {"X": 5}}, "`headers.X`: Input should be a valid string"),
        ({"url": "http://h", "json": 1, "text": "x"}, "`json` and `text` exclude each other"),
        ({"url": "http://h", "expectedStatuses": []}, "`expectedStatuses`"),
        ({"url": "http://h", "expectedStatuses": [99]}, "`expectedStatuses.0`"),
        ({"url": "http://h", "follow_redirects": False}, "'follow_redirects'"),
        ({}, "`url` is missing"),
    ],
)
def test_an_input_that_makes_no_request_is_refused(options: dict[str, Json], reason: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        HttpRequest(Settings()).parse(options)

    assert reason in str(caught.value)
    assert SECRET not in str(caught.value)
