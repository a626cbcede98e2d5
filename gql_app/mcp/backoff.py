"""How long to wait before a server is tried again."""

from typing import Final

FIRST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 60.0
SETTLED_SECONDS: Final = 10.0
"""A server that was connected for longer is not one that dies each time it is started."""


def delay(failures: int, draw: float) -> float:
    """Tell how long to wait after so many failures in a row, by a draw from 0 to 1, which halves it at most."""
    whole = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures - 1, 30))
    return whole * (0.5 + draw / 2)
