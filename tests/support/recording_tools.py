"""Tools for crash tests: each call is written to a file before anything else is done, and again when it ends."""

import asyncio
import json
import os
import uuid
from typing import Final

from gql_app import ToolContext, ToolError, tool
from gql_app.core.values import Json

RECORD: Final = "GQL_APP_TEST_RECORD"
"""Names the file in the environment."""

PROCESS: Final = uuid.uuid4().hex
"""Names this process for ever: the system uses numbers of processes again."""


def record(context: ToolContext, what: str) -> None:
    """Write a line that survives the process."""
    line = json.dumps(
        {
            "what": what,
            "pid": os.getpid(),
            "process": PROCESS,
            "run": context.run_id,
            "node": context.node_id,
            "step": context.step_id,
            "attempt": context.attempt,
            "key": context.idempotency_key,
        }
    )
    file = os.open(os.environ[RECORD], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{line}\n".encode())
    finally:
        os.close(file)


@tool
async def effect(
    context: ToolContext, seconds: float = 0.0, failures: int = 0, hangs: int = 0, size: int = 0
) -> dict[str, str | int]:
    """Take a while; fail so many attempts, hang in so many after those, and return so many characters."""
    record(context, "start")
    await _stumble(context, failures, hangs)
    await asyncio.sleep(seconds)
    record(context, "end")
    return {"attempt": context.attempt, "text": "x" * size}


@tool
async def chatter(
    context: ToolContext, seconds: float = 0.0, failures: int = 0, hangs: int = 0, size: int = 0
) -> dict[str, Json]:
    """Stream what no other attempt streams, a little at a time, and return all of it; fail and hang at the end."""
    record(context, "start")
    streamed = await _talk(context, seconds)
    await _stumble(context, failures, hangs)
    record(context, "end")
    return {"attempt": context.attempt, "text": "x" * size, "streamed": streamed}


@tool
async def agent_like(
    context: ToolContext, seconds: float = 0.0, failures: int = 0, hangs: int = 0, size: int = 0
) -> dict[str, Json]:
    """Think and call tools by turns, as an agent does: each is a step."""
    record(context, "start")
    done: list[Json] = []

    async def think(inner: ToolContext) -> Json:
        record(inner, "start")
        inner.report_usage(input_tokens=1, output_tokens=1)
        streamed = await _talk(inner, seconds)
        record(inner, "end")
        return {"streamed": streamed}

    for turn in range(3):
        done.append(await context.step(f"think-{turn}", think, name="test"))
        asked = (context.call_tool(f"call-{turn}-{place}", "effect", {"seconds": seconds}) for place in range(2))
        done += await asyncio.gather(*asked)
    await _stumble(context, failures, hangs)
    record(context, "end")
    return {"attempt": context.attempt, "text": "x" * size, "done": len(done)}


async def _talk(context: ToolContext, seconds: float) -> str:
    said = ""
    for piece in range(10):
        text = f"{PROCESS[:4]}.{context.attempt}.{piece} "
        context.emit(text)
        said += text
        context.progress(piece / 10)
        await asyncio.sleep(seconds / 10)
    return said


async def _stumble(context: ToolContext, failures: int, hangs: int) -> None:
    if context.attempt <= failures:
        raise ToolError("It was told to fail.")
    if context.attempt <= failures + hangs:
        await asyncio.sleep(3600)
