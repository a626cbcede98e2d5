"""Memory that a process has resident, and the files it may open."""

import resource
import sys
from pathlib import Path

from benchmarks.figure import CannotMeasureError


def resident_bytes(process: int | str = "self") -> int:
    """Tell the resident memory of a process."""
    if sys.platform != "linux":
        raise CannotMeasureError("Resident memory is read from /proc, which Linux has.")
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def allow_open_files(count: int) -> None:
    """Raise this process's limit of open files, and that of those it starts, to at least `count`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise CannotMeasureError(f"{count} files must be open at once, but `ulimit -Hn` allows {hard}.")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
