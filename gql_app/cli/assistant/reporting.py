"""Progress, as it is told to who waits for a call."""

import math
from typing import Protocol


class Report(Protocol):
    """Tells how far something is."""

    async def __call__(self, fraction: float, message: str) -> None:
        """Tell how much is done, from 0 to 1, and what goes on."""
        ...


class Meter:
    """Makes numbers that always rise, as the protocol wants them, of a fraction that may stand still."""

    def __init__(self) -> None:
        self._last = -1.0

    def rise(self, fraction: float) -> float:
        """Tell a fraction, or, if the one before was as high, a hair more than that."""
        self._last = max(fraction, math.nextafter(self._last, math.inf))
        return self._last
