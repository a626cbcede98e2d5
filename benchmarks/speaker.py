"""A tool that streams at a steady rate, and feels meanwhile how late its loop is: loaded by the server it measures."""

import asyncio
from typing import Final

from gql_app import ToolContext, tool

PULSE_SECONDS: Final = 0.005


@tool(name="speaker.speak")
async def speak(chunks: int, per_second: int, context: ToolContext) -> dict[str, str | list[float] | float]:
    """Stream numbered words, so many in a second, and return them all, and by how much the loop was late each time."""
    loop = asyncio.get_running_loop()
    delays: list[float] = []
    pulse = loop.create_task(_feel(delays))
    words, began = [], loop.time()
    for number in range(chunks):
        word = f"word-{number} "
        words.append(word)
        context.emit(word)
        # What was late is made up for: the rate is kept whatever the loop does.
        if (wait := began + number / per_second - loop.time()) > 0:
            await asyncio.sleep(wait)
    seconds = loop.time() - began
    pulse.cancel()
    return {"text": "".join(words), "delays": [round(delay, 6) for delay in delays], "seconds": seconds}


async def _feel(delays: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + PULSE_SECONDS
        await asyncio.sleep(PULSE_SECONDS)
        delays.append(loop.time() - due)
