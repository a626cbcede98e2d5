"""Files that nobody but their owner may read."""

import os
import stat
from pathlib import Path
from typing import Final

MAXIMUM_BYTES: Final = 16 << 20

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class PrivateFileError(Exception):
    """A file cannot be used; the message names it and says what to do."""


def read_private(path: Path) -> bytes:
    """Read a file that nobody but its owner may read. Raises `PrivateFileError`, and `FileNotFoundError`."""
    try:
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & _OTHERS:
                raise PrivateFileError(f"{path} can be read by others. Keep it to yourself first: chmod 600 {path}")
            data = file.read(MAXIMUM_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise PrivateFileError(f"{path} cannot be read: {error.strerror or error}.") from None
    if len(data) > MAXIMUM_BYTES:
        raise PrivateFileError(f"{path} has more than {MAXIMUM_BYTES} bytes.")
    return data
