"""The process of a server that we start: in a group of its own, which is ended as a whole, whatever it takes."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio

PATIENCE: Final = 2.0
"""How long it may take to end by itself once its input is closed, and again once it was told to."""

_LOOK: Final = 0.01
_INHERITED: Final = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
"""What a server is told of our environment: nothing of it is a secret."""


async def start(
    command: str, arguments: Sequence[str], environment: Mapping[str, str], directory: str | None
) -> Process:
    """Start a server. Raises `OSError` if that is not possible."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    _check_directory(directory)
    return await asyncio.create_subprocess_exec(
        command,
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={**inherited, **environment},
        cwd=directory,
        start_new_session=True,
    )


def _check_directory(directory: str | None) -> None:
    if directory is not None and not Path(directory).is_dir():
        raise NotADirectoryError(f"{directory} is not a directory.")


async def end(process: Process) -> None:
    """End a server and all it has started: by closing its input, then SIGTERM, then SIGKILL. Nothing interrupts it."""
    with anyio.CancelScope(shield=True):
        if process.stdin is not None:
            process.stdin.close()
        await exited(process, PATIENCE)
        _signal(process, signal.SIGTERM)
        with anyio.move_on_after(PATIENCE):
            # Nobody tells of the end of a group.
            while not await exited(process, _LOOK) or _signal(process, 0):  # noqa: ASYNC110 - see the line above
                await anyio.sleep(_LOOK)
        _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
        await exited(process, PATIENCE)
        # What escaped the group may hold the pipes, and our side of them would stay open.
        transport = getattr(process, "_transport", None)
        if transport is not None:
            with suppress(PermissionError):
                transport.close()


async def exited(process: Process, seconds: float) -> bool:
    """Wait for its end, for so long, and tell whether it has come."""
    with anyio.move_on_after(seconds):
        # `Process.wait` would also wait for the end of its pipes, which others may hold.
        while process.returncode is None:  # noqa: ASYNC110 - see the line above
            await anyio.sleep(_LOOK)
    return process.returncode is not None


def _signal(process: Process, number: int) -> bool:
    """Send a signal to the group, and tell whether there is anybody left in it."""
    if not hasattr(os, "killpg"):
        # Without groups, as on Windows, the process alone can be ended.
        with suppress(ProcessLookupError):
            process.kill()
        return False
    try:
        # The leader's id is the group's, also when the leader is gone and others are left.
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return process.returncode is None
    return True
