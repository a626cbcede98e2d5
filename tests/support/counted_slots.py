"""A few slots and a line, which notice whoever takes two or gives back what is not theirs."""

from gql_app.core.events import SlotLimit
from gql_app.core.ids import Holder, StepKey
from gql_app.core.signals import SlotWanted


class CountedSlots:
    """So many slots for nodes, and as many for steps: a step takes none of those that nodes wait for."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.holders: set[Holder] = set()
        self.line: list[Holder] = []
        self.granted: list[Holder] = []

    def acquire(self, holder: Holder, tool: str, limits: tuple[str, ...] = ()) -> SlotWanted | None:
        assert holder not in self.holders
        if holder in self.line:
            return SlotWanted(SlotLimit.EXECUTOR)
        if self._taken(holder) >= self.capacity:
            self.line.append(holder)
            return SlotWanted(SlotLimit.EXECUTOR)
        self.holders.add(holder)
        return None

    def release(self, holder: Holder) -> None:
        if not isinstance(holder, StepKey):
            for other in sorted({*self.holders, *self.line}, key=str):
                if isinstance(other, StepKey) and other.node == holder:
                    self._give_back(other)
        self._give_back(holder)

    def _give_back(self, holder: Holder) -> None:
        if holder in self.line:
            self.line.remove(holder)
        elif holder in self.holders:
            self.holders.remove(holder)
            waiting = [other for other in self.line if isinstance(other, StepKey) is isinstance(holder, StepKey)]
            if waiting:
                self.line.remove(waiting[0])
                self.holders.add(waiting[0])
                self.granted.append(waiting[0])

    def _taken(self, holder: Holder) -> int:
        return sum(isinstance(other, StepKey) is isinstance(holder, StepKey) for other in self.holders)
