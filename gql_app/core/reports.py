"""What an attempt shows while it goes on, as the machine is told it."""

from typing import TypeAlias

import msgspec

from gql_app.core.events import LogLevel
from gql_app.core.values import NO_FIELDS


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """Text that an attempt streamed, or a try of one of its steps; `truncated` if more of it is not kept."""

    text: str
    step: str | None = None
    step_attempt: int = 0
    truncated: bool = False


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """A line that an attempt logged; `fields` is a JSON object, `truncated` if more lines are not kept."""

    level: LogLevel
    message: str
    fields: msgspec.Raw = NO_FIELDS
    step: str | None = None
    truncated: bool = False


class Mark(msgspec.Struct, frozen=True, gc=False):
    """How far an attempt says it has come."""

    fraction: float | None = None
    message: str = ""


Report: TypeAlias = Chunk | LogLine | Mark
