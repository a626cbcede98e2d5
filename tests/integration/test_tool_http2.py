"""The tool `http.request` against a real server that speaks HTTP/2 over TLS."""

import asyncio
import json
from ipaddress import ip_address
from pathlib import Path

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from gql_app.settings import Posture, Settings
from gql_app.tools.http import HttpRequest
from gql_app.tools.http_network import GuardedBackend
from gql_app.tools.http_reach import Address, Reach
from tests.support.certificates import Certificate, make_certificate
from tests.support.http2_server import Http2Server, Stream, http2_served
from tests.support.http_calls import ask, failure, opened

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


async def hello(stream: Stream) -> None:
    await stream.whole.wait()
    await stream.answer(b"hello", content_type="text/plain")


async def echo(stream: Stream) -> None:
    await stream.whole.wait()
    await stream.answer(bytes(stream.body), content_type="application/json")


async def endless(stream: Stream) -> None:
    stream.begin()
    while not stream.given_up.is_set():
        await stream.send(b"x" * 65_536)


async def silent(stream: Stream) -> None:
    await stream.given_up.wait()


async def test_a_server_that_offers_http_2_is_spoken_to_in_it(certificate: Certificate) -> None:
    async with http2_served(certificate.server("h2", "http/1.1"), hello=hello) as server, opened(certificate) as tool:
        result = await ask(tool, server.url("/hello"), headers={"X-Key": "k"}, query={"a": 1})

    assert (result["status"], result["httpVersion"], result["body"]) == (200, "HTTP/2", "hello")
    assert server.asked[0].headers[":path"] == "/hello?a=1"
    assert server.asked[0].headers["x-key"] == "k"


async def test_a_server_that_does_not_is_spoken_to_in_http_1_1(certificate: Certificate) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=certificate.server("http/1.1")) as listening:
        url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        async with opened(certificate) as tool:
            results = await asyncio.gather(*(ask(tool, url) for _ in range(5)))

    assert {(result["httpVersion"], result["body"]) for result in results} == {("HTTP/1.1", "ok")}


async def test_calls_at_once_share_one_connection(certificate: Certificate) -> None:
    everybody = asyncio.Barrier(20)

    async def together(stream: Stream) -> None:
        await everybody.wait()
        await stream.answer(stream.headers[":path"].encode())

    async with http2_served(certificate.server("h2"), together=together) as server, opened(certificate) as tool:
        results = await asyncio.gather(*(ask(tool, server.url(f"/together?{count}")) for count in range(20)))

    assert [result["body"] for result in results] == [f"/together?{count}" for count in range(20)]
    assert server.connections == 1


async def test_another_connection_is_opened_where_the_server_takes_no_more_requests(certificate: Certificate) -> None:
    everybody = asyncio.Barrier(3)

    async def together(stream: Stream) -> None:
        await everybody.wait()
        await stream.answer()

    async with (
        http2_served(certificate.server("h2"), maximum_streams=1, hello=hello, together=together) as server,
        opened(certificate) as tool,
    ):
        await ask(tool, server.url("/hello"))
        await asyncio.gather(*(ask(tool, server.url("/together")) for _ in range(3)))

    assert server.connections == 3


async def test_a_server_that_takes_one_request_at_a_time_sees_no_connection_that_is_not_used(
    certificate: Certificate,
) -> None:
    # More than may be kept when idle: one that waits for its first request is not.
    count = 40
    everybody = asyncio.Barrier(count)

    async def together(stream: Stream) -> None:
        await everybody.wait()
        await stream.answer()

    async with (
        http2_served(certificate.server("h2"), maximum_streams=1, together=together) as server,
        opened(certificate) as tool,
    ):
        await asyncio.gather(*(ask(tool, server.url("/together")) for _ in range(count)))

    assert server.connections == count


async def test_a_server_that_takes_fewer_requests_than_before_still_answers_those_it_has(
    certificate: Certificate,
) -> None:
    async def lower(stream: Stream) -> None:
        await asked(server, 3)
        if stream is server.asked[1]:
            stream.connection.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        await stream.answer(b"one of two")

    async with (
        http2_served(certificate.server("h2"), hello=hello, lower=lower) as server,
        opened(certificate) as tool,
    ):
        await ask(tool, server.url("/hello"))
        results = await asyncio.gather(*(ask(tool, server.url("/lower")) for _ in range(2)))
        await ask(tool, server.url("/hello"))

    assert [result["body"] for result in results] == ["one of two"] * 2
    assert server.connections == 1


async def test_a_body_is_sent_and_read_beyond_the_windows_of_the_protocol(certificate: Certificate) -> None:
    body = {"text": "x" * 500_000}

    async with http2_served(certificate.server("h2"), echo=echo) as server, opened(certificate) as tool:
        result = await ask(tool, server.url("/echo"), method="POST", json=body)

    assert result["body"] == body
    assert json.loads(server.asked[0].body) == body


async def test_bodies_that_are_too_big_leave_the_connection_to_the_others(certificate: Certificate) -> None:
    # Together they are more than the connection takes without an acknowledgement (16 MiB).
    async with (
        http2_served(certificate.server("h2"), endless=endless, hello=hello, silent=silent) as server,
        opened(certificate, maximum_response_bytes=1_000_000) as tool,
    ):
        waiting = asyncio.create_task(ask(tool, server.url("/silent")))
        errors = [await failure(tool, server.url("/endless")) for _ in range(20)]
        result = await ask(tool, server.url("/hello"))
        for stream in server.asked:
            if stream.headers[":path"] == "/endless":
                await stream.given_up.wait()
        waiting.cancel()
        await asyncio.wait([waiting])

    assert {(error.type, error.retryable) for error in errors} == {("ResponseTooLarge", False)}
    assert result["body"] == "hello"
    assert server.connections == 1


async def test_a_call_that_is_stopped_resets_its_stream_alone(certificate: Certificate) -> None:
    async with (
        http2_served(certificate.server("h2"), hello=hello, silent=silent) as server,
        opened(certificate) as tool,
    ):
        await ask(tool, server.url("/hello"))
        stopped, kept = (asyncio.create_task(ask(tool, server.url("/silent"))) for _ in range(2))
        await asked(server, 3)
        stopped.cancel()
        await asyncio.wait([stopped])
        await server.asked[1].given_up.wait()

        assert stopped.cancelled()
        assert not server.asked[2].given_up.is_set()
        await server.asked[2].answer(b"late")
        assert (await kept)["body"] == "late"
        assert (await ask(tool, server.url("/hello")))["body"] == "hello"
    assert server.connections == 1


@pytest.mark.parametrize("path", ["/hello", "/long", "/refuse"])
async def test_wherever_a_call_is_stopped_the_others_and_the_next_one_go_on(
    certificate: Certificate, path: str
) -> None:
    async def long(stream: Stream) -> None:
        await stream.whole.wait()
        await stream.answer(b"x" * 200_000)

    async def refuse(stream: Stream) -> None:
        stream.reset(ErrorCodes.REFUSED_STREAM)

    async with (
        http2_served(certificate.server("h2"), maximum_streams=2, hello=hello, long=long, refuse=refuse) as server,
        opened(certificate, maximum_attempts_in_flight=1) as tool,
    ):
        for ticks in range(60):
            stopped = asyncio.create_task(ask(tool, server.url(path), method="POST", text="x" * 100_000))
            other = asyncio.create_task(ask(tool, server.url("/hello")))
            for _ in range(ticks):
                await asyncio.sleep(0)
            stopped.cancel()
            await asyncio.wait([stopped])
            # With one connection and two streams, one that is left behind would block it for ever.
            assert (await asyncio.wait_for(other, 30))["body"] == "hello"


async def test_a_stream_that_is_reset_is_retryable_and_says_why(certificate: Certificate) -> None:
    async def refuse(stream: Stream) -> None:
        stream.reset(ErrorCodes.REFUSED_STREAM)

    async def cut(stream: Stream) -> None:
        stream.begin()
        await stream.send(b"the first")
        stream.reset(ErrorCodes.INTERNAL_ERROR)

    async with (
        http2_served(certificate.server("h2"), refuse=refuse, cut=cut, hello=hello) as server,
        opened(certificate) as tool,
    ):
        before = await failure(tool, server.url("/refuse"))
        within = await failure(tool, server.url("/cut"))
        result = await ask(tool, server.url("/hello"))

    assert (before.type, before.retryable) == ("HttpConnectionError", True)
    assert str(before).endswith("/refuse failed: the server reset the stream (REFUSED_STREAM).")
    assert (within.type, within.retryable) == ("HttpConnectionError", True)
    assert str(within).endswith("/cut failed: the server reset the stream (INTERNAL_ERROR).")
    assert (result["body"], server.connections) == ("hello", 1)


async def test_a_server_that_goes_away_is_retryable_and_the_next_call_connects_anew(certificate: Certificate) -> None:
    async def leave(stream: Stream) -> None:
        stream.go_away(ErrorCodes.ENHANCE_YOUR_CALM, done=stream.number)

    async with (
        http2_served(certificate.server("h2"), leave=leave, hello=hello) as server,
        opened(certificate) as tool,
    ):
        error = await failure(tool, server.url("/leave"))
        result = await ask(tool, server.url("/hello"))

    assert (error.type, error.retryable) == ("HttpConnectionError", True)
    assert str(error).endswith("/leave failed: the server ended the connection (ENHANCE_YOUR_CALM).")
    assert (result["body"], server.connections) == ("hello", 2)


async def test_a_connection_that_the_server_has_closed_meanwhile_is_not_used(certificate: Certificate) -> None:
    async def farewell(stream: Stream) -> None:
        await hello(stream)
        stream.connection.writer.close()

    async with http2_served(certificate.server("h2"), farewell=farewell) as server, opened(certificate) as tool:
        for _ in range(3):
            assert (await ask(tool, server.url("/farewell"), method="POST", text="x"))["body"] == "hello"
            await server.close()

    assert server.connections == 3


async def test_a_request_that_a_leaving_server_has_not_looked_at_is_sent_again(certificate: Certificate) -> None:
    async def leave_once(stream: Stream) -> None:
        await stream.whole.wait()
        if len(server.asked) == 2:
            stream.go_away(ErrorCodes.NO_ERROR, done=1)
        else:
            await hello(stream)

    async with (
        http2_served(certificate.server("h2"), hello=hello, leave=leave_once) as server,
        opened(certificate) as tool,
    ):
        await ask(tool, server.url("/hello"))
        result = await ask(tool, server.url("/leave"), method="POST", text="all of it")

    assert result["body"] == "hello"
    assert [bytes(stream.body) for stream in server.asked[1:]] == [b"all of it"] * 2
    assert server.connections == 2


async def test_an_answer_before_the_end_of_the_request_counts(certificate: Certificate) -> None:
    async def enough(stream: Stream) -> None:
        await stream.answer(b"too much", status=413)
        stream.reset(ErrorCodes.NO_ERROR)

    async with (
        http2_served(certificate.server("h2"), enough=enough, hello=hello) as server,
        opened(certificate) as tool,
    ):
        result = await ask(tool, server.url("/enough"), method="POST", text="x" * 900_000, expectedStatuses=[413])

    assert (result["status"], result["body"]) == (413, "too much")


@pytest.mark.parametrize("status", ["many", "", "-1", "999999"])
async def test_a_status_that_is_none_is_an_error(certificate: Certificate, status: str) -> None:
    async def odd(stream: Stream) -> None:
        await stream.whole.wait()
        await stream.answer(status=status)

    async with (
        http2_served(certificate.server("h2"), odd=odd, hello=hello) as server,
        opened(certificate) as tool,
    ):
        error = await failure(tool, server.url("/odd"))
        result = await ask(tool, server.url("/hello"))

    assert error.type in ("HttpConnectionError", "HttpStatusError")
    assert result["body"] == "hello"


@pytest.mark.parametrize(
    "garbage",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 100, b"\xff" * 100, b""],
    ids=["text", "zeros", "ones", "nothing"],
)
async def test_what_is_no_http_2_is_a_retryable_error_for_everybody_on_the_connection(
    certificate: Certificate, garbage: bytes
) -> None:
    async def babble(stream: Stream) -> None:
        if len(server.asked) < 3:
            return
        stream.connection.writer.write(garbage)
        stream.connection.writer.close()

    async with (
        http2_served(certificate.server("h2"), hello=hello, babble=babble) as server,
        opened(certificate) as tool,
    ):
        await ask(tool, server.url("/hello"))
        errors = await asyncio.gather(*(failure(tool, server.url("/babble")) for _ in range(2)))
        result = await ask(tool, server.url("/hello"))

    assert {(error.type, error.retryable) for error in errors} == {("HttpConnectionError", True)}
    assert (result["body"], server.connections) == ("hello", 2)


async def test_requests_that_wait_for_one_connection_share_the_reason_that_there_is_none(
    certificate: Certificate, tmp_path: Path
) -> None:
    # Nobody can be reached in parallel here, since it is not yet known which protocol is spoken.
    other = make_certificate(tmp_path)

    async with http2_served(other.server("h2"), hello=hello) as server, opened(certificate) as tool:
        errors = await asyncio.gather(*(failure(tool, server.url("/hello")) for _ in range(5)))

    assert {error.type for error in errors} == {"HttpConnectionError"}
    assert "certificate verify failed" in str(errors[0])
    assert server.asked == []


async def test_whoever_waits_for_a_connection_goes_on_when_the_one_that_opens_it_is_stopped(
    certificate: Certificate,
) -> None:
    asked_for, resolved = asyncio.Event(), asyncio.Event()

    async def resolve(host: str, port: int) -> list[Address]:
        asked_for.set()
        await resolved.wait()
        return [ip_address("127.0.0.1")]

    settings = Settings()
    tool = HttpRequest(settings, network=GuardedBackend(Reach(settings), resolve=resolve), trust=certificate.client())
    async with http2_served(certificate.server("h2"), hello=hello) as server:
        url = server.url("/hello", "public.example")
        first = asyncio.create_task(ask(tool, url))
        await asked_for.wait()
        others = [asyncio.create_task(ask(tool, url)) for _ in range(3)]
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        resolved.set()
        results = await asyncio.gather(*others)
        await tool.aclose()

    assert first.cancelled()
    assert [result["body"] for result in results] == ["hello"] * 3
    assert server.connections == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "public.example"])
async def test_the_guard_holds_for_http_2(certificate: Certificate, host: str) -> None:
    async def resolve(host: str, port: int) -> list[Address]:
        return [ip_address("::1"), ip_address("127.0.0.1")]

    settings = Settings(posture=Posture.PRODUCTION)
    backend = GuardedBackend(Reach(settings), resolve=resolve)
    tool = HttpRequest(settings, network=backend, trust=certificate.client())
    async with http2_served(certificate.server("h2"), hello=hello) as server:
        errors = await asyncio.gather(*(failure(tool, server.url("/hello", host)) for _ in range(3)))
        assert server.connections == 0
    await tool.aclose()

    assert {(error.type, error.retryable) for error in errors} == {("AddressNotAllowed", False)}


async def test_http_2_is_spoken_over_ipv6(certificate: Certificate) -> None:
    async with (
        http2_served(certificate.server("h2"), "::1", hello=hello) as server,
        opened(certificate) as tool,
    ):
        result = await ask(tool, server.url("/hello", "[::1]"))

    assert (result["httpVersion"], result["body"]) == ("HTTP/2", "hello")


async def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Certificate) -> None:
    tool = HttpRequest(Settings())
    async with http2_served(certificate.server("h2"), hello=hello) as server:
        error = await failure(tool, server.url("/hello"))
    await tool.aclose()

    assert (error.type, error.retryable) == ("HttpConnectionError", True)
    assert "certificate" in str(error)
    assert server.asked == []


async def asked(server: Http2Server, count: int) -> None:
    """Wait until the server has been asked that often."""
    async with asyncio.timeout(30):
        while len(server.asked) < count:
            await server.next_request.wait()
