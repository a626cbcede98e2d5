"""What REST clients are told when the store is in trouble."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from gql_app.bootstrap import Application
from gql_app.core.errors import CorruptRunError, StoreUnavailableError
from gql_app.core.events import RunEvent
from gql_app.core.ids import Namespace, RunId
from gql_app.core.values import Json
from gql_app.ports import IdempotencyKey
from gql_app.storage.memory import MemoryRunRepository
from gql_app.telemetry.instruments import Instruments
from gql_app.web import rest
from gql_app.web.gate import Gate
from tests.support.service import Stage, document, node

pytestmark = pytest.mark.anyio

SUBMIT = ("POST", "/workflows/", document(node("a")))
READ = ("GET", "/workflows/x", None)
DELETE = ("DELETE", "/workflows/x", None)


class Away(MemoryRunRepository):
    """A store that cannot be reached."""

    async def create(
        self, events: Sequence[RunEvent], *, values: Mapping[str, bytes], idempotency: IdempotencyKey | None = None
    ) -> RunId:
        raise StoreUnavailableError("the disk is full")

    async def events(self, namespace: Namespace, run_id: RunId, *, after: int, limit: int) -> Sequence[RunEvent]:
        raise StoreUnavailableError("the disk is full")

    async def delete(self, namespace: Namespace, run_id: RunId) -> None:
        raise StoreUnavailableError("the disk is full")


class Garbled(MemoryRunRepository):
    """A store in which a run cannot be read."""

    async def events(self, namespace: Namespace, run_id: RunId, *, after: int, limit: int) -> Sequence[RunEvent]:
        raise CorruptRunError(run_id, "it is not JSON")


def client(repository: type[MemoryRunRepository]) -> httpx.AsyncClient:
    """Serve the REST calls over a service on a store."""
    stage = Stage(repository=repository)
    application = Application(
        service=stage.service,
        repository=stage.repository,
        executor=stage.executor,
        tools=stage.tools,
        instruments=Instruments(stage.settings),
        settings=stage.settings,
    )

    handlers = dict.fromkeys(rest.error_types(), rest.refuse_workflow_error)
    app = Starlette(routes=rest.routes(), exception_handlers={**handlers})

    async def opened(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {"application": application, "gate": Gate()}}, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(opened), base_url="http://127.0.0.1")


@pytest.mark.parametrize(("method", "path", "body"), [SUBMIT, READ, DELETE])
async def test_a_store_that_cannot_be_used_says_when_to_come_back(method: str, path: str, body: Json) -> None:
    async with client(Away) as http:
        answer = await http.request(method, path, json=body)

    assert (answer.status_code, answer.json()["code"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE")
    assert answer.headers["retry-after"] == "5"
    assert "the disk is full" in answer.json()["detail"]


async def test_a_run_that_cannot_be_read_is_named() -> None:
    async with client(Garbled) as http:
        answer = await http.get("/workflows/x")

    assert (answer.status_code, answer.json()["code"]) == (HTTPStatus.INTERNAL_SERVER_ERROR, "CORRUPT_RUN")
    assert "'x'" in answer.json()["detail"]
