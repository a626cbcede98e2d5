"""Answers in pages and parts of answers, as `http.request` reads them."""

import json
from pathlib import Path

import pytest

from gql_app.core.errors import InvalidInputError, ToolError
from gql_app.core.values import Json
from gql_app.settings import Settings
from gql_app.tools.http import HttpRequest
from tests.support.certificates import make_certificate
from tests.support.http2_server import Stream, http2_served
from tests.support.http_answers import answer, served
from tests.support.http_calls import Watched, ask, failure, opened

SECRET = "correct-horse-battery"


def page(body: Json, **headers: str) -> bytes:
    return answer(200, json.dumps(body).encode(), content_type="application/json", **headers)


# A part of a body


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("/data/items/1/name", "b"),
        ("/data/items", [{"name": "a"}, {"name": "b"}]),
        ("/a~1b", 1),
        ("/m~0n", 2),
        ("/~01", 3),
        ("/", 4),
        ("/none", None),
        ("", {"data": {"items": [{"name": "a"}, {"name": "b"}]}, "a/b": 1, "m~n": 2, "~1": 3, "": 4, "none": None}),
    ],
)
async def test_a_part_of_the_body_is_selected(pointer: str, found: Json) -> None:
    body = {"data": {"items": [{"name": "a"}, {"name": "b"}]}, "a/b": 1, "m~n": 2, "~1": 3, "": 4, "none": None}
    async with served(page=page(body)) as server, opened() as tool:
        result = await ask(tool, server.url("/page"), select=pointer)

    assert result["body"] == found


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("pointer", "message"),
    [
        ("/rows", 'nothing at `/rows`: it is an object with "data", "total".'),
        ("/data/rows", 'nothing at `/data/rows`: `/data` is an object with "items".'),
        ("/data/items/2", "nothing at `/data/items/2`: `/data/items` is a list of 2."),
        ("/data/items/01", "nothing at `/data/items/01`: `/data/items` is a list of 2."),
        ("/data/items/-", "nothing at `/data/items/-`: `/data/items` is a list of 2."),
        ("/total/x", "nothing at `/total/x`: `/total` is a number."),
    ],
)
async def test_a_place_that_is_not_there_is_told_with_what_is(pointer: str, message: str) -> None:
    body = {"data": {"items": [SECRET, SECRET]}, "total": 2}
    async with served(page=page(body)) as server, opened() as tool:
        error = await failure(tool, server.url("/page"), select=pointer)

    assert (error.type, error.retryable) == ("PointerNotFound", False)
    assert str(error) == f"The answer's body has {message}"


@pytest.mark.anyio
async def test_of_an_object_with_many_fields_some_are_told() -> None:
    body = {f"field-{'x' * 200}-{count}": count for count in range(1_000)}
    async with served(page=page(body)) as server, opened() as tool:
        error = await failure(tool, server.url("/page"), select="/other")

    assert str(error).endswith(" and 990 more.")
    assert len(str(error)) < 1_000


@pytest.mark.anyio
async def test_what_is_selected_is_json_whatever_the_content_type_says() -> None:
    async with (
        served(page=answer(body=b'{"a": 1}', content_type="text/plain"), html=answer(body=b"<html>")) as server,
        opened() as tool,
    ):
        result = await ask(tool, server.url("/page"), select="/a")
        error = await failure(tool, server.url("/html"), select="/a")

    assert result["body"] == 1
    assert error.type == "InvalidResponseBody"
    assert "is not JSON, and does not say it is" in str(error)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("wanted", "body"),
    [("auto", {"a": "ü"}), ("json", {"a": "ü"}), ("text", '{"a": "ü"}'), ("base64", "eyJhIjogIsO8In0=")],
)
async def test_a_body_becomes_what_is_wanted(wanted: str, body: Json) -> None:
    data = '{"a": "ü"}'.encode()
    async with served(page=answer(body=data, content_type="application/json")) as server, opened() as tool:
        result = await ask(tool, server.url("/page"), responseType=wanted)

    assert result["body"] == body


# Pages


@pytest.mark.anyio
async def test_pages_are_followed_by_their_links_and_joined() -> None:
    watched = Watched()
    async with (
        served(
            a=page([1, 2], link='</b?x=1>; rel="next", </z>; rel=last'),
            b=page([3], link="<c>; rel=next"),
            c=page([], link="</a>; rel=first"),
        ) as server,
        opened() as tool,
    ):
        result = await ask(tool, server.url("/a"), watched.context, query={"q": "y"}, pages={"link": "next"})

    assert [line for line, _, _ in server.asked] == ["GET /a?q=y", "GET /b?x=1", "GET /c"]
    assert (result["body"], result["pages"]) == ([1, 2, 3], {"count": 3, "next": None})
    assert result["url"] == server.url("/c")
    assert watched.messages == ["page 1, 2 items so far", "page 2, 3 items so far", "page 3, 3 items so far"]
    assert watched.beats >= 3


@pytest.mark.anyio
async def test_pages_are_followed_by_a_url_in_the_body() -> None:
    async with served(b=page({"rows": [2], "next": None}), c=page({"rows": [3]})) as server, opened() as tool:
        server.answers["/a"] = page({"rows": [1], "next": server.url("/b")})
        result = await ask(tool, server.url("/a"), method="POST", json={"q": 1}, select="/rows", pages={"url": "/next"})
        alone = await ask(tool, server.url("/c"), select="/rows", pages={"url": "/next"})

    assert (result["body"], result["pages"]) == ([1, 2], {"count": 2, "next": None})
    assert [(line, body) for line, _, body in server.asked[:2]] == [
        ("POST /a", b'{"q":1}'),
        ("POST /b", b'{"q":1}'),
    ]
    assert alone["body"] == [3]


@pytest.mark.anyio
@pytest.mark.parametrize("end", [None, "", "missing"])
async def test_pages_are_followed_by_a_cursor(end: str | None) -> None:
    last: Json = {"rows": [3], "meta": {} if end == "missing" else {"cursor": end}}
    async with served() as server, opened() as tool:
        server.answers["/list?limit=1"] = page({"rows": [1], "meta": {"cursor": "a b&c"}})
        server.answers["/list?limit=1&after=a+b%26c"] = page({"rows": [2], "meta": {"cursor": 7}})
        server.answers["/list?limit=1&after=7"] = page(last)
        pages = {"cursor": "/meta/cursor", "parameter": "after"}
        result = await ask(tool, server.url("/list"), query={"limit": 1}, select="/rows", pages=pages)

    assert (result["body"], result["pages"]) == ([1, 2, 3], {"count": 3, "next": None})


@pytest.mark.anyio
async def test_a_cursor_can_go_into_the_json_that_is_sent(tmp_path: Path) -> None:
    asked: list[Json] = []

    async def graphql(stream: Stream) -> None:
        await stream.whole.wait()
        asked.append(json.loads(stream.body))
        after = asked[-1]["variables"].get("after")
        start = 0 if after is None else int(after)
        items = list(range(start, min(start + 2, 5)))
        end = str(start + len(items)) if items else None
        body = {"data": {"list": {"nodes": items, "pageInfo": {"endCursor": end}}}}
        await stream.answer(json.dumps(body).encode(), content_type="application/json")

    certificate = make_certificate(tmp_path)
    async with http2_served(certificate.server("h2"), graphql=graphql) as server, opened(certificate) as tool:
        options: Json = {
            "method": "POST",
            "json": {"query": "…", "variables": {"first": 2}},
            "select": "/data/list/nodes",
            "pages": {"cursor": "/data/list/pageInfo/endCursor", "field": "/variables/after"},
        }
        result = await ask(tool, server.url("/graphql"), **options)
        options["pages"]["maximum"] = 2
        part = await ask(tool, server.url("/graphql"), **options)

    assert (result["body"], result["pages"]) == ([0, 1, 2, 3, 4], {"count": 4, "next": None})
    assert [one["variables"] for one in asked[:2]] == [{"first": 2}, {"first": 2, "after": "2"}]
    assert (part["body"], part["pages"]) == ([0, 1, 2, 3], {"count": 2, "next": "4"})


@pytest.mark.anyio
@pytest.mark.parametrize("field", ["/variables/after", "/variables/list/1", "/x"])
async def test_a_cursor_that_stands_still_in_the_json_is_found_out(field: str) -> None:
    async with served(a=page({"rows": [1], "cursor": "same"})) as server, opened() as tool:
        body = {"variables": {"list": [0, 1]}}
        pages = {"cursor": "/cursor", "field": field}
        error = await failure(tool, server.url("/a"), method="POST", json=body, select="/rows", pages=pages)

    assert error.type == "PageLoop"
    assert len(server.asked) == 2


@pytest.mark.anyio
async def test_a_cursor_that_has_no_place_in_the_json_is_refused() -> None:
    async with served(a=page({"rows": [1], "cursor": "c"})) as server, opened() as tool:
        pages = {"cursor": "/cursor", "field": "/list/5"}
        error = await failure(tool, server.url("/a"), method="POST", json={"list": []}, select="/rows", pages=pages)

    assert error.type == "InvalidInput"
    assert "`pages.field` leads nowhere in `json`: what has no `5` is a list of 0." in str(error)


@pytest.mark.anyio
async def test_no_more_pages_are_read_than_were_asked_for_and_the_answer_tells_the_next() -> None:
    async with (
        served(a=page([1], link="</b>; rel=next"), b=page([2], link="</c?x=2>; rel=next")) as server,
        opened() as tool,
    ):
        result = await ask(tool, server.url("/a"), pages={"link": "next", "maximum": 2})

    assert (result["body"], result["pages"]) == ([1, 2], {"count": 2, "next": server.url("/c?x=2")})
    assert len(server.asked) == 2


@pytest.mark.anyio
async def test_pages_that_go_round_in_a_circle_are_found_out() -> None:
    async with (
        served(a=page([1], link="</b>; rel=next"), b=page([2], link="</a>; rel=next")) as server,
        opened() as tool,
    ):
        error = await failure(tool, server.url("/a"), pages={"link": "next"})

    assert (error.type, error.retryable) == ("PageLoop", False)
    assert str(error).startswith("Page 2 names one as the next that was read already")
    assert len(server.asked) == 2


@pytest.mark.anyio
async def test_a_cursor_that_stands_still_is_found_out() -> None:
    async with served(a=page({"rows": [], "cursor": "same"})) as server, opened() as tool:
        pages = {"cursor": "/cursor", "parameter": "after"}
        error = await failure(tool, server.url("/a"), select="/rows", pages=pages)

    assert error.type == "PageLoop"
    assert len(server.asked) == 2


@pytest.mark.anyio
async def test_the_items_of_all_pages_are_limited_together() -> None:
    async with (
        served(a=page(["x" * 900], link="</b>; rel=next"), b=page(["x" * 900], link="</c>; rel=next")) as server,
        opened(maximum_response_bytes=1_024) as tool,
    ):
        error = await failure(tool, server.url("/a"), pages={"link": "next"})

    assert (error.type, error.retryable) == ("ResponseTooLarge", False)
    assert "The items of 2 pages are over the limit of 1024 bytes" in str(error)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "options", "type", "message"),
    [
        ({"a": 1}, {"pages": {"link": "next"}}, "InvalidResponseBody", 'The body of page 1 is an object with "a", not'),
        ({"a": 1}, {"select": "/a", "pages": {"link": "next"}}, "InvalidResponseBody", "at `/a` of page 1 is a number"),
        ({"a": 1}, {"select": "/b", "pages": {"link": "next"}}, "PointerNotFound", "nothing at `/b`"),
        ([1], {"pages": {"url": "/0"}}, "InvalidResponseBody", "at `/0` of page 1 is a number, not the URL of"),
        (
            [[]],
            {"pages": {"cursor": "/0", "parameter": "c"}},
            "InvalidResponseBody",
            "The cursor at `/0` of page 1 is a list",
        ),
        (
            ["http://[::1"],
            {"pages": {"url": "/0"}},
            "InvalidResponseBody",
            "Page 1 names one as the next that",
        ),
        (["ftp://h/x"], {"pages": {"url": "/0"}}, "InvalidResponseBody", "a URL begins with http:// or https://"),
        (["http://h:99999"], {"pages": {"url": "/0"}}, "InvalidResponseBody", "the URL's port 99999 is not one of"),
    ],
)
async def test_pages_that_make_no_sense_are_refused(body: Json, options: Json, type: str, message: str) -> None:
    async with served(a=page(body)) as server, opened() as tool:
        error = await failure(tool, server.url("/a"), **options)

    assert (error.type, error.retryable) == (type, False)
    assert message in str(error)


@pytest.mark.anyio
async def test_a_page_that_fails_is_named_and_retryable() -> None:
    async with (
        served(a=page([1], link="</b?key=k>; rel=next"), b=answer(503, retry_after="7")) as server,
        opened() as tool,
    ):
        error = await failure(tool, server.url("/a"), pages={"link": "next"})

    assert (error.type, error.retryable, error.retry_after) == ("HttpStatusError", True, 7.0)
    assert str(error).startswith(f"GET {server.url('/b')} answered 503")


@pytest.mark.anyio
async def test_a_page_of_another_server_is_read_without_what_is_private() -> None:
    async with served() as other, served(c=page([3])) as server, opened() as tool:
        server.answers["/a"] = page([1], link=f"<{other.url('/b')}>; rel=next")
        other.answers["/b"] = page([2], link=f"<{server.url('/c')}>; rel=next")
        result = await ask(
            tool,
            server.url("/a"),
            auth={"bearer": SECRET},
            headers={"X-Key": SECRET, "Accept": "text/json"},
            pages={"link": "next"},
        )

    assert result["body"] == [1, 2, 3]
    assert server.asked[0][1]["authorization"] == f"Bearer {SECRET}"
    assert SECRET not in str(other.asked)
    assert SECRET not in str(server.asked[1])
    assert other.asked[0][1]["accept"] == "text/json"


@pytest.mark.anyio
async def test_a_next_page_at_an_address_that_is_not_public_is_not_read() -> None:
    async with served(a=page([1], link="<http://169.254.169.254/latest>; rel=next")) as server, opened() as tool:
        error = await failure(tool, server.url("/a"), pages={"link": "next"})

    assert (error.type, error.retryable) == ("AddressNotAllowed", False)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"pages": {}}, "give one of `link`, `url` and `cursor`"),
        ({"pages": {"link": "next", "url": "/next"}}, "give one of `link`, `url` and `cursor`"),
        ({"pages": {"cursor": "/next"}}, "with `cursor` either `parameter` or `field`"),
        ({"pages": {"link": "next", "parameter": "after"}}, "with `cursor` either `parameter` or `field`"),
        ({"pages": {"cursor": "/c", "parameter": "a", "field": "/a"}}, "with `cursor` either `parameter` or `field`"),
        ({"pages": {"cursor": "/c", "field": "/a"}}, "`pages.field` is a place in `json`, which is missing"),
        ({"pages": {"url": "next"}}, "a JSON Pointer is empty or begins with '/'"),
        ({"pages": {"link": "next", "maximum": 101}}, "less than or equal to 100"),
        ({"pages": {"link": "next", "maximum": 0}}, "greater than or equal to 1"),
        ({"select": "items"}, "a JSON Pointer is empty or begins with '/'"),
        ({"select": "/a~2"}, "'~' stands only in '~0' (~) and '~1' (/)"),
        ({"select": "/a~"}, "'~' stands only in '~0' (~) and '~1' (/)"),
        ({"select": "/a", "responseType": "text"}, "`select` and `responseType` exclude each other"),
        ({"pages": {"link": "next"}, "responseType": "json"}, "`pages` and `responseType` exclude each other"),
        ({"pages": {"link": "next"}, "stream": "text"}, "`stream` and `pages` exclude each other"),
    ],
)
def test_an_input_that_contradicts_itself_is_refused(options: dict[str, Json], reason: str) -> None:
    tool = HttpRequest(Settings())

    with pytest.raises(InvalidInputError) as caught:
        tool.parse({"url": "http://h", **options})

    assert reason in str(caught.value)
    assert isinstance(caught.value, ToolError)
