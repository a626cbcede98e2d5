"""Queries whose client goes away before they are answered."""

import asyncio
from typing import NoReturn

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from gql_app.schema.execution import Answer
from gql_app.web.abandonment import unless_gone
from gql_app.web.streams import Connection

pytestmark = pytest.mark.anyio

ANSWER = Answer(body=b"{}")


class Client:
    """Sends nothing more, and goes when the test says so."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.is_watched = asyncio.Event()

    @property
    def connection(self) -> Connection:
        return Connection({"type": "http"}, self._receive, self._send)

    async def _receive(self) -> Message:
        self.is_watched.set()
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> NoReturn:
        raise AssertionError("Nothing may be sent.")


class Execution:
    """Takes until the test lets it end."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.was_stopped = False

    async def run(self) -> Answer:
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.was_stopped = True
            raise
        return ANSWER


@pytest.fixture(autouse=True)
def watched_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gql_app.web.abandonment.WATCH_AFTER_SECONDS", 0.0)


async def test_what_nobody_waits_for_is_stopped() -> None:
    client, execution = Client(), Execution()
    answering = asyncio.create_task(unless_gone(client.connection, execution.run()))
    await client.is_watched.wait()

    client.gone.set()
    await asyncio.wait({answering})

    assert isinstance(answering.exception(), ClientDisconnect)
    assert execution.was_stopped


async def test_what_ends_in_time_is_answered() -> None:
    client, execution = Client(), Execution()
    answering = asyncio.create_task(unless_gone(client.connection, execution.run()))
    await client.is_watched.wait()

    execution.may_end.set()

    assert await answering is ANSWER


async def test_a_client_that_goes_while_the_answer_comes_is_gone() -> None:
    client, execution = Client(), Execution()
    answering = asyncio.create_task(unless_gone(client.connection, execution.run()))
    await client.is_watched.wait()

    client.gone.set()
    execution.may_end.set()
    await asyncio.wait({answering})

    assert answering.cancelling() == 0
    assert isinstance(answering.exception(), ClientDisconnect)


async def test_what_is_answered_at_once_is_not_watched() -> None:
    client, execution = Client(), Execution()
    execution.may_end.set()

    assert await unless_gone(client.connection, execution.run()) is ANSWER
    assert not client.is_watched.is_set()


async def test_a_request_that_is_cancelled_stays_cancelled() -> None:
    client, execution = Client(), Execution()
    answering = asyncio.create_task(unless_gone(client.connection, execution.run()))
    await client.is_watched.wait()

    answering.cancel()
    await asyncio.wait({answering})

    assert answering.cancelled()
    assert execution.was_stopped


async def test_an_execution_that_fails_fails() -> None:
    async def fail() -> Answer:
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        await unless_gone(Client().connection, fail())
