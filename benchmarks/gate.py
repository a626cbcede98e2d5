"""A tool with which a benchmark says when a run goes on: loaded by the server it measures."""

import asyncio
import signal
from typing import Final

from gql_app import tool

STEP: Final = signal.SIGUSR1
"""What lets a process take one step. It costs the process less than a request would."""

_steps = asyncio.Semaphore(0)


@tool(name="gate.wait")
async def wait() -> None:
    """Wait until one step is let through."""
    asyncio.get_running_loop().add_signal_handler(STEP, _steps.release)
    await _steps.acquire()
