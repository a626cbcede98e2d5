"""Streams of answers over HTTP: how they begin, go on and end, whatever their framing is."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NamedTuple, NoReturn, Protocol

from starlette.types import Receive, Scope, Send

from gql_app.core.access import Identity
from gql_app.schema.execution import Answer, RefusedOperationError
from gql_app.web.closing import Closing
from gql_app.web.gate import Gate
from gql_app.web.refusals import RefusedRequestError

PING_SECONDS: Final = 15.0
"""How often something is sent, so that nobody in between takes the stream for dead, and a dead peer is noticed."""
RETRY_SECONDS: Final = 5
"""When to come back, for those there was no room for."""

Answers = AsyncGenerator[Answer, None]


class Framing(Protocol):
    """How the parts of a stream are written."""

    @property
    def content_type(self) -> bytes:
        """What the stream is."""

    @property
    def opening(self) -> bytes:
        """What comes first."""

    @property
    def ping(self) -> bytes:
        """What says nothing."""

    @property
    def completed(self) -> bytes:
        """What comes last when everything was told."""

    @property
    def interrupted(self) -> bytes:
        """What comes last when the server stops: the client is to come back."""

    def result(self, answer: Answer) -> bytes:
        """Write a result."""

    def dismissed(self, reason: str) -> bytes:
        """Write what comes last for a client that is no longer let in."""


class Streams:
    """All streams that are open; there are never more than a maximum."""

    def __init__(self, maximum: int, *, ping_seconds: float = PING_SECONDS) -> None:
        self._maximum = maximum
        self._ping_seconds = ping_seconds
        self._open = 0

    async def run(self, connection: "Connection", framing: Framing, answers: Answers, identity: Identity) -> None:
        """Send answers to their end; one that the client, the server or the gate puts to it stops what makes them.

        Raises `RefusedRequestError` if there is no room.
        """
        if self._open >= self._maximum:
            await answers.aclose()
            raise _no_room(self._maximum)
        self._open += 1
        try:
            await _Stream(connection, framing, answers).run(identity, self._ping_seconds)
        finally:
            self._open -= 1


class Connection(NamedTuple):
    """What a server hands over with a request whose body was read."""

    scope: Scope
    receive: Receive
    send: Send

    async def until_gone(self) -> None:
        """Return once nobody listens any more."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


@dataclass(frozen=True, slots=True)
class _Stream:
    connection: Connection
    framing: Framing
    answers: Answers

    async def run(self, identity: Identity, ping_seconds: float) -> None:
        await self._start()
        closing: Closing = self.connection.scope["state"]["closing"]
        gate: Gate = self.connection.scope["state"]["gate"]
        # What makes the answers may wait, and so may sending one: only side by side is each of these noticed at once.
        telling = asyncio.create_task(self._tell())
        gone = asyncio.create_task(self.connection.until_gone())
        stopping = asyncio.create_task(closing.wait())
        invalid = asyncio.create_task(gate.until_invalid(identity))
        pinging = asyncio.create_task(self._ping(ping_seconds))
        tasks = {telling, gone, stopping, invalid, pinging}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if telling in done:
            telling.result()
            await self._end(self.framing.completed)
        elif gone in done:
            return
        elif stopping in done:
            await self._end(self.framing.interrupted)
        elif invalid in done:
            await self._end(self.framing.dismissed(invalid.result()))

    async def _start(self) -> None:
        headers = [
            (b"content-type", self.framing.content_type),
            (b"cache-control", b"no-store"),
            (b"vary", b"Accept"),
            # Proxies must not gather what is to be seen at once.
            (b"x-accel-buffering", b"no"),
        ]
        await self.connection.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._write(self.framing.opening)

    async def _tell(self) -> None:
        async with aclosing(self.answers) as answers:
            try:
                async for answer in answers:
                    await self._write(self.framing.result(answer))
            except RefusedOperationError as error:
                await self._write(self.framing.result(Answer(body=error.body, failed=True)))

    async def _ping(self, seconds: float) -> NoReturn:
        while True:
            await asyncio.sleep(seconds)
            await self._write(self.framing.ping)

    async def _write(self, data: bytes) -> None:
        await self.connection.send({"type": "http.response.body", "body": data, "more_body": True})

    async def _end(self, data: bytes) -> None:
        await self.connection.send({"type": "http.response.body", "body": data, "more_body": False})


def _no_room(maximum: int) -> RefusedRequestError:
    message = (
        f"There are {maximum} streams already, which is the limit (GQL_APP_MAXIMUM_STREAMS)."
        f" Come back in {RETRY_SECONDS} seconds."
    )
    return RefusedRequestError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "OVERLOADED",
        message,
        headers={"retry-after": str(RETRY_SECONDS)},
        retryAfterSeconds=RETRY_SECONDS,
    )
