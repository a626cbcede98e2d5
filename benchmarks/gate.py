"""Tools with which a benchmark says when a run goes on: loaded by the server it measures."""

import asyncio

from gql_app import tool

_steps = asyncio.Semaphore(0)


@tool(name="gate.wait")
async def wait() -> None:
    """Wait until one step is let through."""
    await _steps.acquire()


@tool(name="gate.open")
async def let_through() -> None:
    """Let one step through."""
    _steps.release()
