"""Keeps a log that no longer grows in little memory, readable from anywhere."""

import zlib
from collections.abc import Sequence
from typing import Final

from gql_app.core.codec import decode_events, encode_events
from gql_app.core.events import RunEvent

CHUNK_EVENTS: Final = 256
"""A read decodes whole chunks, so this bounds what it does in vain."""
LEVEL: Final = 1
"""Logs repeat themselves so much that the fastest level is nearly as small as the best."""
SMALL_BYTES: Final = 4_096
"""Up to here compressing costs more than it saves."""
JSON_ARRAY: Final = b"["
"""How a chunk begins that is not compressed; a compressed one never does (RFC 1950)."""


class CompactLog:
    """A finished run's log: encoded and compressed in chunks of equal length."""

    __slots__ = ("_chunks",)

    def __init__(self, events: Sequence[RunEvent]) -> None:
        self._chunks = tuple(
            [
                _compress(encode_events(events[start : start + CHUNK_EVENTS]))
                for start in range(0, len(events), CHUNK_EVENTS)
            ]
        )

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        return sum(map(len, self._chunks))

    def read(self, after: int, limit: int) -> list[RunEvent]:
        """Read up to `limit` events after the sequence `after`."""
        first, last = after // CHUNK_EVENTS, (after + limit - 1) // CHUNK_EVENTS
        events: list[RunEvent] = []
        for chunk in self._chunks[first : last + 1]:
            events += decode_events(chunk if chunk.startswith(JSON_ARRAY) else zlib.decompress(chunk))
        start = after - first * CHUNK_EVENTS
        return events[start : start + limit]


def _compress(data: bytes) -> bytes:
    return data if len(data) <= SMALL_BYTES else zlib.compress(data, LEVEL)
