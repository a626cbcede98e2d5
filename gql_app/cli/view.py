"""Shows a run while it goes on: as a table that changes on a terminal, else as a line per event."""

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console, RenderableType
from rich.live import Live

from gql_app.cli.board import Board
from gql_app.cli.frame import draw
from gql_app.cli.narration import Narrator
from gql_app.cli.output import clean
from gql_app.client import RunEvent

FRAMES_PER_SECOND = 8


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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.flush()

    def show(self, board: Board, events: Sequence[RunEvent]) -> None:
        """Write what has happened."""
        for event in events:
            at = event.at.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]
            where = event.node_id or f"({clean(board.name, 40)})"
            self._stream.write(f"{at}Z  {where:<16}  {self._narrator.describe(event)}\n")
        self._stream.flush()


class LiveView:
    """Draws the run again and again in the same place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._board: Board | None = None
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=FRAMES_PER_SECOND)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, board: Board, events: Sequence[RunEvent]) -> None:
        """Draw this from now on."""
        self._board = board

    def _draw(self) -> RenderableType:
        board = self._board
        return "" if board is None else draw(board, datetime.now(UTC), self._console.size.height)


def make_view() -> View:
    """Choose the view that suits the standard error."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return LiveView(Console(file=sys.stderr))
    return PlainView(sys.stderr)
