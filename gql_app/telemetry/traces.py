"""What traces are asked to do, without the library that does it: it is loaded only if traces are wanted."""

from typing import Protocol

from gql_app.telemetry.monitor import Monitor


class OperationSpan(Protocol):
    """An operation that goes on."""

    def end(self, outcome: str) -> None:
        """Say how it has ended."""
        ...


class Traces(Monitor, Protocol):
    """Traces operations, and what follows from them."""

    def operation(self, name: str | None, kind: str) -> OperationSpan:
        """Begin an operation in the trace of the running code, or a new one; what it starts belongs to it."""
        ...

    def close(self) -> None:
        """Send what is left. May block for a while."""
        ...
