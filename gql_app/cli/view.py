"""Shows a run while it goes on: as a table that changes on a terminal, else as a line per event."""

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from gql_app.cli.activity import describe_log
from gql_app.cli.board import Board
from gql_app.cli.frame import draw
from gql_app.cli.narration import Narrator
from gql_app.cli.output import clean
from gql_app.cli.shown import Shown
from gql_app.cli.streamed import TextLines
from gql_app.client import RunEvent

FRAMES_PER_SECOND = 8
TRUNCATED: Final = "… (more was streamed than is kept)"
BESIDE_TEXT: Final = frozenset({"NodeLog", "NodeProgress"})
"""What may be told before a line of text is complete."""
_LEVELS: Final = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "red"}


class View(AbstractContextManager["View", None], Protocol):
    """Somewhere to show a run."""

    def show(self, board: Board, events: Sequence[RunEvent]) -> None:
        """Show the run as it is now, and what has happened since."""
        ...


class PlainView:
    """Writes a line for every event: when, where, what."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._narrator = Narrator()
        self._lines = TextLines()
        self._last_at: datetime | None = None
        self._progress: dict[str | None, tuple[int | None, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end_texts()
        self._stream.flush()

    def show(self, board: Board, events: Sequence[RunEvent]) -> None:
        """Write what has happened. Of text that is streamed every line is written once it is complete, or long."""
        for event in events:
            self._last_at = event.at
            line = self._narrator.describe(event)
            if event.kind == "NodeOutputChunk" and event.node_id is not None:
                self._write_text(event.node_id, self._lines.add(event.node_id, event.text))
                if event.truncated:
                    self._write_text(event.node_id, [*self._lines.end(event.node_id), TRUNCATED])
                continue
            if event.kind == "NodeProgress" and not self._is_news(event):
                continue
            if event.node_id is None:
                self._end_texts()
            elif event.kind not in BESIDE_TEXT:
                self._write_text(event.node_id, self._lines.end(event.node_id))
            self._write(event.node_id or f"({clean(board.name, 40)})", line)
        self._stream.flush()

    def _is_news(self, event: RunEvent) -> bool:
        """Whether progress says something new, or comes to the next tenth."""
        tenth = None if event.fraction is None else int(event.fraction * 10)
        told = (tenth, event.message)
        news = self._progress.get(event.node_id) != told
        self._progress[event.node_id] = told
        return news

    def _end_texts(self) -> None:
        for node_id, line in self._lines.end_all():
            self._write_text(node_id, [line])

    def _write_text(self, node_id: str, lines: Sequence[str]) -> None:
        for line in lines:
            self._write(node_id, f"| {clean(line)}".rstrip())

    def _write(self, where: str, line: str) -> None:
        at = "" if self._last_at is None else self._last_at.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]
        self._stream.write(f"{at}Z  {where:<16}  {line}\n")


class LiveView:
    """Draws the run again and again in the same place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._board: Board | None = None
        self._shown = Shown()
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=FRAMES_PER_SECOND)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, board: Board, events: Sequence[RunEvent]) -> None:
        """Draw this from now on; what is logged is written above."""
        for event in events:
            self._shown.tell(event)
            if event.kind == "NodeLog":
                line = Text(f"{event.node_id}  {describe_log(event)}", style=_LEVELS.get(event.level or "", ""))
                self._console.print(line, soft_wrap=True)
        self._board = board

    def _draw(self) -> RenderableType:
        board = self._board
        return "" if board is None else draw(board, datetime.now(UTC), self._console.size, self._shown)


def make_view(*, table: bool = True) -> View:
    """Choose the view that suits the standard error; without `table` it is lines, also on a terminal."""
    if table and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return LiveView(Console(file=sys.stderr))
    return PlainView(sys.stderr)
