"""One trace from the operation through the run and its nodes to their attempts, and on to whom they ask."""

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.types import Receive, Scope, Send

from gql_app.core.errors import MissingExtraError
from gql_app.core.fold import fold
from gql_app.core.ids import DEFAULT_NAMESPACE, RunId
from gql_app.core.values import Json
from gql_app.ports import Tool
from gql_app.service import WorkflowService
from gql_app.settings import LogFormat, Settings
from gql_app.telemetry.context import trace_parent
from gql_app.telemetry.instruments import Instruments
from gql_app.telemetry.logs import logged
from gql_app.telemetry.tracing import Tracing
from gql_app.tools.decorator import tool
from gql_app.web.app import create_app

pytestmark = pytest.mark.anyio

SUBMIT = """mutation SubmitWorkflow($spec: WorkflowSpecInput!) {
  submitWorkflow(spec: $spec) { ... on SubmitWorkflowSuccess { workflow { id } } }
}"""
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACE_PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


@dataclass
class Asked:
    """A server that is unavailable the first time, and keeps the headers it gets."""

    url: str = ""
    headers: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:]
        self.headers.append({name.lower(): value for name, _, value in (line.partition(": ") for line in head)})
        status = "503 Unavailable" if len(self.headers) == 1 else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        writer.close()


@asynccontextmanager
async def asked_server() -> AsyncIterator[Asked]:
    asked = Asked()
    server = await asyncio.start_server(asked.answer, "127.0.0.1", 0)
    async with server:
        asked.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        yield asked


class Traced:
    """Our application, the spans it has ended, and ways to ask it."""

    def __init__(self, client: httpx.AsyncClient, service: WorkflowService, exporter: InMemorySpanExporter) -> None:
        self.client = client
        self.service = service
        self._exporter = exporter

    async def perform(self, *nodes: Json, **headers: str) -> RunId:
        """Submit a document by GraphQL, and wait until it has ended."""
        body = {"query": SUBMIT, "variables": {"spec": {"name": "traced", "nodes": list(nodes)}}}
        answer = await self.client.post("/graphql", json=body, headers=headers)
        run_id = RunId(answer.json()["data"]["submitWorkflow"]["workflow"]["id"])
        await self.finished(run_id)
        return run_id

    async def finished(self, run_id: RunId) -> None:
        async for _ in self.service.watch(DEFAULT_NAMESPACE, run_id):
            pass

    def spans(self) -> dict[str, list[ReadableSpan]]:
        """Tell all spans by name, in the order in which they began."""
        found: dict[str, list[ReadableSpan]] = {}
        for span in sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0):
            found.setdefault(span.name, []).append(span)
        return found


@asynccontextmanager
async def traced(monkeypatch: pytest.MonkeyPatch, *tools: Tool) -> AsyncIterator[Traced]:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    app = create_app(Settings(tracing=True), tools=tools)
    tracing = app.state.instruments.traces
    assert isinstance(tracing, Tracing)
    exporter = InMemorySpanExporter()
    tracing.provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with app.router.lifespan_context(app) as state:
        assert state is not None

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state)}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield Traced(client, state["application"].service, exporter)


def context_of(span: ReadableSpan) -> trace.SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


def id_of(span: ReadableSpan) -> int:
    return context_of(span).span_id


def trace_of(span: ReadableSpan) -> str:
    return f"{context_of(span).trace_id:032x}"


def written(span: ReadableSpan) -> str:
    """Write a span as the header `traceparent`."""
    return f"00-{trace_of(span)}-{id_of(span):016x}-{context_of(span).trace_flags:02x}"


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def outcome_of(span: ReadableSpan) -> object:
    return (span.attributes or {})["gql_app.outcome"]


async def test_a_run_with_a_retry_is_one_tree_that_goes_on_where_the_tool_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asked_server() as asked, traced(monkeypatch) as ours:
        run_id = await ours.perform({"id": "fetch", "tool": "http.request", "input": {"url": asked.url}})
        spans = ours.spans()

    [operation], [run], [node] = spans["mutation SubmitWorkflow"], spans["run traced"], spans["node fetch"]
    failed, completed = spans["attempt http.request"]
    assert [parent_of(operation), parent_of(run), parent_of(node)] == [None, id_of(operation), id_of(run)]
    assert parent_of(failed) == parent_of(completed) == id_of(node)
    assert [outcome_of(span) for span in (operation, run, node, failed, completed)] == [
        "COMPLETED",
        "COMPLETED",
        "COMPLETED",
        "FAILED",
        "COMPLETED",
    ]
    assert operation.kind is SpanKind.SERVER
    assert operation.attributes is not None
    assert operation.attributes["graphql.operation.name"] == "SubmitWorkflow"
    assert operation.attributes["graphql.operation.type"] == "mutation"
    assert failed.attributes is not None
    assert (failed.attributes["error.type"], failed.attributes["gql_app.attempt"]) == ("HttpStatusError", 1)
    assert failed.status.status_code is StatusCode.ERROR
    assert run.attributes is not None
    assert run.attributes["gql_app.run.id"] == run_id
    assert [headers["traceparent"] for headers in asked.headers] == [written(failed), written(completed)]


async def test_the_trace_of_the_client_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with traced(monkeypatch) as ours:
        await ours.perform({"id": "a", "tool": "echo", "input": {"value": 1}}, traceparent=TRACE_PARENT)
        spans = ours.spans()

    assert {trace_of(span) for each in spans.values() for span in each} == {TRACE_ID}
    assert parent_of(spans["mutation SubmitWorkflow"][0]) == 0xB7AD6B7169203331


@pytest.mark.parametrize("given", ["nonsense", f"00-{'0' * 32}-b7ad6b7169203331-01", "x" * 5_000])
async def test_a_trace_that_nobody_can_go_on_with_is_not(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    async with traced(monkeypatch) as ours:
        await ours.perform({"id": "a", "tool": "echo", "input": {"value": 1}}, traceparent=given)
        [operation] = ours.spans()["mutation SubmitWorkflow"]

    assert operation.parent is None


async def test_a_run_that_is_submitted_over_rest_belongs_to_the_trace_of_its_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with traced(monkeypatch) as ours:
        document = {"name": "traced", "nodes": [{"id": "a", "tool": "echo", "input": {"value": 1}}]}
        answer = await ours.client.post("/workflows/", json=document, headers={"traceparent": TRACE_PARENT})
        await ours.finished(RunId(answer.json()["run_id"]))
        [run] = ours.spans()["run traced"]

    assert parent_of(run) == 0xB7AD6B7169203331


async def test_the_trace_is_kept_with_the_run_for_whoever_takes_it_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async with traced(monkeypatch) as ours:
        run_id = await ours.perform({"id": "a", "tool": "echo", "input": {"value": 1}})
        log = await ours.service.events(DEFAULT_NAMESPACE, run_id)
        [operation] = ours.spans()["mutation SubmitWorkflow"]

    assert fold(log).trace_parent == written(operation)


async def test_what_a_tool_traces_and_logs_belongs_to_its_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, str | None]] = []

    @tool
    def look() -> None:
        """Look from a thread."""
        seen.append((trace.get_current_span().get_span_context().span_id, trace_parent()))
        logging.getLogger("my.tools").warning("looked")

    stream = io.StringIO()
    with logged(Settings(log_format=LogFormat.JSON), stream):
        async with traced(monkeypatch, look) as ours:
            await ours.perform({"id": "a", "tool": "look"})
            [attempt] = ours.spans()["attempt look"]

    assert seen == [(id_of(attempt), written(attempt))]
    assert json.loads(stream.getvalue())["trace_id"] == trace_of(attempt)


async def test_no_value_and_no_message_is_in_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    @tool
    async def spill(value: str) -> str:
        """Fail with what came in."""
        raise ValueError(f"bad {value}")

    async with traced(monkeypatch, spill) as ours:
        retry = {"maximumAttempts": 1}
        await ours.perform({"id": "a", "tool": "spill", "input": {"value": "hunter2"}, "retry": retry})
        spans = ours.spans()

    [run] = spans["run traced"]
    assert outcome_of(run) == "FAILED"
    assert "hunter2" not in "".join(span.to_json() for each in spans.values() for span in each)


async def test_the_spans_of_a_run_that_is_cancelled_are_ended_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    async with traced(monkeypatch) as ours:
        body = {
            "query": SUBMIT,
            "variables": {
                "spec": {"name": "traced", "nodes": [{"id": "a", "tool": "delay", "input": {"seconds": 3600}}]}
            },
        }
        answer = await ours.client.post("/graphql", json=body)
        run_id = RunId(answer.json()["data"]["submitWorkflow"]["workflow"]["id"])
        await ours.service.cancel(DEFAULT_NAMESPACE, run_id)
        await ours.finished(run_id)
        spans = ours.spans()

    assert [outcome_of(span) for name in ("run traced", "node a", "attempt delay") for span in spans[name]] == [
        "CANCELLED"
    ] * 3


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gql_app.telemetry.tracing")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    with pytest.raises(MissingExtraError, match=r"GQL_APP_TRACING.*gql-app\[otel\]"):
        Instruments(Settings(tracing=True))


def test_without_the_setting_the_library_is_not_even_loaded() -> None:
    code = "from gql_app.web.app import create_app; create_app(); import sys; print('opentelemetry' in sys.modules)"

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout == "False\n"
