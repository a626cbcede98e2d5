"""A run that is being read from lines, checked on the way; its lines wait on the disk until it is complete."""

from collections.abc import Iterator
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import Final

import msgspec

from gql_app.core.codec import decode_events
from gql_app.core.events import RunEvent, WorkflowSubmitted
from gql_app.core.fold import begin, evolve
from gql_app.core.run import WorkflowRun
from gql_app.core.signals import CancelRequested
from gql_app.storage.shown import shown_bytes
from gql_app.storage.sql.lines import EventsLine, RunLine, ValueLine, decode_line, encode_line, references

MEMORY_BYTES: Final = 1 << 20
"""What a run may take before it waits on the disk."""
_NO_LOG: Final = (ValueError, LookupError, TypeError, AttributeError)
"""What folding a log raises that no machine has written."""


class DamagedRunError(Exception):
    """What is told of a run cannot be one; the message says why."""


class StagedRun:
    """A run as far as it has been read. Every method raises `DamagedRunError`."""

    def __init__(self, line: RunLine) -> None:
        self.line: Final = line
        self.first: WorkflowSubmitted | None = None
        self.size = 0
        """How many bytes it takes, about."""
        self.value_bytes = 0
        self._run: WorkflowRun | None = None
        self._wanted: dict[str, int] = {}
        self._given: set[str] = set()
        try:
            self.signals = [msgspec.json.decode(signal, type=CancelRequested) for signal in line.signals]
        except msgspec.MsgspecError as error:
            raise DamagedRunError(f"a signal for it cannot be read ({error})") from None
        self._spool = SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115 - `close` closes it

    @property
    def run(self) -> WorkflowRun:
        """The run that its events make."""
        assert self._run is not None
        return self._run

    def add_events(self, line: EventsLine) -> None:
        """Let further events have happened."""
        self._check_id(line.run)
        for event in _decode(line):
            self._happen(event)
        self._keep(line)

    def add_value(self, line: ValueLine) -> None:
        """Take a value."""
        self._check_id(line.run)
        data = bytes(line.json)
        if sha256(data).hexdigest() != line.sha256:
            raise DamagedRunError(f"the value {line.sha256} is damaged")
        if line.sha256 not in self._wanted:
            raise DamagedRunError(f"no event refers to the value {line.sha256}")
        if line.sha256 not in self._given:
            self._given.add(line.sha256)
            self.value_bytes += len(data)
            self._keep(line)

    def complete(self) -> None:
        """Check that nothing is missing."""
        last = 0 if self._run is None else self._run.sequence
        if last != self.line.events:
            raise DamagedRunError(f"it has {last} events, and should have {self.line.events}")
        if missing := sorted(self._wanted.keys() - self._given):
            raise DamagedRunError(f"the value {missing[0]} is missing")

    def events(self) -> Iterator[list[RunEvent]]:
        """Give its events once more, some at a time."""
        return (_decode(line) for line in self._lines() if isinstance(line, EventsLine))

    def values(self) -> Iterator[tuple[str, bytes]]:
        """Give its values once more."""
        return ((line.sha256, bytes(line.json)) for line in self._lines() if isinstance(line, ValueLine))

    def close(self) -> None:
        """Let go of its lines."""
        self._spool.close()

    def _lines(self) -> Iterator[object]:
        self._spool.seek(0)
        return map(decode_line, self._spool)

    def _keep(self, line: EventsLine | ValueLine) -> None:
        data = encode_line(line)
        self._spool.write(data)
        self.size += len(data)

    def _check_id(self, run_id: str) -> None:
        if run_id != self.line.run:
            raise DamagedRunError(f"a line of run {run_id!r} stands in it")

    def _happen(self, event: RunEvent) -> None:
        try:
            if self._run is None:
                self._run = self._begin(event)
            elif self._run.status.final:
                raise DamagedRunError(f"event {event.sequence} follows its end")
            else:
                evolve(self._run, event)
        except _NO_LOG as error:
            raise DamagedRunError(f"event {event.sequence} cannot have happened ({error})") from None
        self._wanted |= references((event,))
        self.value_bytes += shown_bytes((event,))

    def _begin(self, event: RunEvent) -> WorkflowRun:
        if not isinstance(event, WorkflowSubmitted) or event.sequence != 1:
            raise DamagedRunError("its log does not begin with its submission")
        if (event.run_id, event.namespace) != (self.line.run, self.line.namespace):
            raise DamagedRunError(f"its log is that of run {event.run_id!r} in namespace {event.namespace!r}")
        self.first = event
        return begin(event)


def _decode(line: EventsLine) -> list[RunEvent]:
    try:
        return decode_events(b"[%b]" % b",".join(line.events))
    except (msgspec.MsgspecError, ValueError) as error:
        raise DamagedRunError(f"an event cannot be read ({error})") from None
