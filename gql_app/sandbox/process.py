"""One worker process, as the service sees it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import msgspec

from gql_app.sandbox.answers import Answer
from gql_app.sandbox.frames import read_frame, write_frame
from gql_app.sandbox.watchdog import Watchdog

START_SECONDS: Final = 60.0
"""For the process to start; only what comes after it counts as time of an evaluation."""

_PROGRAM: Final = (
    "import sys; sys.path[:] = sys.argv[3:]; from gql_app.sandbox.worker import main;"
    " main(float(sys.argv[1]), int(sys.argv[2]))"
)
_CRASHES: Final = frozenset({signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV})
_NEEDED_TO_START: Final = ("LD_LIBRARY_PATH", "SYSTEMROOT")
"""All a worker is given of the environment: there may be secrets in it."""


class WorkerEnded(Exception):
    """The process has ended before it gave an answer: because its time was up, by a crash, or by somebody else."""

    def __init__(self, *, late: bool = False, crashed: bool = False) -> None:
        super().__init__("The worker process ended without an answer.")
        self.late = late
        self.crashed = crashed


class WorkerProcess:
    """A process that is started by the first question. `ask` blocks and is for a thread; `kill` is for any."""

    def __init__(self, watchdog: Watchdog, *, seconds: float, memory: int) -> None:
        self._watchdog = watchdog
        self._seconds = seconds
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._killed = False
        self._late = False
        self.ended = False

    @property
    def pid(self) -> int | None:
        """The id of the process, once there is one."""
        return None if self._process is None else self._process.pid

    def ask(self, request: bytes) -> Answer:
        """Send a packed formula and wait for the answer. Raises `WorkerEnded`."""
        try:
            process = self._started()
            with self._watchdog.watching(self._seconds, self._time_is_up):
                message = self._exchange(process, request)
            if self._late:
                raise EOFError
            answer = msgspec.json.decode(message, type=Answer)
        except (OSError, EOFError):
            self.close()
            raise WorkerEnded(late=self._late, crashed=self._crashed()) from None
        if answer.last:
            self.close()
        return answer

    def kill(self) -> None:
        """Ask the system to end the process at once; whoever waits for an answer is told."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """End the process and see it gone."""
        self.ended = True
        self.kill()
        process = self._process
        if process is not None:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                # What was not sent to a process that is gone has nowhere to go.
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None:
            return self._process
        with self._lock:
            if self._killed:
                raise EOFError
            process = self._process = self._start()
        with self._watchdog.watching(START_SECONDS, self.kill):
            assert process.stdout is not None
            read_frame(process.stdout)
        return process

    def _start(self) -> subprocess.Popen[bytes]:
        limits = (repr(self._seconds), str(self._memory))
        paths = [path or str(Path.cwd()) for path in sys.path]
        return subprocess.Popen(
            [sys.executable, "-I", "-c", _PROGRAM, *limits, *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _NEEDED_TO_START if name in os.environ},
            # Else Ctrl-C on the terminal reaches it, too.
            start_new_session=True,
        )

    def _exchange(self, process: subprocess.Popen[bytes], request: bytes) -> bytes:
        assert process.stdin is not None
        assert process.stdout is not None
        write_frame(process.stdin, request)
        return read_frame(process.stdout)

    def _crashed(self) -> bool:
        code = None if self._process is None else self._process.returncode
        return code is not None and -code in _CRASHES

    def _time_is_up(self) -> None:
        self._late = True
        self.kill()
