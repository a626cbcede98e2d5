"""Who is connected, and until when: connections end with the token that opened them."""

import asyncio
from typing import Protocol

from gql_app.core.access import Identity
from gql_app.web.gate import Gate
from gql_app.web.sockets.messages import CloseCode, ClosedError


class Guest(Protocol):
    """A connection that can be told to end."""

    def end(self, closed: ClosedError) -> None:
        """End soon; do not wait for it."""


class Party:
    """The connections of one identity, and the task that watches how long they may stay."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.guests: set[Guest] = set()
        self.watch: asyncio.Task[None]


class Guests:
    """Ends all connections of an identity once it is to be let go. One task watches it, however many they are."""

    def __init__(self) -> None:
        self._parties: dict[Identity, Party] = {}

    def enter(self, guest: Guest, gate: Gate, identity: Identity) -> Party:
        """Take note of a connection that was let in."""
        party = self._parties.get(identity)
        if party is None:
            party = self._parties[identity] = Party(identity)
            party.watch = asyncio.create_task(self._watch(gate, party))
        party.guests.add(guest)
        return party

    async def leave(self, guest: Guest, party: Party) -> None:
        """Take note that a connection has ended."""
        party.guests.discard(guest)
        if not party.guests:
            self._close(party)
            party.watch.cancel()
            await asyncio.wait([party.watch])

    async def _watch(self, gate: Gate, party: Party) -> None:
        reason = "nobody can tell how long you may stay"
        try:
            reason = await gate.until_invalid(party.identity)
        finally:
            self._close(party)
            for guest in party.guests:
                guest.end(ClosedError(CloseCode.FORBIDDEN, f"Forbidden: {reason}"))

    def _close(self, party: Party) -> None:
        """Let nobody join any more: who comes with the same token is watched anew."""
        if self._parties.get(party.identity) is party:
            del self._parties[party.identity]
