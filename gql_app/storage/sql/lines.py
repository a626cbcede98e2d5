"""Runs as lines of JSON: what `gql-app export` writes and `gql-app import` reads."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from gql_app.core.event_parts import StepRequest
from gql_app.core.events import RunEvent
from gql_app.core.values import Value

VERSION: Final = 1
EVENTS_A_LINE: Final = 500
BYTES_A_LINE: Final = 256 << 10
"""A line of events has no more of them, unless one alone is bigger."""


class Header(msgspec.Struct, frozen=True, tag="header", tag_field="type"):
    """The first line."""

    format: Literal["gql_app runs"] = "gql_app runs"
    version: int = VERSION


class Key(msgspec.Struct, frozen=True):
    """An idempotency key and the fingerprint of what it was used for."""

    key: str
    fingerprint: str


class RunLine(msgspec.Struct, frozen=True, omit_defaults=True, tag="run", tag_field="type"):
    """A run begins: so many events follow, the values that they refer to, and `RunEnd`."""

    run: str
    namespace: str
    events: int
    idempotency: Key | None = None
    signals: tuple[msgspec.Raw, ...] = ()
    """What was left for its executor, which has not read it yet."""


class EventsLine(msgspec.Struct, frozen=True, tag="events", tag_field="type"):
    """Further events of the run, in their order."""

    run: str
    events: tuple[msgspec.Raw, ...]


class ValueLine(msgspec.Struct, frozen=True, tag="value", tag_field="type"):
    """A value that stands beside the log."""

    run: str
    sha256: str
    json: msgspec.Raw


class RunEnd(msgspec.Struct, frozen=True, tag="end", tag_field="type"):
    """The run is complete."""

    run: str


class RunDropped(msgspec.Struct, frozen=True, tag="dropped", tag_field="type"):
    """The run cannot be told to its end: it was removed meanwhile, or cannot be read."""

    run: str


class Footer(msgspec.Struct, frozen=True, tag="footer", tag_field="type"):
    """The last line: so many complete runs stand above."""

    runs: int


Line: TypeAlias = Header | RunLine | EventsLine | ValueLine | RunEnd | RunDropped | Footer

_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[Line]] = msgspec.json.Decoder(Line)


def encode_line(line: Line) -> bytes:
    """Write a line."""
    return _encoder.encode(line) + b"\n"


def decode_line(data: bytes) -> Line:
    """Read a line. Raises `msgspec.DecodeError` for what is none."""
    return _decoder.decode(data)


def one_line(data: bytes) -> msgspec.Raw:
    """Write JSON without breaking the line: in JSON, line breaks mean no more than spaces."""
    return msgspec.Raw(data.replace(b"\n", b" ").replace(b"\r", b" "))


def references(events: Iterable[RunEvent]) -> dict[str, int]:
    """Tell the values that events refer to, with their sizes."""
    found: dict[str, int] = {}
    for event in events:
        request: StepRequest | None = getattr(event, "request", None)
        asked = request.input if request is not None else getattr(event, "input", None)
        for value in (asked, getattr(event, "output", None)):
            if isinstance(value, Value) and value.sha256 is not None:
                found[value.sha256] = value.size
    return found


class EventLines:
    """Divides the events of a run into lines, the same ones however they come."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._waiting: list[msgspec.Raw] = []
        self._bytes = 0

    def add(self, data: Sequence[bytes]) -> Iterable[EventsLine]:
        """Add encoded events, and give the lines that are full."""
        for each in data:
            if self._waiting and (self._bytes + len(each) > BYTES_A_LINE or len(self._waiting) == EVENTS_A_LINE):
                yield from self.rest()
            self._waiting.append(one_line(each))
            self._bytes += len(each)

    def rest(self) -> Iterable[EventsLine]:
        """Give the last line."""
        if self._waiting:
            yield EventsLine(self._run, tuple(self._waiting))
        self._waiting, self._bytes = [], 0
