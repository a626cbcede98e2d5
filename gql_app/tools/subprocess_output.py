"""What a program writes: taken as it comes, limited, and made into text."""

import asyncio
import codecs
from collections.abc import Callable
from typing import Final

from gql_app.core.errors import ToolError

_READ_BYTES: Final = 1 << 16


class Room:
    """How much of the output of a program is kept: so many bytes of all its streams together."""

    def __init__(self, maximum: int, *, truncates: bool) -> None:
        self._maximum = maximum
        self._left = maximum
        self._truncates = truncates
        self.truncated = False
        """Whether there was more."""

    def take(self, data: bytes) -> bytes:
        """Tell how much of it is kept. Raises `ToolError` if it is too much."""
        kept = data[: self._left]
        self._left -= len(kept)
        if len(kept) < len(data):
            if not self._truncates:
                raise ToolError(
                    f"The program wrote more than {self._maximum} bytes, and was ended. Let it write less, or take the"
                    " beginning with `truncateOutput`; GQL_APP_SUBPROCESS_OUTPUT_BYTES is the limit.",
                    type="ProcessOutputTooLarge",
                    retryable=False,
                )
            self.truncated = True
        return kept

    def close(self) -> None:
        """Keep no more, whatever comes."""
        self._left, self._truncates = 0, True


class Output:
    """What came out of one stream."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._parts: list[bytes] = []
        self._cut = False

    async def read(
        self, stream: asyncio.StreamReader, heard: Callable[[], None], show: Callable[[str], None] | None = None
    ) -> None:
        """Read a stream to its end; every piece is heard, and its text shown."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        while data := await stream.read(_READ_BYTES):
            heard()
            kept = self._room.take(data)
            self._cut = self._cut or len(kept) < len(data)
            if kept:
                self._parts.append(kept)
                if show is not None:
                    show(decoder.decode(kept))
        if show is not None and not self._cut:
            show(decoder.decode(b"", final=True))

    def text(self) -> tuple[str, bool]:
        """Give it as text, and tell whether there was what is not UTF-8 and is replaced by U+FFFD."""
        data = b"".join(self._parts)
        # What is cut may end within a character.
        final = not self._cut
        try:
            return codecs.getincrementaldecoder("utf-8")().decode(data, final=final), False
        except UnicodeDecodeError:
            return codecs.getincrementaldecoder("utf-8")(errors="replace").decode(data, final=final), True
