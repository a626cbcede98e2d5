"""Progress, as it is told to who waits for a call."""

from typing import Final, Protocol

_HAIR: Final = 1e-7
_SCALE: Final = 0.999


class Report(Protocol):
    """Tells how far something is."""

    async def __call__(self, fraction: float, message: str) -> None:
        """Tell how much is done, from 0 to 1, and what goes on."""
        ...


class Meter:
    """Makes numbers that always rise, as the protocol wants them, of a fraction that may stand still or fall."""

    def __init__(self) -> None:
        self._last = -1.0

    def rise(self, fraction: float) -> float:
        """Tell a fraction, or, if that is no more than the one before, a hair more; there is room for many below 1."""
        self._last = max(fraction * _SCALE, self._last + _HAIR)
        return self._last
