"""Bodies that are shown while they come."""

import asyncio
import gzip
import json

import pytest

from gql_app.bootstrap import application
from gql_app.core.errors import InvalidInputError
from gql_app.core.events import AttemptTimedOut, NodeOutputChunk
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.values import Json
from gql_app.settings import Settings
from gql_app.tools.http import HttpRequest
from tests.support.certificates import Certificate, make_certificate
from tests.support.documents import document
from tests.support.http2_server import Stream, http2_served
from tests.support.http_answers import answer, served
from tests.support.http_calls import Watched, ask, failure, opened


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def deltas(*texts: str) -> bytes:
    """Write what a language model's server streams."""
    events = [json.dumps({"choices": [{"delta": {"content": text}}]}) for text in texts]
    role, end = '{"choices": [{"delta": {"role": "assistant"}}]}', '{"choices": [], "usage": {"total_tokens": 7}}'
    return "".join(f"data: {event}\n\n" for event in [role, *events, end, "[DONE]"]).encode()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "content_type", "options", "text"),
    [
        ("grüße\r\n", "text/plain", {"stream": "text"}, "grüße\r\n"),
        ('{"a": 1}', "application/json", {"stream": "text"}, '{"a": 1}'),
        ("a\r\nb", "text/plain", {"stream": "lines"}, "a\nb"),
        ('{"r": "Hel"}\n\n{"r": "lo"}\n{"done": true}\n', "x/y", {"stream": "lines", "select": "/r"}, "Hello"),
        ('{"r": {"a": 1}}\n{"r": null}\n{"r": 2}', "x/y", {"stream": "lines", "select": "/r"}, '{"a":1}\n2\n'),
        ("data: a\n\n: hi\n\ndata: b\n\n", "text/event-stream", {"stream": "sse"}, "a\nb\n"),
        ("", "text/plain", {"stream": "text"}, ""),
        ("", "text/plain", {"stream": "lines", "select": "/r"}, ""),
    ],
)
async def test_what_is_shown_is_the_output(body: str, content_type: str, options: dict[str, Json], text: str) -> None:
    watched = Watched()
    async with served(page=answer(body=body.encode(), content_type=content_type)) as server, opened() as tool:
        result = await ask(tool, server.url("/page"), watched.context, **options)

    assert result["body"] == text
    assert "".join(watched.texts) == text


@pytest.mark.anyio
async def test_the_words_of_a_language_model_are_selected_from_its_events() -> None:
    watched = Watched()
    page = answer(body=deltas("Hel", "lo", ", wörld"), content_type="text/event-stream; charset=utf-8")
    async with served(page=page) as server, opened() as tool:
        options: Json = {"stream": "sse", "select": "/choices/0/delta/content"}
        result = await ask(tool, server.url("/page"), watched.context, method="POST", json={"stream": True}, **options)

    assert watched.texts == ["Hel", "lo", ", wörld"]
    assert result["body"] == "Hello, wörld"


@pytest.mark.anyio
async def test_every_piece_is_shown_before_the_next_one_comes(certificate: Certificate) -> None:
    shown = asyncio.Event()
    texts = ["first ", "sec", "ond ", "€"]

    class Telling(Watched):
        def emit(self, text: str) -> None:
            super().emit(text)
            shown.set()

    async def slow(stream: Stream) -> None:
        stream.begin(content_type="text/plain")
        for count, text in enumerate(texts):
            await stream.send(text.encode())
            while len(watched.texts) <= count:
                await asyncio.wait_for(shown.wait(), 30)
                shown.clear()
        stream.end()

    watched = Telling()
    async with http2_served(certificate.server("h2"), slow=slow) as server, opened(certificate) as tool:
        result = await ask(tool, server.url("/slow"), watched.context, stream="text")

    assert watched.texts == texts
    assert result["body"] == "first second €"


@pytest.mark.anyio
async def test_a_character_that_is_cut_in_two_is_shown_whole(certificate: Certificate) -> None:
    half = asyncio.Event()

    class Beating(Watched):
        def beat(self) -> None:
            half.set()

    async def cut(stream: Stream) -> None:
        stream.begin(content_type="text/plain")
        await stream.send("€".encode()[:1])
        await asyncio.wait_for(half.wait(), 30)
        await stream.send("€".encode()[1:])
        stream.end()

    watched = Beating()
    async with http2_served(certificate.server("h2"), cut=cut) as server, opened(certificate) as tool:
        result = await ask(tool, server.url("/cut"), watched.context, stream="text")

    assert watched.texts == [result["body"]] == ["€"]


@pytest.mark.anyio
@pytest.mark.parametrize("options", [{"stream": "text"}, {"stream": "lines"}, {"stream": "lines", "select": "/r"}])
async def test_a_stream_without_an_end_is_ended_at_the_limit(certificate: Certificate, options: Json) -> None:
    async def endless(stream: Stream) -> None:
        stream.begin()
        while not stream.given_up.is_set():
            await stream.send(b'{"r": "0123456789"}\n' * 100)

    watched = Watched()
    async with (
        http2_served(certificate.server("h2"), endless=endless) as server,
        opened(certificate, maximum_response_bytes=20_000) as tool,
    ):
        error = await failure(tool, server.url("/endless"), watched.context, **options)
        await server.asked[0].given_up.wait()

    assert (error.type, error.retryable) == ("ResponseTooLarge", False)
    assert "the limit of 20000 bytes" in str(error)
    assert 15_000 <= len("".join(watched.texts)) <= 20_000


@pytest.mark.anyio
async def test_a_stream_of_which_nothing_is_kept_is_ended_too(certificate: Certificate) -> None:
    async def endless(stream: Stream) -> None:
        stream.begin(content_type="text/event-stream")
        while not stream.given_up.is_set():
            await stream.send(b": still here\n\n" * 1_000)

    async with (
        http2_served(certificate.server("h2"), endless=endless) as server,
        opened(certificate, maximum_response_bytes=20_000) as tool,
    ):
        error = await failure(tool, server.url("/endless"), stream="sse", select="/r")

    assert (error.type, error.retryable) == ("ResponseTooLarge", False)


@pytest.mark.anyio
@pytest.mark.parametrize("options", [{"stream": "text"}, {"stream": "lines"}])
async def test_a_bomb_is_not_shown_beyond_the_limit(options: Json) -> None:
    watched = Watched()
    bomb = answer(body=gzip.compress(b"x" * 10_000_000, mtime=0), content_encoding="gzip")
    async with served(page=bomb) as server, opened(maximum_response_bytes=2_000) as tool:
        error = await failure(tool, server.url("/page"), watched.context, **options)

    assert error.type == "ResponseTooLarge"
    assert len("".join(watched.texts)) <= 2_000


@pytest.mark.anyio
async def test_no_more_is_read_than_the_output_of_a_node_may_be() -> None:
    async with served(page=answer(body=b"x" * 300_000)) as server, opened() as tool:
        error = await failure(tool, server.url("/page"), stream="text")

    assert error.type == "ResponseTooLarge"
    assert "262144 bytes" in str(error)


@pytest.mark.anyio
async def test_a_stream_that_breaks_is_retryable() -> None:
    cut = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"
    watched = Watched()
    async with served(cut=cut) as server, opened() as tool:
        error = await failure(tool, server.url("/cut"), watched.context, stream="text")

    assert (error.type, error.retryable) == ("HttpConnectionError", True)
    assert watched.texts == ["abc"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "content_type", "options", "type", "message"),
    [
        ("x", "text/html", {"stream": "sse"}, "InvalidResponseBody", "is text/html, not text/event-stream"),
        ("{\n", "x/y", {"stream": "lines", "select": "/r"}, "InvalidResponseBody", "A piece of the stream is not JSON"),
        ('{"a": 1}\n', "x/y", {"stream": "lines", "select": "/r"}, "PointerNotFound", 'an object with "a"'),
        (
            'data: {"a": 1}\n\n',
            "text/event-stream",
            {"stream": "sse", "select": "/r/x"},
            "PointerNotFound",
            "nothing at `/r/x`",
        ),
    ],
)
async def test_a_stream_of_something_else_fails(
    body: str, content_type: str, options: dict[str, Json], type: str, message: str
) -> None:
    async with served(page=answer(body=body.encode(), content_type=content_type)) as server, opened() as tool:
        error = await failure(tool, server.url("/page"), **options)

    assert error.type == type
    assert message in str(error)


@pytest.mark.anyio
async def test_a_status_that_is_no_success_shows_nothing() -> None:
    watched = Watched()
    async with served(page=answer(503, body=b"busy")) as server, opened() as tool:
        error = await failure(tool, server.url("/page"), watched.context, stream="text")

    assert error.type == "HttpStatusError"
    assert watched.texts == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"stream": "text", "select": "/a"}, "`select` needs `lines` or `sse` as the `stream`"),
        ({"stream": "text", "responseType": "json"}, "`stream` and `responseType` exclude each other"),
        ({"stream": "xml"}, "`stream`"),
        ({"stream": True}, "`stream`"),
    ],
)
def test_a_stream_that_makes_no_sense_is_refused(options: dict[str, Json], reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        HttpRequest(Settings()).parse({"url": "http://h", **options})


@pytest.mark.anyio
async def test_a_stream_that_stalls_ends_by_the_attempts_timeout_and_was_seen_until_then(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stall(stream: Stream) -> None:
        stream.begin(content_type="text/plain")
        await stream.send(b"so far")
        await stream.given_up.wait()

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    async with http2_served(certificate.server("h2"), stall=stall) as server, application(Settings()) as opened:
        node = {
            "id": "a",
            "tool": "http.request",
            "input": {"url": server.url("/stall"), "stream": "text"},
            "retry": {"maximumAttempts": 1},
            "timeout": {"attemptSeconds": 1},
        }
        run = await opened.service.submit(DEFAULT_NAMESPACE, document(node))
        async for _ in opened.service.watch(DEFAULT_NAMESPACE, run.run_id, after=0):
            pass
        events = await opened.service.events(DEFAULT_NAMESPACE, run.run_id, limit=1_000)
        await asyncio.wait_for(server.asked[0].given_up.wait(), 30)

    kinds = [type(event) for event in events]
    assert [event.text for event in events if isinstance(event, NodeOutputChunk)] == ["so far"]
    assert kinds.index(NodeOutputChunk) < kinds.index(AttemptTimedOut)
