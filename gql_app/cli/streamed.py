"""What attempts stream, kept for as long as it counts: the end of each text, and whether any is void."""

from typing import Final

from gql_app.client import RunEvent

KEPT_CHARACTERS: Final = 4_000
"""So much of the end of a node's text is kept."""
_VOIDS: Final = frozenset({"AttemptFailed", "AttemptTimedOut", "AttemptLost"})
_ENDS: Final = frozenset({"AttemptStarted", "AttemptCancelled", "NodeCompleted", "NodeFailed", "NodeCancelled"})


class Streamed:
    """The text of nodes as events tell it. What a failed attempt, or the failed try of a step, has streamed is gone."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[tuple[str | None, str]]] = {}

    def text(self, node_id: str) -> str:
        """Give the end of what a node has streamed; empty if it has streamed nothing that counts."""
        return "".join(text for _, text in self._pieces.get(node_id, ()))[-KEPT_CHARACTERS:]

    def tell(self, event: RunEvent) -> bool:
        """Let an event have happened; say whether it made text void."""
        node_id = event.node_id
        if node_id is None:
            return False
        if event.kind == "NodeOutputChunk":
            self._add(node_id, event)
            return False
        if event.kind in _VOIDS:
            return bool(self._pieces.pop(node_id, None))
        if event.kind == "StepFailed" and event.step_id is not None:
            return self._void(node_id, event.step_id)
        if event.kind in _ENDS:
            self._pieces.pop(node_id, None)
        return False

    def _add(self, node_id: str, event: RunEvent) -> None:
        pieces = self._pieces.setdefault(node_id, [])
        pieces.append((event.within_step, event.text))
        if len(pieces) > KEPT_CHARACTERS or sum(len(text) for _, text in pieces[:64]) > KEPT_CHARACTERS:
            self._pieces[node_id] = _end_of(pieces)

    def _void(self, node_id: str, step_id: str) -> bool:
        pieces, inside = self._pieces.get(node_id, []), f"{step_id}/"
        left = [each for each in pieces if each[0] is None or not (each[0] == step_id or each[0].startswith(inside))]
        if left:
            self._pieces[node_id] = left
        else:
            self._pieces.pop(node_id, None)
        return len(left) < len(pieces)


def _end_of(pieces: list[tuple[str | None, str]]) -> list[tuple[str | None, str]]:
    """Keep the last pieces that have as many characters as are kept; pieces of one source become one."""
    kept: list[tuple[str | None, str]] = []
    left = KEPT_CHARACTERS
    for step, text in reversed(pieces):
        if left <= 0:
            break
        if kept and kept[-1][0] == step:
            kept[-1] = (step, text[-left:] + kept[-1][1])
        else:
            kept.append((step, text[-left:]))
        left -= len(text)
    return kept[::-1]


class TextLines:
    """Makes lines of texts that come in pieces, one for each node. Long lines are broken, between words if possible."""

    def __init__(self, width: int = 100) -> None:
        self._width = width
        self._begun: dict[str, str] = {}

    def add(self, node_id: str, text: str) -> list[str]:
        """Go on with a node's text; tell the lines that are complete with that."""
        *lines, rest = (self._begun.pop(node_id, "") + text).split("\n")
        broken = [part for line in lines for part in self._break(line)]
        *full, rest = self._break(rest)
        if rest:
            self._begun[node_id] = rest
        return [*broken, *full]

    def end(self, node_id: str) -> list[str]:
        """Tell what was begun of a node's text: something else comes."""
        rest = self._begun.pop(node_id, "")
        return [rest] if rest else []

    def end_all(self) -> list[tuple[str, str]]:
        """Tell what was begun, with the nodes it is of."""
        begun, self._begun = self._begun, {}
        return list(begun.items())

    def _break(self, line: str) -> list[str]:
        parts = []
        while len(line) > self._width:
            place = line.rfind(" ", 1, self._width + 1)
            if place < 0:
                parts.append(line[: self._width])
                line = line[self._width :]
            else:
                parts.append(line[:place])
                line = line[place + 1 :]
        return [*parts, line]
