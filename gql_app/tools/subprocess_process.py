"""A program under a supervisor of its own, as the service sees it."""

import asyncio
import contextlib
import os
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

if TYPE_CHECKING:
    from gql_app.tools.subprocess_supervisor import Order, Report

PATIENCE_SECONDS: Final = 5.0
"""For a supervisor to end, beyond the grace of its program."""
_READ_BYTES: Final = 1 << 16
_SUPERVISOR: Final = Path(__file__).with_name("subprocess_supervisor.py")
_NEEDED_TO_START: Final = ("LD_LIBRARY_PATH", "SYSTEMROOT")
"""All a supervisor is given of our environment: there may be secrets in it."""


class Process:
    """A program that runs, and everything it starts. Once `close` is called, or the service is gone, all of it dies."""

    def __init__(
        self,
        pipes: asyncio.SubprocessTransport,
        supervisor: asyncio.subprocess.Process,
        control: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        grace: float,
    ) -> None:
        self._pipes = pipes
        self._supervisor = supervisor
        self._reader, self._writer = control
        self._grace = grace

    @classmethod
    async def start(cls, order: "Order") -> Self:
        """Start a supervisor and tell it what to run."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                pipes, protocol = await loop.subprocess_exec(
                    partial(asyncio.subprocess.SubprocessStreamProtocol, _READ_BYTES, loop),
                    *(sys.executable, "-I", "-S", str(_SUPERVISOR), str(theirs.fileno())),
                    pass_fds=(theirs.fileno(),),
                    env={name: os.environ[name] for name in _NEEDED_TO_START if name in os.environ},
                    # Else Ctrl-C on the terminal reaches it, too.
                    start_new_session=True,
                )
                control = await asyncio.open_unix_connection(sock=ours)
            except BaseException:
                ours.close()
                raise
        control[1].write(msgspec.json.encode(order) + b"\n")
        return cls(pipes, asyncio.subprocess.Process(pipes, protocol, loop), control, order["grace"])

    @property
    def stdout(self) -> asyncio.StreamReader:
        """What the program writes."""
        assert self._supervisor.stdout is not None
        return self._supervisor.stdout

    @property
    def stderr(self) -> asyncio.StreamReader:
        """What the program writes about what it does."""
        assert self._supervisor.stderr is not None
        return self._supervisor.stderr

    @property
    def failed(self) -> bool:
        """Whether the supervisor itself has come to a bad end."""
        return bool(self._supervisor.returncode)

    async def feed(self, data: bytes) -> None:
        """Let the program read `data`, as far as it wants to."""
        stdin = self._supervisor.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stdin.write(data)
            await stdin.drain()
        stdin.close()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await stdin.wait_closed()

    async def report(self) -> "Report | None":
        """Wait for the end, and tell how it came; nothing if the supervisor has died itself."""
        line = await self._reader.readline()
        await self._supervisor.wait()
        report: Report | None = msgspec.json.decode(line) if line else None
        return report

    async def stop(self) -> None:
        """Ask the program to stop, and see it gone."""
        self._writer.write(b"s")
        await self._gone(self._grace + PATIENCE_SECONDS)

    async def kill(self) -> None:
        """End the program, and see it gone."""
        self._writer.close()
        await self._gone(PATIENCE_SECONDS)

    def close(self) -> None:
        """Let go of it: what still runs is killed, and nothing more of it is read."""
        self._writer.close()
        for number in range(3):
            pipe = self._pipes.get_pipe_transport(number)
            if pipe is not None:
                pipe.close()

    async def _gone(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._supervisor.wait()
        except TimeoutError:
            # Somebody has stopped it. Its program dies with it.
            with contextlib.suppress(ProcessLookupError):
                self._supervisor.kill()
            await self._supervisor.wait()
