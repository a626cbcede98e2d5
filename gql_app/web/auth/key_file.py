"""The file of API keys, as it is read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from gql_app.files.private import PrivateFileError, read_private
from gql_app.web.auth.keys import ApiKey


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in the file."""

    keys: tuple[ApiKey, ...] = ()
    version: Literal[1] = 1


def read_keys(path: Path) -> Sequence[ApiKey]:
    """Read all keys; none if there is no file. Raises `PrivateFileError`."""
    try:
        data = read_private(path)
    except FileNotFoundError:
        return ()
    try:
        keys = msgspec.json.decode(data, type=KeyFile).keys
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PrivateFileError(f"{path} is not a file of keys: {error}. `gql-app keys create` makes one.") from None
    if len({key.id for key in keys}) != len(keys):
        raise PrivateFileError(f"{path}: two keys have the same id; remove one of them.")
    return keys
