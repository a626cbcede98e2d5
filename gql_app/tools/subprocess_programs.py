"""Which programs may be run, and where."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from gql_app.core.errors import InvalidInputError, InvalidToolError


class Programs:
    """The programs that may be run, by the names they may be asked for, each with its path.

    They are looked up once: a program that comes into the `PATH` later is not run instead.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        if os.name != "posix":
            raise InvalidToolError("GQL_APP_SUBPROCESS_ALLOWED: programs can be run on POSIX systems only.")
        self._paths = {name: _look_up(name) for name in allowed}
        self._paths |= {path: path for path in self._paths.values()}

    @property
    def names(self) -> list[str]:
        """Everything that may be asked for."""
        return sorted(self._paths)

    def path(self, name: str) -> str:
        """Tell where a program is. Raises `InvalidInputError` for one that may not be run."""
        path = self._paths.get(name)
        if path is None:
            raise InvalidInputError(
                f"{name[:200]!r} may not be run here; these may: {', '.join(self.names)}. Whoever runs the service can"
                " allow others in GQL_APP_SUBPROCESS_ALLOWED."
            )
        return path


class Directories:
    """The directories below which programs may be run."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._roots: list[Path] = []
        for name in allowed:
            path = Path(name)
            if not path.is_absolute() or not path.is_dir():
                raise InvalidToolError(
                    f"GQL_APP_SUBPROCESS_DIRECTORIES names {name!r}, which is not the absolute path of a directory."
                )
            self._roots.append(path.resolve())

    def path(self, name: str) -> str:
        """Tell where a directory really is. Raises `InvalidInputError` for one in which nothing may be run."""
        path = Path(name)
        real = path.resolve()
        if not path.is_absolute() or not any(real.is_relative_to(root) for root in self._roots):
            where = ", ".join(map(str, self._roots)) or "none is set"
            raise InvalidInputError(
                f"Nothing may be run in {name[:200]!r}: a `workingDirectory` is an absolute path below one that"
                f" GQL_APP_SUBPROCESS_DIRECTORIES names ({where})."
            )
        if not real.is_dir():
            raise InvalidInputError(f"There is no directory {name[:200]!r} to run the program in.")
        return str(real)


def _look_up(name: str) -> str:
    absolute = Path(name).is_absolute()
    if os.sep in name and not absolute:
        raise InvalidToolError(
            f"GQL_APP_SUBPROCESS_ALLOWED names {name!r}: write an absolute path, or a name to look up in the PATH."
        )
    path = shutil.which(name)
    if path is None:
        what = "is not a program that can be run" if absolute else "is not in the PATH"
        raise InvalidToolError(f"GQL_APP_SUBPROCESS_ALLOWED names {name!r}, which {what}.")
    # Not resolved: some programs are many, and go by the name of the link to them.
    return str(Path(path).absolute())
