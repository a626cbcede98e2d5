"""Limits that attempts fall under, each with a line that takes turns between runs."""

from typing import Final, Protocol

from gql_app.core.events import SlotLimit
from gql_app.core.ids import Holder
from gql_app.core.signals import SlotWanted


class Waiter(Protocol):
    """A run whose nodes and steps wait in lines."""

    def granted(self, holder: Holder) -> None:
        """Hear that the holder has what it waited for, and is in the line no more."""
        ...


class Line:
    """Holders that wait, first come first within a run, the runs in turn. Every operation takes constant time."""

    def __init__(self) -> None:
        self._runs: dict[Waiter, dict[Holder, None]] = {}

    def __bool__(self) -> bool:
        return bool(self._runs)

    def __len__(self) -> int:
        return sum(map(len, self._runs.values()))

    def push(self, run: Waiter, holder: Holder) -> None:
        """Let a holder stand at the end of its run's part of the line."""
        self._runs.setdefault(run, {})[holder] = None

    def pop(self) -> tuple[Waiter, Holder] | None:
        """Take the first holder of the run whose turn it is; that run's next turn comes after all others'."""
        for run, holders in self._runs.items():
            holder = next(iter(holders))
            del holders[holder], self._runs[run]
            if holders:
                self._runs[run] = holders
            return run, holder
        return None

    def remove(self, run: Waiter, holder: Holder) -> None:
        """Let a holder leave the line."""
        holders = self._runs[run]
        del holders[holder]
        if not holders:
            del self._runs[run]


class Limit(Protocol):
    """Something of which there is only so much."""

    @property
    def wanted(self) -> SlotWanted:
        """What somebody is told who waits for it."""
        ...

    @property
    def line(self) -> Line:
        """Who waits for it."""
        ...

    @property
    def kept(self) -> bool:
        """Whether who has it keeps it from others until giving it back."""
        ...

    def take(self) -> bool:
        """Take one, or say no: then `wait` for it."""
        ...

    def wait(self, run: Waiter, holder: Holder) -> None:
        """Stand in line; the run is told once the holder has one."""
        ...

    def leave(self, run: Waiter, holder: Holder) -> None:
        """Leave the line."""
        ...

    def give_back(self) -> None:
        """Give one back that was taken."""
        ...


class Concurrency:
    """At most `capacity` slots in use at once."""

    kept: Final = True

    def __init__(self, kind: SlotLimit, capacity: int, name: str | None = None) -> None:
        self.wanted: Final = SlotWanted(kind, name)
        self.line: Final = Line()
        self.capacity = capacity
        self.in_use = 0

    def take(self) -> bool:
        """Take a slot if one is free."""
        if self.in_use >= self.capacity:
            return False
        self.in_use += 1
        return True

    def wait(self, run: Waiter, holder: Holder) -> None:
        """Stand in line until somebody gives a slot back."""
        self.line.push(run, holder)

    def leave(self, run: Waiter, holder: Holder) -> None:
        """Leave the line."""
        self.line.remove(run, holder)

    def give_back(self) -> None:
        """Hand the slot to whoever is next in line, if anybody is."""
        next_in_line = self.line.pop()
        if next_in_line is None:
            self.in_use -= 1
        else:
            run, holder = next_in_line
            run.granted(holder)
