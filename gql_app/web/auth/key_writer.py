"""Changes the file of API keys: one at a time, and as a whole."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from gql_app.files.private import PrivateFileError
from gql_app.web.auth.key_file import KeyFile, read_keys
from gql_app.web.auth.keys import ApiKey


def change_keys(path: Path, change: Callable[[Sequence[ApiKey]], Sequence[ApiKey]]) -> None:
    """Replace the file by one with other keys. Who reads it sees all of the old or all of the new one.

    Raises `PrivateFileError`.
    """
    try:
        with _alone(path):
            _replace(path, msgspec.json.format(msgspec.json.encode(KeyFile(tuple(change(read_keys(path)))))))
    except OSError as error:
        raise PrivateFileError(f"{path} cannot be written: {error.strerror or error}.") from None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other writers waiting. The lock is on a file beside it, since the file itself is replaced."""
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _replace(path: Path, data: bytes) -> None:
    # Made with mode 0600; a crash leaves the old file as it was.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data + b"\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
