"""What the endpoint does when its client goes away in the middle: reading is given up, changing is not."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Scope

from gql_app.core.ids import Namespace
from gql_app.core.values import Json
from gql_app.ports import RunPage, RunQuery
from gql_app.schema.execution import Operations
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from gql_app.web.closing import Closing
from gql_app.web.endpoint import GraphQLEndpoint
from gql_app.web.gate import Gate
from tests.support.documents import SUBMIT
from tests.support.service import Stage, document, node

pytestmark = pytest.mark.anyio

LIST = "{ workflows { nodes { id } } }"


class SlowRepository(MemoryRunRepository):
    """A store that lists and stores runs only when the test lets it."""

    def __init__(self, **arguments: Json) -> None:
        super().__init__(**arguments)
        self.entered = asyncio.Event()
        self.may_go = asyncio.Event()

    async def list(self, namespace: Namespace, query: RunQuery) -> RunPage:
        await self._wait()
        return await super().list(namespace, query)

    async def create(self, *arguments: Json, **more: Json) -> Json:
        await self._wait()
        return await super().create(*arguments, **more)

    async def _wait(self) -> None:
        self.entered.set()
        await self.may_go.wait()


class Client:
    """Posts one operation, and goes when the test says so."""

    def __init__(self, query: str, **variables: Json) -> None:
        self.gone = asyncio.Event()
        self.is_watched = asyncio.Event()
        self.sent: list[Message] = []
        self._body = json.dumps({"query": query, "variables": variables}).encode()

    async def receive(self) -> Message:
        body, self._body = self._body, b""
        if body:
            return {"type": "http.request", "body": body, "more_body": False}
        self.is_watched.set()
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)


@pytest.fixture(autouse=True)
def watched_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gql_app.web.abandonment.WATCH_AFTER_SECONDS", 0.0)


@pytest.fixture
def stage() -> Stage:
    return Stage(repository=SlowRepository)


@pytest.fixture
def store(stage: Stage) -> SlowRepository:
    assert isinstance(stage.repository, SlowRepository)
    return stage.repository


def answer(stage: Stage, client: Client) -> "asyncio.Task[None]":
    state = {
        "application": SimpleNamespace(service=stage.service),
        "operations": Operations(stage.settings),
        "gate": Gate(),
        "closing": Closing(),
    }
    headers = [(b"content-type", b"application/json")]
    scope: Scope = {"type": "http", "method": "POST", "path": "/graphql", "headers": headers, "state": state}
    return asyncio.create_task(GraphQLEndpoint(Settings())(scope, client.receive, client.send))


async def test_a_query_ends_with_its_client(stage: Stage, store: SlowRepository) -> None:
    client = Client(LIST)
    answering = answer(stage, client)
    await asyncio.gather(store.entered.wait(), client.is_watched.wait())

    client.gone.set()
    await asyncio.wait({answering})

    assert isinstance(answering.exception(), ClientDisconnect)
    assert client.sent == []


async def test_a_query_whose_client_waits_is_answered(stage: Stage, store: SlowRepository) -> None:
    client = Client(LIST)
    answering = answer(stage, client)
    await asyncio.gather(store.entered.wait(), client.is_watched.wait())

    store.may_go.set()
    await answering

    assert client.sent[-1]["body"] == b'{"data":{"workflows":{"nodes":[]}}}'


async def test_a_mutation_is_finished_whoever_goes(stage: Stage, store: SlowRepository) -> None:
    client = Client(SUBMIT, spec=document(node("a")))
    answering = answer(stage, client)
    await store.entered.wait()

    client.gone.set()
    store.may_go.set()
    await answering

    assert b"SubmitWorkflowSuccess" in client.sent[-1]["body"]
