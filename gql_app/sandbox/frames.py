"""Messages through a pipe: each with its length before it."""

import struct
from typing import IO, Final

_LENGTH: Final = struct.Struct("!I")


def write_frame(pipe: IO[bytes], message: bytes) -> None:
    """Send a message."""
    pipe.write(_LENGTH.pack(len(message)) + message)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> bytes:
    """Wait for a message. Raises `EOFError` where the other side has gone."""
    (length,) = _LENGTH.unpack(_read(pipe, _LENGTH.size))
    return _read(pipe, length)


def _read(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data
