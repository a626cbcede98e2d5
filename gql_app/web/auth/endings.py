"""Tells those who were let in when their time is over: one look for all of them, not one each."""

import asyncio
from collections.abc import Callable
from typing import Final

from gql_app.core.access import Identity

LOOK_SECONDS: Final = 1.0


class _Ending:
    __slots__ = ("event", "reason", "waiting")

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.reason = ""
        self.waiting = 0


class Endings:
    """Who waits for the end of an identity. `fault` says why one is not good any more, if it is not."""

    def __init__(self, fault: Callable[[Identity], str | None]) -> None:
        self._fault = fault
        self._endings: dict[Identity, _Ending] = {}
        self._waited_for = asyncio.Event()

    @property
    def identities(self) -> int:
        """How many are looked at, however many connections each of them has."""
        return len(self._endings)

    async def wait(self, identity: Identity) -> str:
        """Return once an identity is not good any more, and say why."""
        ending = self._endings.setdefault(identity, _Ending())
        ending.waiting += 1
        self._waited_for.set()
        try:
            await ending.event.wait()
            return ending.reason
        finally:
            ending.waiting -= 1
            if not ending.waiting and self._endings.get(identity) is ending:
                del self._endings[identity]

    async def watch(self) -> None:
        """Look once a second, as long as anybody waits. Goes on for ever."""
        while True:
            await self._waited_for.wait()
            self.look()
            if not self._endings:
                self._waited_for.clear()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Tell those whose time is over."""
        for identity, ending in list(self._endings.items()):
            if reason := self._fault(identity):
                del self._endings[identity]
                ending.reason = reason
                ending.event.set()
