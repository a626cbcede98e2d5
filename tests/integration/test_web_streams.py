"""Streams of answers over HTTP: whatever ends one, what makes its answers is closed at once."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from http import HTTPStatus

import pytest
from starlette.types import Message

from gql_app.core.access import ANYBODY, Identity
from gql_app.schema.execution import Answer
from gql_app.web.closing import Closing
from gql_app.web.gate import Gate
from gql_app.web.multipart import Parts
from gql_app.web.refusals import RefusedRequestError
from gql_app.web.sse import Events
from gql_app.web.streams import Connection, Framing, Streams

pytestmark = pytest.mark.anyio

FRAMINGS = [Events(), Parts()]


@dataclass
class Source:
    """Answers once, and then not again until the test lets it."""

    sequence: int | None = 1
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    is_closed: bool = False

    async def answers(self) -> AsyncGenerator[Answer, None]:
        try:
            yield Answer(body=b'{"data":1}', sequence=self.sequence)
            self.answered.set()
            await self.may_end.wait()
        finally:
            self.is_closed = True


class FickleGate(Gate):
    """Lets go whoever it let in once it is told to."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()

    async def until_invalid(self, identity: Identity) -> str:
        await self.let_go.wait()
        return "The token has expired."


@dataclass
class Peer:
    """A client: reads all it is sent, or nothing, until it goes."""

    reads: bool = True
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    blocked: asyncio.Event = field(default_factory=asyncio.Event)
    pinged: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    sent: list[Message] = field(default_factory=list)
    gate: FickleGate = field(default_factory=FickleGate)
    closing: Closing = field(default_factory=Closing)

    @property
    def connection(self) -> Connection:
        scope = {"type": "http", "path": "/graphql", "state": {"gate": self.gate, "closing": self.closing}}
        return Connection(scope, self._receive, self._send)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def was_ended(self) -> bool:
        return self.sent[-1]["type"] == "http.response.body" and not self.sent[-1]["more_body"]

    async def _receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if not self.reads and b"data" in message.get("body", b""):
            self.blocked.set()
            await asyncio.Event().wait()
        self.sent.append(message)
        if message.get("body") in {Events.ping, Parts.ping}:
            self.pinged.release()


def begin(streams: Streams, peer: Peer, source: Source, framing: Framing) -> "asyncio.Task[None]":
    return asyncio.create_task(streams.run(peer.connection, framing, source.answers(), ANYBODY))


@pytest.mark.parametrize("framing", FRAMINGS, ids=["events", "parts"])
async def test_a_stream_that_was_told_to_its_end_is_completed(framing: Framing) -> None:
    peer, source = Peer(), Source()
    source.may_end.set()

    await begin(Streams(1), peer, source, framing)

    assert peer.body.endswith(framing.completed)
    assert peer.was_ended


@pytest.mark.parametrize("reads", [True, False], ids=["reading", "blocked"])
@pytest.mark.parametrize("framing", FRAMINGS, ids=["events", "parts"])
async def test_a_client_that_goes_frees_what_was_made_for_it(framing: Framing, reads: bool) -> None:
    peer, source = Peer(reads=reads), Source()
    stream = begin(Streams(1), peer, source, framing)
    await (source.answered if reads else peer.blocked).wait()

    peer.gone.set()
    await stream

    assert source.is_closed
    assert not peer.was_ended


@pytest.mark.parametrize("reads", [True, False], ids=["reading", "blocked"])
@pytest.mark.parametrize("framing", FRAMINGS, ids=["events", "parts"])
async def test_a_server_that_stops_ends_a_stream_so_that_the_client_comes_back(framing: Framing, reads: bool) -> None:
    peer, source = Peer(reads=reads), Source()
    stream = begin(Streams(1), peer, source, framing)
    await (source.answered if reads else peer.blocked).wait()

    peer.closing.begin()
    await stream

    assert source.is_closed
    assert peer.was_ended
    assert b"complete" not in peer.body
    assert framing.content_type.startswith(b"text") or b"SERVER_STOPPING" in peer.body


@pytest.mark.parametrize("framing", FRAMINGS, ids=["events", "parts"])
async def test_who_is_no_longer_let_in_is_told_so_and_nothing_more(framing: Framing) -> None:
    peer, source = Peer(), Source()
    stream = begin(Streams(1), peer, source, framing)
    await source.answered.wait()

    peer.gate.let_go.set()
    await stream

    assert source.is_closed
    assert peer.was_ended
    assert b"UNAUTHENTICATED" in peer.body
    assert b"The token has expired." in peer.body
    assert peer.body.endswith(framing.completed)


async def test_a_request_that_is_cancelled_frees_what_was_made_for_it() -> None:
    peer, source = Peer(), Source()
    stream = begin(Streams(1), peer, source, Events())
    await source.answered.wait()

    stream.cancel()
    await asyncio.wait({stream})

    assert stream.cancelled()
    assert source.is_closed


async def test_beyond_the_maximum_a_stream_is_refused_until_another_has_ended() -> None:
    streams, peer, source = Streams(1), Peer(), Source()
    first = begin(streams, peer, source, Events())
    await source.answered.wait()

    with pytest.raises(RefusedRequestError) as refused:
        await streams.run(Peer().connection, Events(), Source().answers(), ANYBODY)
    peer.gone.set()
    await first
    third = Source()
    third.may_end.set()
    await streams.run(Peer().connection, Events(), third.answers(), ANYBODY)

    assert refused.value.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert refused.value.headers == {"retry-after": "5"}
    assert b"OVERLOADED" in refused.value.body


@pytest.mark.parametrize("framing", FRAMINGS, ids=["events", "parts"])
async def test_a_stream_with_nothing_to_tell_says_so_again_and_again(framing: Framing) -> None:
    peer, source = Peer(), Source()
    stream = begin(Streams(1, ping_seconds=0), peer, source, framing)

    for _ in range(3):
        await peer.pinged.acquire()

    peer.gone.set()
    await stream
    assert peer.body.count(framing.ping) >= 3


async def test_an_event_has_the_sequence_of_its_update_as_its_id() -> None:
    told = [Events().result(Answer(body=b"{}", sequence=sequence)) for sequence in (7, None)]

    assert told == [b"event: next\nid: 7\ndata: {}\n\n", b"event: next\ndata: {}\n\n"]


async def test_events_have_no_carriage_returns() -> None:
    events = Events()

    everything = events.opening + events.ping + events.completed + events.result(Answer(body=b"{}", sequence=1))

    assert b"\r" not in everything


async def test_every_part_is_followed_by_the_boundary_that_ends_it() -> None:
    parts = Parts()

    everything = parts.opening + parts.ping + parts.result(Answer(body=b"{}")) + parts.completed

    assert everything.split(b"\r\n--graphql") == [
        b"",
        b"\r\ncontent-type: application/json\r\n\r\n{}",
        b'\r\ncontent-type: application/json\r\n\r\n{"payload":{}}',
        b"--\r\n",
    ]
