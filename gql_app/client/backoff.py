"""How a client that lost its connection comes back: again and again, ever more slowly, not for ever."""

import msgspec


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """The delays before the attempts to come back; they are spread, so that not all clients come at once."""

    initial_seconds: float = 0.5
    coefficient: float = 2.0
    maximum_seconds: float = 15.0
    maximum_attempts: int = 10

    def delay(self, attempt: int, draw: float) -> float:
        """Tell the delay before an attempt, counted from 1: half to all of what is due, as `draw` in [0, 1) says."""
        due = min(self.maximum_seconds, self.initial_seconds * self.coefficient ** (attempt - 1))
        return due * (0.5 + draw / 2)


class ConnectionLostError(Exception):
    """The connection broke, or could not be made, for a reason that may pass."""
