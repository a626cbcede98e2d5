"""Tools for crash tests: each call is written to a file before anything else is done, and again when it ends."""

import asyncio
import json
import os
import uuid
from typing import Final

from gql_app import ToolContext, ToolError, tool

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
    if context.attempt <= failures:
        raise ToolError("It was told to fail.")
    if context.attempt <= failures + hangs:
        await asyncio.sleep(3600)
    await asyncio.sleep(seconds)
    record(context, "end")
    return {"attempt": context.attempt, "text": "x" * size}
