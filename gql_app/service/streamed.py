"""What attempts have shown so far: the text of a run's latest attempts, and its logs, as of any place of its log."""

from collections import deque
from collections.abc import Sequence
from typing import Final

from gql_app.core.events import NodeLog, NodeOutputChunk, RunEvent, StepFailed
from gql_app.core.ids import NodeKey
from gql_app.core.run import AttemptStatus, NodeRun

PIECE_BYTES: Final = 200
"""What keeping a piece of text, or a line of a log, takes, whatever stands in it."""
KEPT_LINES: Final = 200
"""So many lines that a node has logged are at hand."""
_VOID: Final = frozenset({AttemptStatus.FAILED, AttemptStatus.TIMED_OUT, AttemptStatus.LOST})


def has_streamed(node: NodeRun) -> bool:
    """Whether the latest attempt of a node has streamed anything and was not made void by failing."""
    return node.streamed_bytes > 0 and node.attempts[-1].status not in _VOID


class StreamedText:
    """Text that an attempt has streamed. `truncated` says whether more was streamed after it than is kept."""

    __slots__ = ("_pieces", "truncated")

    def __init__(self, pieces: Sequence[str], *, truncated: bool) -> None:
        self._pieces = pieces
        self.truncated = truncated

    @property
    def text(self) -> str | None:
        """Join it; None if nothing of it counts any more."""
        return "".join(self._pieces) or None


class _Piece:
    """A chunk. `voided` is the sequence of the failure that made it void, 0 if none has."""

    __slots__ = ("sequence", "size", "step", "text", "truncated", "voided")

    def __init__(self, event: NodeOutputChunk) -> None:
        self.sequence = event.sequence
        self.size = len(event.text.encode())
        self.step = event.step
        self.text = event.text
        self.truncated = event.truncated
        self.voided = 0


class _Latest:
    """What the latest attempt of a node that streamed anything has streamed."""

    __slots__ = ("attempt", "pieces", "size")

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt
        self.pieces: list[_Piece] = []
        self.size = 0


class Streamed:
    """What attempts of a run have shown, as far as its log has been folded: texts of the latest ones, the last lines.

    It is not `whole` if the folding began in the middle of the log.
    """

    __slots__ = ("_latest", "_lines", "_whole", "size")

    def __init__(self, *, whole: bool = True) -> None:
        self._latest: dict[NodeKey, _Latest] = {}
        self._lines: dict[NodeKey, deque[NodeLog]] = {}
        self._whole = whole
        self.size = 0
        """How many bytes it takes, about."""

    def advance(self, events: Sequence[RunEvent]) -> None:
        """Fold the events that follow."""
        for event in events:
            if isinstance(event, NodeOutputChunk):
                self._add(event)
            elif isinstance(event, StepFailed):
                self._void(event)
            elif isinstance(event, NodeLog):
                self._log(event)

    def find(self, node: NodeRun, at: int) -> StreamedText | None:
        """Give what the latest attempt of `node` had streamed at the sequence `at`; None if that is not known here."""
        latest = self._latest.get(node.key)
        if latest is None or latest.attempt != node.attempts[-1].number:
            return None
        pieces = [piece for piece in latest.pieces if piece.sequence <= at]
        if sum(piece.size for piece in pieces) != node.streamed_bytes:
            # It was folded from the middle of the attempt on, or not as far as `at`.
            return None
        valid = [piece.text for piece in pieces if not 0 < piece.voided <= at]
        return StreamedText(valid, truncated=any(piece.truncated for piece in pieces))

    def lines(self, key: NodeKey, at: int, count: int) -> Sequence[NodeLog] | None:
        """Give the last lines that a node had logged at the sequence `at`; None if they are not known here."""
        if not self._whole:
            return None
        kept = self._lines.get(key, ())
        lines = [line for line in kept if line.sequence <= at]
        # What was logged later may have taken the place of some.
        return lines[-count:] if len(lines) >= count or len(kept) < KEPT_LINES else None

    def _log(self, event: NodeLog) -> None:
        lines = self._lines.get(event.node)
        if lines is None:
            lines = self._lines[event.node] = deque(maxlen=KEPT_LINES)
        if len(lines) == KEPT_LINES:
            self.size -= _line_bytes(lines[0])
        lines.append(event)
        self.size += _line_bytes(event)

    def _add(self, event: NodeOutputChunk) -> None:
        latest = self._latest.get(event.node)
        if latest is None or latest.attempt != event.attempt:
            self.size -= latest.size if latest is not None else 0
            latest = self._latest[event.node] = _Latest(event.attempt)
        piece = _Piece(event)
        latest.pieces.append(piece)
        latest.size += piece.size + PIECE_BYTES
        self.size += piece.size + PIECE_BYTES

    def _void(self, event: StepFailed) -> None:
        """Make void what the try of a step has streamed, and what steps inside it have."""
        latest = self._latest.get(event.node)
        if latest is None or latest.attempt != event.attempt:
            return
        inside = f"{event.step}/"
        for piece in latest.pieces:
            step = piece.step
            if step is not None and not piece.voided and (step == event.step or step.startswith(inside)):
                piece.voided = event.sequence


def _line_bytes(line: NodeLog) -> int:
    return PIECE_BYTES + len(line.message) + len(memoryview(line.fields))
