"""Traces of a real server: over a websocket, and as they arrive at a collector."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gql_app.schema import operations
from gql_app.settings import Settings
from gql_app.telemetry.tracing import Tracing
from tests.support.documents import document, echo
from tests.support.server import live_server, server_process

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACE_PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


class Collector(http.server.ThreadingHTTPServer):
    """Takes what exporters send."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        self.server.received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def collecting() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            thread.join()


def test_a_server_sends_its_spans_to_the_collector_before_it_ends() -> None:
    with collecting() as collector:
        with server_process(GQL_APP_TRACING="true", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as server:
            with server.client() as client:
                answer = client.post("/workflows/", json=document(echo("a", 1)), headers={"traceparent": TRACE_PARENT})
                run_id = answer.json()["run_id"]
                while client.get(f"/workflows/{run_id}").json()["finished_at"] is None:
                    pass
            assert server.stop() == 0
        received = list(collector.received)

    requests = [ExportTraceServiceRequest.FromString(body) for path, body in received if path == "/v1/traces"]
    resources = [resource for request in requests for resource in request.resource_spans]
    spans = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
    services = {
        item.value.string_value for r in resources for item in r.resource.attributes if item.key == "service.name"
    }
    assert services == {"gql-app"}
    assert {span.trace_id.hex() for span in spans} == {TRACE_ID}
    assert {span.name for span in spans} >= {"node a", "attempt echo"}


@pytest.mark.anyio
async def test_over_a_websocket_the_trace_comes_with_the_introduction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    exporter = InMemorySpanExporter()
    with live_server(Settings(tracing=True, shutdown_grace_seconds=0)) as server:
        tracing = server.server.config.loaded_app.state.instruments.traces
        assert isinstance(tracing, Tracing)
        tracing.provider.add_span_processor(SimpleSpanProcessor(exporter))
        async with server.socket(introduced=False) as socket:
            await socket.send(type="connection_init", payload={"traceparent": TRACE_PARENT})
            assert (await socket.receive())["type"] == "connection_ack"
            [_] = [data async for data in socket.results(operations.load("Health"))]

    [operation] = exporter.get_finished_spans()
    assert operation.name == "query Health"
    assert operation.parent is not None
    assert f"{operation.parent.trace_id:032x}" == TRACE_ID
