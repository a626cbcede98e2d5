"""Traces by OpenTelemetry: a span for the operation, in it one for the run, in that its nodes and their attempts."""

import os
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Final

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gql_app.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    AttemptTimedOut,
    NodeCancelled,
    NodeCompleted,
    NodeFailed,
    NodeQueued,
    NodeSkipped,
    RunEvent,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowTimedOut,
)
from gql_app.core.ids import NodeKey, RunId
from gql_app.core.plan import NodePlan
from gql_app.core.run import WorkflowRun
from gql_app.telemetry.context import add_log_fields, set_trace_parent, trace_parent
from gql_app.telemetry.monitor import Unmonitored
from gql_app.telemetry.runs import ATTEMPT_OUTCOMES

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_UNNAMED: Final = "unknown_service"


class Tracing(Unmonitored):
    """The traces of one application. Nothing that goes in or out of a run is put in them."""

    def __init__(self) -> None:
        given = trace.get_tracer_provider()
        self._owned = not isinstance(given, TracerProvider)
        self.provider = given if isinstance(given, TracerProvider) else _make_provider()
        self._tracer = self.provider.get_tracer("gql_app", version("gql-app"))
        self._runs: dict[RunId, _RunSpans] = {}

    def operation(self, name: str | None, kind: str) -> "_OperationSpan":
        """Begin an operation in the trace that its client names, or a new one; what it starts belongs to it."""
        attributes = {"graphql.operation.type": kind}
        if name is not None:
            attributes["graphql.operation.name"] = name
        span = self._tracer.start_span(
            kind if name is None else f"{kind} {name}", _parent(trace_parent()), SpanKind.SERVER, attributes
        )
        _continue(span)
        return _OperationSpan(span)

    def taken_over(self, run: WorkflowRun) -> None:
        """Begin the span of a run, within the operation that submitted it."""
        attributes = {
            "gql_app.run.id": run.run_id,
            "gql_app.namespace": run.namespace,
            "gql_app.workflow.name": run.plan.name,
        }
        parent = _parent(run.trace_parent)
        span = self._tracer.start_span(
            f"run {run.plan.name}", parent, SpanKind.INTERNAL, attributes, start_time=_nanoseconds(run.created_at)
        )
        self._runs[run.run_id] = _RunSpans(self._tracer, span)
        _continue(span)

    def stored(self, run: WorkflowRun, events: Sequence[RunEvent]) -> None:
        """Begin and end the spans of nodes and attempts, and end that of the run."""
        spans = self._runs.get(run.run_id)
        if spans is not None:
            for event in events:
                spans.hear(run, event)

    def attempting(self, run: WorkflowRun, node: NodePlan, attempt: int) -> None:
        """Let what the tool does belong to its attempt."""
        spans = self._runs.get(run.run_id)
        span = spans.attempts.get((node.key, attempt)) if spans is not None else None
        if span is not None:
            # For what the tool does itself with OpenTelemetry. The task ends with the attempt, and its context with it.
            contexts.attach(trace.set_span_in_context(span))
            _continue(span)

    def left(self, run: WorkflowRun) -> None:
        """End what has not ended."""
        spans = self._runs.pop(run.run_id, None)
        if spans is not None:
            spans.close()

    def close(self) -> None:
        """Send what is left. Blocks as long as that takes."""
        if self._owned:
            self.provider.shutdown()


class _OperationSpan:
    def __init__(self, span: Span) -> None:
        self._span = span

    def end(self, outcome: str) -> None:
        """Say how it has ended."""
        self._span.set_attribute("gql_app.outcome", outcome)
        if outcome == "FAILED":
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class _RunSpans:
    """The spans of one run that have not ended."""

    def __init__(self, tracer: trace.Tracer, span: Span) -> None:
        self._tracer = tracer
        self._run = span
        self._nodes: dict[NodeKey, Span] = {}
        self.attempts: dict[tuple[NodeKey, int], Span] = {}

    def hear(self, run: WorkflowRun, event: RunEvent) -> None:
        match event:
            case NodeQueued():
                self._node(run, event.node, event.at)
            case AttemptStarted():
                self._start_attempt(run, event)
            case NodeCompleted():
                self._end_attempt(event)
                self._end_node(event.node, event.at, "COMPLETED")
            case AttemptFailed() | AttemptTimedOut() | AttemptLost():
                self._end_attempt(event, event.error.type)
            case AttemptCancelled():
                self._end_attempt(event)
            case NodeFailed():
                self._end_node(event.node, event.at, "FAILED", event.error.type)
            case NodeCancelled():
                self._end_node(event.node, event.at, "CANCELLED")
            case NodeSkipped():
                self._end_node(event.node, event.at, "SKIPPED")
            case WorkflowCompleted() | WorkflowCancelled():
                _end(self._run, event.at, run.status.value)
            case WorkflowFailed() | WorkflowTimedOut():
                _end(self._run, event.at, run.status.value, event.error.type)
            case _:
                pass

    def close(self) -> None:
        for span in (*self.attempts.values(), *self._nodes.values(), self._run):
            if span.is_recording():
                span.set_attribute("gql_app.outcome", "LEFT")
                span.end()

    def _node(self, run: WorkflowRun, key: NodeKey, at: datetime) -> Span:
        span = self._nodes.get(key)
        if span is None:
            span = self._nodes[key] = self._start(self._run, f"node {key}", at, run, key)
        return span

    def _start_attempt(self, run: WorkflowRun, event: AttemptStarted) -> None:
        node = self._node(run, event.node, event.at)
        tool = run.node_plan(event.node).tool
        span = self._start(node, f"attempt {tool}", event.at, run, event.node)
        span.set_attribute("gql_app.attempt", event.attempt)
        self.attempts[event.node, event.attempt] = span

    def _start(self, parent: Span, name: str, at: datetime, run: WorkflowRun, key: NodeKey) -> Span:
        attributes = {
            "gql_app.run.id": run.run_id,
            "gql_app.node.id": str(key),
            "gql_app.tool": run.node_plan(key).tool,
        }
        context = trace.set_span_in_context(parent)
        return self._tracer.start_span(name, context, SpanKind.INTERNAL, attributes, start_time=_nanoseconds(at))

    def _end_attempt(
        self,
        event: NodeCompleted | AttemptFailed | AttemptTimedOut | AttemptLost | AttemptCancelled,
        error: str | None = None,
    ) -> None:
        span = self.attempts.pop((event.node, event.attempt), None)
        if span is not None:
            _end(span, event.at, ATTEMPT_OUTCOMES[type(event)], error)

    def _end_node(self, key: NodeKey, at: datetime, outcome: str, error: str | None = None) -> None:
        span = self._nodes.pop(key, None)
        if span is not None:
            _end(span, at, outcome, error)


def _make_provider() -> TracerProvider:
    """Set up sending, by the standard variables of OpenTelemetry: OTEL_EXPORTER_OTLP_… and others."""
    resource = Resource.create({SERVICE_VERSION: version("gql-app")})
    if str(resource.attributes.get(SERVICE_NAME, _UNNAMED)).startswith(_UNNAMED):
        resource = resource.merge(Resource({SERVICE_NAME: "gql-app"}))
    # It is shut down with the application, not when the interpreter ends: that would wait for a collector that is gone.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    if os.environ.get("OTEL_TRACES_EXPORTER") != "none":
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _parent(value: str | None) -> contexts.Context:
    """Make the context of a `traceparent`. One that is not valid begins a new trace."""
    empty = contexts.Context()
    return empty if value is None else _PROPAGATOR.extract({"traceparent": value}, empty)


def _continue(span: Span) -> None:
    """Let the running code belong to a span."""
    found = span.get_span_context()
    if found.is_valid:
        trace_id = trace.format_trace_id(found.trace_id)
        set_trace_parent(f"00-{trace_id}-{trace.format_span_id(found.span_id)}-{found.trace_flags:02x}")
        add_log_fields({"trace_id": trace_id})


def _end(span: Span, at: datetime, outcome: str, error: str | None = None) -> None:
    """End a span. Of an error there is the type alone: its message may quote what went in."""
    span.set_attribute("gql_app.outcome", outcome)
    if error is not None:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR, error))
    span.end(_nanoseconds(at))


def _nanoseconds(at: datetime) -> int:
    return round(at.timestamp() * 1e6) * 1_000
