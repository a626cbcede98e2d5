"""Files that are read again when they have changed."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeAlias, TypeVar

from gql_app.files.private import PrivateFileError

logger: Final = logging.getLogger(__name__)

T = TypeVar("T")
_Mark: TypeAlias = tuple[int, int, int] | None


class WatchedFile(Generic[T]):
    """What stands in a file. If it is broken later, what stood there before holds on.

    Raises what `read` raises if the file is broken from the beginning.
    """

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        self._path = path
        self._read = read
        self._mark = _mark(path)
        self._content = read(path)
        self._problem: str | None = None

    @property
    def content(self) -> T:
        """What stands there now: looking whether it has changed costs a microsecond or two."""
        self._look()
        return self._content

    @property
    def problem(self) -> str | None:
        """What is wrong with the file now, if anything is."""
        self._look()
        return self._problem

    def _look(self) -> None:
        mark = _mark(self._path)
        if mark != self._mark:
            self._mark = mark
            self._read_again()

    def _read_again(self) -> None:
        try:
            self._content = self._read(self._path)
        except (PrivateFileError, OSError) as error:
            self._problem = str(error)
            logger.error("What was read before holds on: %s", error)
        else:
            self._problem = None
            logger.info("Read %s again.", self._path)


def _mark(path: Path) -> _Mark:
    """Tell one state of a file from another; permissions belong to it."""
    try:
        found = os.stat(path)  # noqa: PTH116 - once a request, and Path.stat takes half as long again
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns ^ found.st_size << 1, found.st_mode
