"""The file of API keys, as it is read."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from gql_app.web.auth.keys import ApiKey

MAXIMUM_BYTES: Final = 16 << 20

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class KeyFileError(Exception):
    """A file cannot be used; the message names it and says what to do."""


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in the file."""

    keys: tuple[ApiKey, ...] = ()
    version: Literal[1] = 1


def read_keys(path: Path) -> Sequence[ApiKey]:
    """Read all keys; none if there is no file. Raises `KeyFileError`."""
    try:
        data = read_private(path)
    except FileNotFoundError:
        return ()
    try:
        keys = msgspec.json.decode(data, type=KeyFile).keys
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path} is not a file of keys: {error}. `gql-app keys create` makes one.") from None
    if len({key.id for key in keys}) != len(keys):
        raise KeyFileError(f"{path}: two keys have the same id; remove one of them.")
    return keys


def read_private(path: Path) -> bytes:
    """Read a file that nobody but its owner may read. Raises `KeyFileError`, and `FileNotFoundError`."""
    try:
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & _OTHERS:
                raise KeyFileError(f"{path} can be read by others. Keep it to yourself first: chmod 600 {path}")
            data = file.read(MAXIMUM_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror or error}.") from None
    if len(data) > MAXIMUM_BYTES:
        raise KeyFileError(f"{path} has more than {MAXIMUM_BYTES} bytes.")
    return data
