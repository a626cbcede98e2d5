"""What the running code works for: log lines carry it, and requests that go out pass its trace on."""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final, TypeAlias

Fields: TypeAlias = Mapping[str, str | int]

_TRACE_PARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_NOTHING: Final[Fields] = MappingProxyType({})
_fields: Final[ContextVar[Fields]] = ContextVar("gql_app.log_fields", default=_NOTHING)
_trace_parent: Final[ContextVar[str | None]] = ContextVar("gql_app.trace_parent", default=None)


def log_fields() -> Fields:
    """Tell what the log lines of the running code carry."""
    return _fields.get()


def set_log_fields(fields: Fields) -> None:
    """Let the log lines of this task, and of the tasks and threads it starts, carry these fields and no others."""
    _fields.set(fields)


def add_log_fields(fields: Fields) -> None:
    """Let them carry these fields, too."""
    _fields.set({**_fields.get(), **fields})


def trace_parent() -> str | None:
    """Tell the W3C `traceparent` of the running code; None if it is not traced."""
    return _trace_parent.get()


def set_trace_parent(value: object) -> None:
    """Let this task, and the tasks and threads it starts, belong to a trace; to none if this is no `traceparent`."""
    found = _TRACE_PARENT.fullmatch(value) if isinstance(value, str) else None
    _trace_parent.set(found.group() if found else None)
