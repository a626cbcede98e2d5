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
ITSELF: Final[Source] = (None, 0)
"""The attempt and none of its steps."""


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
        self._texts: dict[Source, list[str]] = {}
        """The pieces of the chunks that are being put together."""
        self._pending = 0
        """How many characters they have."""
        self._lost = False
        """Whether something was left out."""
        self._cut = False
        """Whether that has been told."""
        self._mark: Mark | None = None
        self._last_mark = Mark()
        self._handle: asyncio.TimerHandle | None = None
        self._mark_handle: asyncio.TimerHandle | None = None
        """Tells progress that had to wait longer than the rest."""
        self._asked = self._asked_urgently = False
        self._closed = False

    def emit(self, text: str, source: Source = ITSELF) -> None:
        """Add text that was streamed."""
        with self._lock:
            if self._closed or self._lost:
                return
            # Of what is more than is kept, only that it is more will be told.
            if self._pending > self._bytes_left:
                self._lost = True
            else:
                self._texts.setdefault(source, []).append(text)
                self._pending += len(text)
            urgent = self._lost or self._pending >= FLUSH_BYTES
        self._ask(urgent=urgent)

    def log(self, level: LogLevel, message: str, fields: Mapping[str, Json], step: str | None = None) -> None:
        """Add a line to the log."""
        if self._lines_left <= 0:
            return
        line = self._line(level, message, fields, step)
        with self._lock:
            if self._closed or self._lines_left <= 0:
                return
            self._lines_left -= 1
            if not self._lines_left:
                line = msgspec.structs.replace(line, truncated=True)
            self._end_chunks()
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

    def show(self) -> None:
        """Tell what was shown so far, on the loop, but for what may be the beginning of a secret."""
        with self._lock:
            self._end_chunks()
            reports = self._take(all_of_it=True)
        if reports:
            self._tell(reports)

    def finish(self, source: Source) -> None:
        """Tell all that a step has streamed, on the loop: it has ended."""
        with self._lock:
            self._end_chunks(source)
            reports = self._take(all_of_it=False)
        if reports:
            self._tell(reports)

    def forget(self, source: Source) -> None:
        """Leave out what a try of a step has streamed and was not told: it is void."""
        with self._lock:
            self._pending -= sum(map(len, self._texts.pop(source, ())))

    def flush(self) -> None:
        """Tell everything that was shown so far, on the loop: the attempt has ended."""
        with self._lock:
            self._end_chunks(*self._texts)
            reports = self._take(all_of_it=True)
        if reports:
            self._tell(reports)

    def close(self) -> None:
        """Take nothing more."""
        with self._lock:
            self._closed = True
            self._reports, self._texts, self._mark = [], {}, None
        for handle in (self._handle, self._mark_handle):
            if handle is not None:
                handle.cancel()

    # When it is told

    def _ask(self, *, urgent: bool) -> None:
        """See to it that it is told soon. There is no need if somebody has."""
        if self._asked_urgently or (self._asked and not urgent):
            return
        self._asked, self._asked_urgently = True, urgent
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
            self._asked = self._asked_urgently = False
            self._end_chunks()
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

    def _end_chunks(self, *ended: Source) -> None:
        """Make chunks of the texts so far; of those that go on, without what may be the beginning of a secret."""
        redactor = self._redactor()
        texts, self._texts, self._pending = self._texts, {}, 0
        for source, pieces in texts.items():
            text, kept = "".join(pieces), ""
            if redactor:
                text, kept = (redactor.hide(text), "") if source in ended else redactor.hide_start(text)
            if kept:
                self._texts[source] = [kept]
                self._pending += len(kept)
            self._add_chunks(text, source)
        if self._lost and not self._cut:
            # It is of no step: what a step has shown may become void, and that something was cut may not.
            self._reports.append(Chunk("", *ITSELF, True))
            self._cut = True

    def _add_chunks(self, text: str, source: Source) -> None:
        if self._cut or not text:
            return
        data = text.encode("utf-8", "replace")
        left = max(0, min(self._bytes_left, self._room()))
        self._lost = self._lost or len(data) > left
        self._bytes_left -= min(len(data), left)
        text = data[:left].decode("utf-8", "ignore")
        for start in range(0, len(text), CHUNK_CHARACTERS):
            self._reports.append(Chunk(text[start : start + CHUNK_CHARACTERS], *source))

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
