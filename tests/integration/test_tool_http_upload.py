"""What `http.request` sends."""

import json
import tracemalloc
from base64 import b64encode
from email import message_from_bytes
from email.message import Message

import pytest

from gql_app.core.errors import InvalidInputError
from gql_app.core.values import Json
from gql_app.settings import Settings
from gql_app.tools.http import HttpRequest
from gql_app.tools.http_upload import of_base64, of_text
from tests.support.http_answers import Server, answer, served
from tests.support.http_calls import ask, failure, opened

BYTES = bytes(range(256)) * 1_001


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "content_type", "body"),
    [
        ({"base64": b64encode(BYTES).decode()}, "application/octet-stream", BYTES),
        ({"base64": "AA==", "headers": {"Content-Type": "image/png"}}, "image/png", b"\0"),
        ({"base64": ""}, "application/octet-stream", b""),
        ({"text": "aü€😀" * 50_000}, "text/plain; charset=utf-8", ("aü€😀" * 50_000).encode()),
        (
            {"form": {"a": "x y&ü", "b": [1, True, 0.5], "c": ""}},
            "application/x-www-form-urlencoded",
            b"a=x+y%26%C3%BC&b=1&b=true&b=0.5&c=",
        ),
        ({"form": {}}, "application/x-www-form-urlencoded", b""),
    ],
    ids=["base64", "png", "nothing", "text", "form", "empty form"],
)
async def test_a_body_of_any_kind_is_sent(options: dict[str, Json], content_type: str, body: bytes) -> None:
    async with served(page=answer()) as server, opened() as tool:
        await ask(tool, server.url("/page"), method="POST", **options)

    _, headers, sent = server.asked[0]
    assert sent == body
    assert (headers["content-type"], headers["content-length"]) == (content_type, str(len(body)))
    assert "transfer-encoding" not in headers


@pytest.mark.anyio
async def test_a_form_with_files_is_sent_in_parts() -> None:
    files: Json = [
        {"name": "notes.csv", "contentType": "text/csv", "text": "a;ü\n" * 40_000},
        {"field": "picture", "name": "p.png", "base64": b64encode(BYTES).decode()},
        {"field": "picture", "name": "q", "text": ""},
    ]
    async with served(page=answer()) as server, opened() as tool:
        await ask(tool, server.url("/page"), method="POST", form={"title": ["one", "zwei ü"], "n": 1}, files=files)

    assert parts_of(server) == [
        ("title", None, None, b"one"),
        ("title", None, None, "zwei ü".encode()),
        ("n", None, None, b"1"),
        ("file", "notes.csv", "text/csv", ("a;ü\n" * 40_000).encode()),
        ("picture", "p.png", "application/octet-stream", BYTES),
        ("picture", "q", "text/plain", b""),
    ]
    assert server.asked[0][1]["content-length"] == str(len(server.asked[0][2]))


@pytest.mark.anyio
async def test_names_cannot_break_out_of_their_part() -> None:
    name = 'a"\r\nX-Evil: 1\r\n\r\nbody'
    async with served(page=answer()) as server, opened() as tool:
        files = [{"field": name, "name": name, "text": "x"}]
        await ask(tool, server.url("/page"), method="POST", form={name: name}, files=files)

    parts = parts_of(server)
    quoted = "a%22%0D%0AX-Evil: 1%0D%0A%0D%0Abody"
    assert [(field, file) for field, file, _, _ in parts] == [(quoted, None), (quoted, quoted)]


@pytest.mark.anyio
async def test_a_body_goes_with_a_redirect_that_asks_for_it_again() -> None:
    files = [{"name": "f", "text": "x" * 100_000}]
    async with (
        served(page=answer(307, location="/there"), other=answer(303, location="/there"), there=answer()) as server,
        opened() as tool,
    ):
        await ask(tool, server.url("/page"), method="POST", files=files)
        await ask(tool, server.url("/other"), method="POST", text="x")

    bodies = [(line.split()[0], body) for line, _, body in server.asked]
    assert bodies[0] == bodies[1]
    assert [method for method, _ in bodies] == ["POST", "POST", "POST", "GET"]
    assert bodies[3][1] == b""


@pytest.mark.anyio
@pytest.mark.parametrize(
    "options",
    [
        {"text": "ü" * 513},
        {"json": "x" * 1_023},
        {"base64": b64encode(b"x" * 1_025).decode()},
        {"form": {"a": "x" * 1_023}},
        {"files": [{"name": "a", "text": "x" * 1_000}]},
    ],
    ids=["text", "json", "base64", "form", "files"],
)
async def test_a_body_over_the_limit_is_refused_and_nothing_is_sent(options: dict[str, Json]) -> None:
    async with served(page=answer()) as server, opened(maximum_upload_bytes=1_024) as tool:
        error = await failure(tool, server.url("/page"), method="POST", **options)
        await ask(tool, server.url("/page"), method="POST", text="ü" * 512)

    assert (error.type, error.retryable) == ("RequestTooLarge", False)
    assert "the limit is 1024" in str(error)
    assert len(server.asked) == 1


@pytest.mark.parametrize("kind", ["text", "base64"])
def test_a_body_is_never_held_as_a_whole_a_second_time(kind: str) -> None:
    text = "ü" * 4_000_000 if kind == "text" else "AAAA" * 2_000_000
    upload = of_text(text) if kind == "text" else of_base64(text)

    tracemalloc.start()
    size = sum(map(len, upload.pieces()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert size == upload.size
    assert peak < 1_000_000


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"base64": "AAA"}, "this is not base64"),
        ({"base64": "AA==AA=="}, "this is not base64"),
        ({"base64": "A A="}, "this is not base64"),
        ({"base64": "AA\n=="}, "this is not base64"),
        ({"base64": "_-__"}, "this is not base64"),
        ({"base64": "AAAA", "text": "x"}, "`text` and `base64` exclude each other: a request has one body"),
        ({"json": 1, "form": {}}, "`json` and `form` exclude each other: a request has one body"),
        ({"text": "x", "files": [{"name": "a", "text": ""}]}, "`text` and `files` exclude each other"),
        ({"files": []}, "`files`"),
        ({"files": [{"name": "a"}]}, "a file has either `text` or `base64`"),
        ({"files": [{"name": "a", "text": "", "base64": ""}]}, "a file has either `text` or `base64`"),
        ({"files": [{"name": "", "text": ""}]}, "`files.0.name`"),
        ({"files": [{"name": "a", "text": "", "contentType": "text/csv\r\nX: 1"}]}, "this is not a content type"),
        ({"files": [{"name": "a", "text": "", "contentType": "csv"}]}, "this is not a content type"),
        ({"form": {"a": {"b": 1}}}, "`form.a"),
        ({"form": {"a": None}}, "`form.a"),
    ],
)
def test_a_body_that_is_none_is_refused(options: dict[str, Json], reason: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        HttpRequest(Settings()).parse({"url": "http://h", "method": "POST", **options})

    assert reason in str(caught.value)


def parts_of(server: Server) -> list[tuple[str, str | None, str | None, bytes]]:
    """Read a form as another program does: the field, the file, its type and its content, of every part."""
    _, headers, body = server.asked[0]
    whole = message_from_bytes(f"Content-Type: {headers['content-type']}\r\n\r\n".encode() + body)
    assert whole.is_multipart(), json.dumps(headers)
    parts = []
    for part in whole.get_payload():
        assert isinstance(part, Message)
        assert set(part.keys()) <= {"Content-Disposition", "Content-Type"}
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        kind = part.get_content_type() if "Content-Type" in part else None
        parts.append((str(part.get_param("name", header="Content-Disposition")), part.get_filename(), kind, content))
    return parts
