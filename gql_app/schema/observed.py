"""Counts operations and says in the log what they are; otherwise they are carried out as ever."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from gql_app.core.access import Identity
from gql_app.schema.context import Context
from gql_app.schema.execution import Answer, GraphQLRequest, Operation, Operations, RefusedOperationError
from gql_app.settings import Settings
from gql_app.telemetry.context import add_log_fields
from gql_app.telemetry.instruments import Instruments
from gql_app.telemetry.requests import ANONYMOUS, CANCELLED, COMPLETED, FAILED, REFUSED

_NAME_CHARACTERS: Final = 100


class ObservedOperations(Operations):
    """Operations that are counted by name, kind and outcome, and traced if `instruments` trace."""

    def __init__(self, settings: Settings, instruments: Instruments) -> None:
        super().__init__(settings)
        self._metrics = instruments.metrics.operations
        self._traces = instruments.traces

    def prepare(self, request: GraphQLRequest, identity: Identity) -> Operation:
        """Parse and check what was asked. Raises `RefusedOperationError`."""
        try:
            return super().prepare(request, identity)
        except RefusedOperationError:
            self._metrics.refused()
            raise

    async def execute(self, operation: Operation, context: Context) -> Answer:
        """Carry out a query or a mutation."""
        _note(operation, context)
        span = self._traces.operation(operation.name, operation.kind.value) if self._traces else None
        started = time.perf_counter()
        outcome = CANCELLED
        try:
            answer = await super().execute(operation, context)
            outcome = FAILED if answer.failed else COMPLETED
        finally:
            self._count(operation, outcome, time.perf_counter() - started)
            if span is not None:
                span.end(outcome)
        return answer

    async def subscribe(self, operation: Operation, context: Context) -> AsyncGenerator[Answer, None]:
        """Carry out a subscription; close the generator to end it."""
        _note(operation, context)
        span = self._traces.operation(operation.name, operation.kind.value) if self._traces else None
        outcome, failed = CANCELLED, False
        self._metrics.subscribed(context.transport, 1)
        try:
            async with aclosing(super().subscribe(operation, context)) as answers:
                async for answer in answers:
                    self._metrics.delivered(context.transport)
                    failed = answer.failed
                    if answer.broken:
                        outcome = FAILED  # Nothing follows, so nobody has to ask for more.
                    yield answer
            outcome = FAILED if failed else COMPLETED
        except RefusedOperationError:
            outcome = REFUSED
            raise
        finally:
            self._metrics.subscribed(context.transport, -1)
            self._count(operation, outcome)
            if span is not None:
                span.end(outcome)

    def _count(self, operation: Operation, outcome: str, seconds: float | None = None) -> None:
        self._metrics.count(operation.name, operation.kind.value, outcome, seconds, trusted=operation.trusted)


def _note(operation: Operation, context: Context) -> None:
    """Let the log say what is carried out, and for whom."""
    name = operation.name or ANONYMOUS
    add_log_fields({"operation": name[:_NAME_CHARACTERS], "caller": context.identity.name})
