"""Rates: how often something may begin, by a bucket of tokens that fills as time passes."""

import asyncio
from typing import Final

from gql_app.core.events import SlotLimit
from gql_app.core.ids import Holder
from gql_app.core.signals import SlotWanted
from gql_app.core.spec import RateLimit
from gql_app.engine.limits import Line, Waiter

_SECOND: Final = 1_000_000_000
"""A second in nanoseconds: a whole number of them, and of credit, adds up without an error however long it goes on."""
_SHORTEST: Final = 1_000
"""Of a timer, in nanoseconds: a loop's clock may be too coarse to tell less apart."""


class Bucket:
    """Tokens, each taken once and never given back; `count` flow in every `per_seconds` until the bucket is full.

    It is full at first. Who finds no token waits in the line; while anybody does, one timer waits for the next token.
    """

    kept: Final = False

    def __init__(self, rate: RateLimit, name: str) -> None:
        self.wanted: Final = SlotWanted(SlotLimit.RATE, name)
        self.line: Final = Line()
        # A nanosecond brings `inflow` of credit, and a token costs `price`.
        self._inflow: Final = rate.count
        self._price: Final = max(1, round(rate.per_seconds * _SECOND))
        self._full: Final = rate.capacity * self._price
        self._credit = self._full
        self._filled_at: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def armed(self) -> bool:
        """Whether a timer waits for the next token."""
        return self._timer is not None

    def take(self) -> bool:
        """Take a token if there is one and nobody waits for it."""
        return not self.line and self._pay()

    def wait(self, run: Waiter, holder: Holder) -> None:
        """Stand in line until a token is there."""
        self.line.push(run, holder)
        if self._timer is None:
            self._arm()

    def leave(self, run: Waiter, holder: Holder) -> None:
        """Leave the line."""
        self.line.remove(run, holder)
        if self._timer is not None and not self.line:
            self._timer.cancel()
            self._timer = None

    def give_back(self) -> None:
        """Keep the token: it was for the beginning."""

    def _pay(self) -> bool:
        self._fill()
        if self._credit < self._price:
            return False
        self._credit -= self._price
        return True

    def _fill(self) -> None:
        now = round(asyncio.get_running_loop().time() * _SECOND)
        if self._filled_at is not None:
            self._credit = min(self._full, self._credit + (now - self._filled_at) * self._inflow)
        self._filled_at = now

    def _arm(self) -> None:
        self._fill()
        missing = -(-(self._price - self._credit) // self._inflow)
        delay = max(missing, _SHORTEST) / _SECOND
        self._timer = asyncio.get_running_loop().call_later(delay, self._due)

    def _due(self) -> None:
        self._timer = None
        while self.line and self._pay():
            next_in_line = self.line.pop()
            assert next_in_line is not None
            run, holder = next_in_line
            run.granted(holder)
        if self.line and self._timer is None:
            self._arm()
