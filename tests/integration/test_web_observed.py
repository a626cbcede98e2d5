"""What is noted of every request, around applications of a few lines and around ours."""

import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gql_app.core.values import Json
from gql_app.settings import LogFormat, LogLevel, Settings
from gql_app.telemetry.context import log_fields
from gql_app.telemetry.logs import logged
from gql_app.telemetry.requests import HttpMetrics
from gql_app.web.app import create_app
from gql_app.web.failures import MaskedFailures
from gql_app.web.observed import Observed

pytestmark = pytest.mark.anyio


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("hello")(scope, receive, send)


async def break_down(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("it broke")


async def break_down_with_details(scope: Scope, receive: Receive, send: Send) -> None:
    logging.getLogger("my.app").warning("about to")
    await break_down(scope, receive, send)


def client(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


@asynccontextmanager
async def ours() -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings())
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        async with client(with_state) as opened:
            yield opened


async def lines_of(ask: Callable[[], Awaitable[object]], level: LogLevel = LogLevel.INFO) -> list[Json]:
    stream = io.StringIO()
    with logged(Settings(log_level=level, log_format=LogFormat.JSON), stream):
        await ask()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_a_request_is_a_line_without_what_it_asked() -> None:
    async with client(Observed(answer, HttpMetrics())) as observed:
        [line] = await lines_of(lambda: observed.get("/a%0Ab?token=hunter2", headers={"x-request-id": "r-1"}))

    assert line["logger"] == "gql_app.access"
    assert (line["method"], line["path"], line["status"], line["bytes"]) == ("GET", "/a%0Ab", 200, 5)
    assert line["request_id"] == "r-1"
    assert line["seconds"] >= 0
    assert "hunter2" not in json.dumps(line)


async def test_there_is_no_line_for_a_request_unless_the_level_is_info() -> None:
    async with client(Observed(answer, HttpMetrics())) as observed:
        assert await lines_of(lambda: observed.get("/"), LogLevel.WARNING) == []


async def test_what_fails_is_logged_with_the_id_of_the_request_and_so_is_what_came_before() -> None:
    async with client(Observed(MaskedFailures(break_down_with_details), HttpMetrics())) as observed:
        lines = await lines_of(lambda: observed.get("/x", headers={"x-request-id": "r-2"}))

    before, failure, access = lines
    assert {line["request_id"] for line in lines} == {"r-2"}
    assert before["message"] == "about to"
    assert "it broke" in failure["exception"]
    assert access["status"] == 500


async def test_a_line_about_an_operation_says_which_and_for_whom() -> None:
    async def submit(opened: httpx.AsyncClient) -> None:
        document = {"name": "hello", "nodes": [{"id": "a", "tool": "echo", "input": {"value": 1}}]}
        query = "mutation Begin($spec: WorkflowSpecInput!) { submitWorkflow(spec: $spec) { __typename } }"
        await opened.post("/graphql", json={"query": query, "variables": {"spec": document}})

    async with ours() as opened:
        lines = await lines_of(lambda: submit(opened))

    [line] = [line for line in lines if "submitted" in line["message"]]
    assert (line["operation"], line["caller"]) == ("Begin", "anybody")
    assert len(line["request_id"]) == 16


async def test_nothing_of_a_request_is_left_behind() -> None:
    async with client(Observed(answer, HttpMetrics())) as observed:
        await observed.get("/")

    assert log_fields() == {}


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "ä", "a\tb"])
async def test_an_id_that_could_do_harm_is_replaced(given: str) -> None:
    async with client(Observed(answer, HttpMetrics())) as observed:
        told = await observed.get("/", headers=[(b"x-request-id", given.encode())])

    assert told.headers["x-request-id"] != given
    assert len(told.headers["x-request-id"]) == 16


async def test_a_websocket_that_is_refused_is_counted_as_forbidden() -> None:
    metrics = HttpMetrics()

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close", "code": 1008})

    async def never() -> Json:
        raise AssertionError

    async def ignore(message: Json) -> None:
        pass

    await Observed(refuse, metrics)({"type": "websocket", "headers": [], "raw_path": b"/x"}, never, ignore)

    [requests, *_] = metrics.collect()
    [sample] = requests.samples
    assert (sample.labels["status"], sample.value) == ("403", 1)
    assert metrics.websockets == 0
