"""Whose turn it is: how many runs may be under way, and a line for those that must wait."""

from collections.abc import Callable
from typing import Final

from gql_app.core.ids import Namespace, RunId


class RunLine:
    """Places for runs, so many and so many for each namespace.

    Who finds none waits: within a namespace first come first, the namespaces in turn. Every operation takes constant
    time. `on_turn` is told at once when a run that waits gets a place.
    """

    def __init__(self, *, places: int, places_each: int, on_turn: Callable[[Namespace, RunId], None]) -> None:
        self._places: Final = places
        self._places_each: Final = places_each
        self._on_turn = on_turn
        self._taken: dict[Namespace, int] = {}
        self._all_taken = 0
        self._ready: dict[Namespace, dict[RunId, None]] = {}
        """Who waits in the namespaces that may have another place; the one whose turn it is stands first."""
        self._held: dict[Namespace, dict[RunId, None]] = {}
        """Who waits in those that have all their places."""
        self._waiting = 0

    def __len__(self) -> int:
        """Tell how many wait."""
        return self._waiting

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return self._all_taken

    def enter(self, namespace: Namespace, run_id: RunId) -> bool:
        """Take a place and say yes, or stand at the end of the namespace's part of the line."""
        full = self._taken.get(namespace, 0) >= self._places_each
        if not full and self._all_taken < self._places:
            self._take(namespace)
            return True
        (self._held if full else self._ready).setdefault(namespace, {})[run_id] = None
        self._waiting += 1
        return False

    def leave(self, namespace: Namespace) -> None:
        """Give a place back, and let whoever is next have it."""
        self._all_taken -= 1
        self._taken[namespace] -= 1
        if not self._taken[namespace]:
            del self._taken[namespace]
        runs = self._held.pop(namespace, None)
        if runs is not None:
            self._ready[namespace] = runs
        while self._ready and self._all_taken < self._places:
            self._let_next_in()

    def waits(self, namespace: Namespace, run_id: RunId) -> bool:
        """Tell whether a run stands in the line."""
        return run_id in self._ready.get(namespace, ()) or run_id in self._held.get(namespace, ())

    def remove(self, namespace: Namespace, run_id: RunId) -> bool:
        """Let a run leave the line; tell whether it stood there."""
        for part in (self._ready, self._held):
            runs = part.get(namespace)
            if runs is not None and run_id in runs:
                del runs[run_id]
                self._waiting -= 1
                if not runs:
                    del part[namespace]
                return True
        return False

    def clear(self) -> list[tuple[Namespace, RunId]]:
        """Send everybody away who waits, and tell who that is."""
        waiting = [
            (namespace, run_id)
            for part in (self._ready, self._held)
            for namespace, runs in part.items()
            for run_id in runs
        ]
        self._ready.clear()
        self._held.clear()
        self._waiting = 0
        return waiting

    def _let_next_in(self) -> None:
        namespace, runs = next(iter(self._ready.items()))
        del self._ready[namespace]
        run_id = next(iter(runs))
        del runs[run_id]
        self._waiting -= 1
        self._take(namespace)
        if runs:
            full = self._taken[namespace] >= self._places_each
            (self._held if full else self._ready)[namespace] = runs
        self._on_turn(namespace, run_id)

    def _take(self, namespace: Namespace) -> None:
        self._all_taken += 1
        self._taken[namespace] = self._taken.get(namespace, 0) + 1
