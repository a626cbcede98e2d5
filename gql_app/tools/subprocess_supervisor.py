"""Watches over one program, as a process of its own: `python -I -S subprocess_supervisor.py FD`.

It is told what to run by a line of JSON on the socket FD, and tells by another how that ended, once nothing is left of
it. A byte on the socket asks the program to stop; when the socket closes, because the service has ended however that
came, the program is killed. It imports nothing of ours, so that it starts in a moment and knows no secrets.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypedDict

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
LINUX: Final = sys.platform == "linux"


class Order(TypedDict):
    """What to run, and within which limits."""

    path: str
    arguments: list[str]
    environment: dict[str, str]
    directory: str | None
    """Where to run it; none for the scratch directory."""
    scratch: str
    """A directory to make for it, its home, and to remove afterwards."""
    memory: int
    """Of each process, in bytes of address space."""
    grace: float
    """Seconds between asking it to stop and killing it."""


class Report(TypedDict, total=False):
    """How it ended: a code, negative for the number of a signal, or the error why it did not start."""

    code: int
    errno: int
    error: str


class Supervisor:
    """A program and all that it starts."""

    def __init__(self, order: Order, control: socket.socket) -> None:
        self._order = order
        self._control = control
        self._code: int | None = None
        self._kill_at: float | None = None
        self._program: subprocess.Popen[bytes] | None = None
        self._woken = os.pipe()
        for end in self._woken:
            os.set_blocking(end, False)

    def run(self) -> Report:
        """Run the program to its end, and end whatever it leaves behind."""
        signal.signal(signal.SIGCHLD, _ignore)
        signal.set_wakeup_fd(self._woken[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: self._ask_to_stop())
        try:
            self._start()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            return {"errno": getattr(error, "errno", None) or 0, "error": str(error)}
        _let_go_of_the_pipes()
        while self._has_children() and not self._is_over():
            self._wait()
        self._kill_all()
        return {"code": self._code if self._code is not None else -signal.SIGKILL}

    def _start(self) -> None:
        order = self._order
        self._program = subprocess.Popen(
            [order["path"], *order["arguments"]],
            cwd=order["directory"] or order["scratch"],
            env=order["environment"],
            start_new_session=True,
            preexec_fn=_limits(order["memory"]),  # noqa: PLW1509 - this process has one thread
        )

    def _is_over(self) -> bool:
        """Tell whether nobody is to be waited for: the program has ended by itself, or time is up."""
        if self._kill_at is None:
            return self._code is not None
        return time.monotonic() >= self._kill_at

    def _wait(self) -> None:
        seconds = None if self._kill_at is None else max(0.0, self._kill_at - time.monotonic())
        ready, _, _ = select.select([self._control.fileno(), self._woken[0]], [], [], seconds)
        if self._woken[0] in ready:
            self._forget_signals()
        if self._control.fileno() in ready:
            if self._control.recv(4096):
                self._ask_to_stop()
            else:
                self._kill_at = 0.0

    def _forget_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken[0], 4096)

    def _ask_to_stop(self) -> None:
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._order["grace"]
            self._send(signal.SIGTERM)

    def _has_children(self) -> bool:
        """Bury the dead, and tell whether anybody is alive: orphans of our program are children of ours, too."""
        assert self._program is not None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            if pid == self._program.pid:
                self._code = self._program.returncode = os.waitstatus_to_exitcode(status)

    def _kill_all(self) -> None:
        while self._has_children():
            self._send(signal.SIGKILL)
            # Who was killed ends in a moment; who was born meanwhile is found the next time.
            select.select([self._woken[0]], [], [], 0.01)
            self._forget_signals()

    def _send(self, number: signal.Signals) -> None:
        """Send a signal to everybody, once: a program may not expect another while it handles the first."""
        assert self._program is not None
        group = self._program.pid
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(pid) != group:
                    os.kill(pid, number)


def descendants(ancestor: int) -> Iterator[int]:
    """Find the processes below one, in whatever session and group they are. Only Linux tells."""
    if not LINUX:
        return
    children: dict[int, list[int]] = {}
    for process in Path("/proc").iterdir():
        # Those that have ended meanwhile are nobody's children.
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(process.name)
            # The name of the program stands in brackets, and may hold anything.
            parent = int((process / "stat").read_bytes().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(pid)
    found = list(children.get(ancestor, ()))
    for pid in found:
        yield pid
        found += children.get(pid, ())


def _let_go_of_the_pipes() -> None:
    """Leave them to the program, so that they end when it and its children have."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def _ignore(*_: object) -> None:
    """Let the signal wake us."""


def _limits(memory: int) -> Callable[[], None]:
    """Make what the child does before it becomes the program."""
    library = ctypes.CDLL(None) if LINUX else None

    def apply() -> None:
        if library is not None:
            library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Not every system can limit it.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    return apply


def _remove(directory: str) -> None:
    """Remove a directory with all that is in it, also what its owner may not write."""

    def allow(function: Callable[[str], object], path: str, _: object) -> None:
        with contextlib.suppress(OSError):
            Path(path).parent.chmod(0o700)
            Path(path).chmod(0o700)
            function(path)

    shutil.rmtree(directory, onerror=allow)
    shutil.rmtree(directory, ignore_errors=True)


def _read_order(control: socket.socket) -> Order | None:
    """Wait for the line; none if the service has gone before, or has changed its mind."""
    line = b""
    while b"\n" not in line:
        data = control.recv(1 << 20)
        if not data:
            return None
        line += data
    head, _, rest = line.partition(b"\n")
    order: Order = json.loads(head)
    return None if rest else order


def _carry_out(order: Order, control: socket.socket) -> Report:
    if LINUX:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        Path(order["scratch"]).mkdir(0o700)
    except OSError as error:
        return {"errno": error.errno or 0, "error": str(error)}
    try:
        return Supervisor(order, control).run()
    finally:
        _remove(order["scratch"])


def main() -> None:
    """Do what the socket says."""
    with socket.socket(fileno=int(sys.argv[1])) as control:
        control.set_inheritable(False)
        order = _read_order(control)
        if order is not None:
            report = _carry_out(order, control)
            # Who wanted to know may have gone.
            with contextlib.suppress(OSError):
                control.sendall(json.dumps(report).encode() + b"\n")


if __name__ == "__main__":
    main()
