"""Draws a run as a table that fits on a screen: what goes on comes first, the rest is counted."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.console import ConsoleDimensions, Group
from rich.text import Text

from gql_app.cli.activity import describe_usage
from gql_app.cli.board import Board
from gql_app.cli.output import clean
from gql_app.cli.shown import Shown
from gql_app.cli.words import describe_state, format_seconds
from gql_app.client import NodeRun

AROUND: Final = 3
"""Lines that are not nodes: the heading, the summary, and the one where the cursor stands."""

LONGEST_NAME: Final = 32
TEXT_LINES: Final = 5
"""So many lines at most are shown of what a node streams."""

INDENT: Final = "    | "

_STYLES: Final = {
    "PENDING": "dim",
    "QUEUED": "cyan",
    "RUNNING": "blue",
    "STOPPING": "yellow",
    "RETRYING": "yellow",
    "COMPLETED": "green",
    "FAILED": "red",
    "TIMED_OUT": "red",
    "SKIPPED": "dim",
    "CANCELLED": "magenta",
}
_FIRST: Final = ("RUNNING", "RETRYING", "FAILED", "QUEUED", "CANCELLED", "PENDING", "COMPLETED", "SKIPPED")
"""Which nodes are shown if there is no room for all."""

_ENDED: Final = frozenset({"COMPLETED", "FAILED", "SKIPPED", "CANCELLED"})


def draw(board: Board, now: datetime, size: ConsoleDimensions, activity: Shown) -> Group:
    """Draw a run so that it fits into the size: its nodes and, where there is room, the end of what they stream."""
    statuses = board.statuses()
    room = max(1, size.height - AROUND)
    shown = choose(statuses, room)
    parts = [_heading(board, statuses, now)]
    nodes = [board.node(index) for index in shown]
    running = [node for node in nodes if node.status == "RUNNING"]
    each = min(TEXT_LINES, (room - len(shown)) // len(running)) if running else 0
    for node, line in zip(nodes, _lines(nodes, now, activity), strict=True):
        parts.append(line)
        if node.status == "RUNNING":
            parts += _text(activity.last_lines(node.id, room=each, width=max(10, size.width - len(INDENT) - 1)))
    if len(shown) < len(statuses):
        parts.append(Text(summarize(statuses, shown), style="dim", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def choose(statuses: Sequence[str], room: int) -> list[int]:
    """Choose the nodes to show: all if there is room, else those where something goes on, in document order."""
    if len(statuses) <= room:
        return list(range(len(statuses)))
    rank = {status: place for place, status in enumerate(_FIRST)}
    by_rank = sorted(range(len(statuses)), key=lambda index: rank.get(statuses[index], 0))
    return sorted(by_rank[:room])


def summarize(statuses: Sequence[str], shown: Sequence[int]) -> str:
    """Count the nodes that are not shown."""
    counts = Counter(statuses) - Counter(statuses[index] for index in shown)
    told = ", ".join(f"{counts[status]} {status.lower()}" for status in _FIRST if counts[status])
    return f"… and {len(statuses) - len(shown)} more: {told}"


def _heading(board: Board, statuses: Sequence[str], now: datetime) -> Text:
    ended = sum(status in _ENDED for status in statuses)
    heading = Text(no_wrap=True, overflow="ellipsis")
    heading.append(clean(board.name, 60), style="bold")
    heading.append(f"  {board.status}", style=_STYLES.get(board.status, ""))
    heading.append(f"  {ended}/{len(statuses)} nodes")
    if board.started_at is not None:
        heading.append(f"  {_elapsed(board.started_at, board.finished_at, now)}")
    if board.usage is not None:
        heading.append(f"  {describe_usage(board.usage)}", style="dim")
    return heading


def _text(lines: Sequence[str]) -> list[Text]:
    return [Text(f"{INDENT}{line}", no_wrap=True, overflow="ellipsis") for line in lines]


def _lines(nodes: Sequence[NodeRun], now: datetime, activity: Shown) -> list[Text]:
    width = min(LONGEST_NAME, max((len(node.id) for node in nodes), default=0))
    return [_line(node, width, now, activity) for node in nodes]


def _line(node: NodeRun, width: int, now: datetime, activity: Shown) -> Text:
    name = node.id if len(node.id) <= width else f"{node.id[: width - 1]}…"
    line = Text(f"  {name:<{width}}  ", no_wrap=True, overflow="ellipsis")
    line.append(f"{node.status:<9}  ", style=_STYLES.get(node.status, ""))
    line.append(f"{_attempts(node):<5}  {_elapsed(node.started_at, node.finished_at, now):<9}  ")
    state = "  ".join(filter(None, (describe_state(node, now), activity.steps(node.id))))
    line.append(state, style="red" if node.status == "FAILED" else "dim")
    return line


def _attempts(node: NodeRun) -> str:
    return f"{node.attempt}/{node.maximum_attempts}" if node.attempt else ""


def _elapsed(start: datetime | None, end: datetime | None, now: datetime) -> str:
    return format_seconds(max(0.0, ((end or now) - start).total_seconds())) if start is not None else ""
