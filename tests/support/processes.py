"""Processes that tests watch from outside."""

import os
import select
from pathlib import Path

from tests.support.server import LONGEST_WAIT


def ends(pid: int) -> bool:
    """Wait until a process is gone, and tell whether it is."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ready, _, _ = select.select([watched], [], [], LONGEST_WAIT)
        return bool(ready)
    finally:
        os.close(watched)


def children() -> list[int]:
    """Name the children of this process, those that have ended and nobody has asked for, too."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                status = (process / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(status[1]) == os.getpid():
                found.append(int(process.name))
    return sorted(found)
