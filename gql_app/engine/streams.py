"""What an attempt shows while it goes on: put together, limited, and told to the machine piece by piece."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec
import orjson

from gql_app.core.events import LogLevel
from gql_app.core.redaction import Redactor
from gql_app.core.reports import Chunk, LogLine, Mark, Report
from gql_app.core.values import NO_FIELDS, Json

FLUSH_SECONDS: Final = 0.05
"""What is shown within this time is told together."""
FLUSH_BYTES: Final = 4_096
"""So much text is told at once."""
CHUNK_CHARACTERS: Final = 16_384
"""What is longer becomes several chunks."""
SLOWING: Final = 1_000
"""Pieces are told at most so often in the time that the attempt has taken so far, but for the first so many."""
MARK_SLOWING: Final = 200
"""The same for progress."""
MESSAGE_CHARACTERS: Final = 2_000
FIELDS_BYTES: Final = 4_096

Source: TypeAlias = tuple[str | None, int]
"""The step that shows something and its try, or none."""


class AttemptStream:
    """Collects what one attempt and its steps show. Any thread may add to it; the loop tells it.

    What is told is bounded: the bytes of text, the lines of the log, and how often.
    """

    def __init__(
        self,
        tell: Callable[[tuple[Report, ...]], None],
        *,
        maximum_bytes: int,
        maximum_lines: int,
        room: Callable[[], int],
        redactor: Callable[[], Redactor | None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._tell = tell
        self._bytes_left = maximum_bytes
        self._lines_left = maximum_lines
        self._room = room
        self._redactor = redactor
        self._loop = loop
        self._began = self._told_mark = self._loop.time()
        self._lock = threading.Lock()
        self._reports: list[Report] = []
        self._texts: list[str] = []
        """The pieces of the chunk that is being put together."""
        self._source: Source = (None, 0)
        self._pending = 0
        self._mark: Mark | None = None
        self._last_mark = Mark()
        self._handle: asyncio.TimerHandle | None = None
        self._mark_handle: asyncio.TimerHandle | None = None
        """Tells progress that had to wait longer than the rest."""
        self._asked = False
        self._closed = False

    def emit(self, text: str, source: Source = (None, 0)) -> None:
        """Add text that was streamed."""
        with self._lock:
            # Of what is more than is kept, only that it is more will be told.
            if self._closed or self._bytes_left <= 0 or self._pending > self._bytes_left:
                return
            if source != self._source:
                self._end_chunk()
                self._source = source
            self._texts.append(text)
            self._pending += len(text)
            urgent = self._pending >= FLUSH_BYTES
        self._ask(urgent=urgent)

    def log(self, level: LogLevel, message: str, fields: Mapping[str, Json], step: str | None = None) -> None:
        """Add a line to the log."""
        line = self._line(level, message, fields, step)
        with self._lock:
            if self._closed or self._lines_left <= 0:
                return
            self._lines_left -= 1
            if not self._lines_left:
                line = msgspec.structs.replace(line, truncated=True)
            self._end_chunk()
            self._reports.append(line)
        self._ask(urgent=False)

    def progress(self, fraction: float | None, message: str | None) -> None:
        """Say how far the attempt has come; what is not said stays as it was."""
        message = None if message is None else self._message(message)
        with self._lock:
            before = self._mark or self._last_mark
            self._mark = Mark(
                before.fraction if fraction is None else fraction, before.message if message is None else message
            )
        self._ask(urgent=False)

    def flush(self) -> None:
        """Tell everything that was shown so far, on the loop; what may be the beginning of a secret, too."""
        with self._lock:
            self._end_chunk()
            reports = self._take(all_of_it=True)
        if reports:
            self._tell(reports)

    def close(self) -> None:
        """Take nothing more."""
        with self._lock:
            self._closed = True
            self._reports, self._texts, self._mark = [], [], None
        for handle in (self._handle, self._mark_handle):
            if handle is not None:
                handle.cancel()

    # When it is told

    def _ask(self, *, urgent: bool) -> None:
        """See to it that it is told soon. There is no need if somebody has."""
        if self._asked and not urgent:
            return
        self._asked = True
        if self._is_here():
            self._schedule(urgent)
            return
        try:
            self._loop.call_soon_threadsafe(self._schedule, urgent)
        except RuntimeError:
            self._closed = True  # The loop is closed: nobody watches any more.

    def _is_here(self) -> bool:
        """Tell whether the caller is on the loop, and not in another thread."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _schedule(self, urgent: bool) -> None:
        if self._closed:
            return
        if urgent:
            if self._handle is not None:
                self._handle.cancel()
            self._due()
        elif self._handle is None:
            self._handle = self._loop.call_later(max(FLUSH_SECONDS, self._age() / SLOWING), self._due)

    def _age(self) -> float:
        return self._loop.time() - self._began

    def _due(self) -> None:
        self._handle = None
        with self._lock:
            self._asked = False
            self._show_text()
            reports = self._take(all_of_it=False)
            waits = self._mark is not None
        if reports:
            self._tell(reports)
        if waits and self._mark_handle is None and not self._closed:
            self._mark_handle = self._loop.call_at(self._mark_due(), self._due_mark)

    def _due_mark(self) -> None:
        self._mark_handle = None
        self._due()

    def _take(self, *, all_of_it: bool) -> tuple[Report, ...]:
        """Take what is ready to be told; progress only if it is time, or it is the last."""
        reports, self._reports = self._reports, []
        if self._mark is not None and (all_of_it or self._loop.time() >= self._mark_due()):
            if self._mark != self._last_mark:
                reports.append(self._mark)
                self._last_mark = self._mark
                self._told_mark = self._loop.time()
            self._mark = None
        return tuple(reports)

    def _mark_due(self) -> float:
        """Tell when progress may be told again: the later, the longer the attempt has told it."""
        return self._told_mark + max(FLUSH_SECONDS, (self._told_mark - self._began) / MARK_SLOWING)

    # What is told

    def _show_text(self) -> None:
        """Make a chunk of the text so far, without what may be the beginning of a secret."""
        redactor = self._redactor()
        if not redactor:
            self._end_chunk()
            return
        shown, kept = redactor.hide_start("".join(self._texts))
        self._texts, self._pending = ([kept] if kept else []), 0
        self._add_chunks(shown)

    def _end_chunk(self) -> None:
        """Make a chunk of all the text so far."""
        if self._texts:
            text = self._shown("".join(self._texts))
            self._texts, self._pending = [], 0
            self._add_chunks(text)

    def _add_chunks(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        left = max(0, min(self._bytes_left, self._room()))
        truncated = len(data) > left
        text = data[:left].decode("utf-8", "ignore")
        self._bytes_left = 0 if truncated else self._bytes_left - len(data)
        pieces = [text[start : start + CHUNK_CHARACTERS] for start in range(0, len(text), CHUNK_CHARACTERS)]
        if truncated and not pieces:
            pieces = [""]
        for number, piece in enumerate(pieces, 1):
            self._reports.append(Chunk(piece, *self._source, truncated and number == len(pieces)))

    def _shown(self, text: str) -> str:
        redactor = self._redactor()
        return redactor.hide(text) if redactor else text

    def _line(self, level: LogLevel, message: str, fields: Mapping[str, Json], step: str | None) -> LogLine:
        return LogLine(level, self._message(message), self._fields(fields), step)

    def _message(self, text: str) -> str:
        text = self._shown(text).encode("utf-8", "replace").decode()
        return text if len(text) <= MESSAGE_CHARACTERS else f"{text[: MESSAGE_CHARACTERS - 1]}…"

    def _fields(self, fields: Mapping[str, Json]) -> msgspec.Raw:
        if not fields:
            return NO_FIELDS
        data = _encode_fields(fields)
        redactor = self._redactor()
        if redactor:
            data = orjson.dumps(redactor.hide_in(orjson.loads(data)))
        if len(data) > FIELDS_BYTES:
            data = orjson.dumps({"truncated": f"{len(data)} bytes; {FIELDS_BYTES} are kept at most."})
        return msgspec.Raw(data)


def _encode_fields(fields: Mapping[str, Json]) -> bytes:
    """Encode what a line says beside its message, as well as can be: a log must not fail the tool that keeps it."""
    try:
        return orjson.dumps(fields, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return orjson.dumps({_plain(name): _plain(value) for name, value in fields.items()})


def _plain(value: Json) -> str:
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:  # noqa: BLE001 - an edge: the tool's own object cannot say what it is
        text = f"({type(value).__name__})"
    return text[:200].encode("utf-8", "replace").decode()
