"""The tool `fail`, for demonstrations and tests."""

import asyncio
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from gql_app.core.errors import ToolError
from gql_app.core.values import Frozen, Json
from gql_app.ports import ToolContext
from gql_app.tools.decorator import tool


class FailureMode(StrEnum):
    """How `fail` fails."""

    ERROR = "error"
    TIMEOUT = "timeout"
    HANG = "hang"
    CANCEL = "cancel"
    EXIT = "exit"
    BAD_OUTPUT = "badOutput"


class FailInput(Frozen):
    """How often and how to fail."""

    times: Annotated[int, Field(ge=0, description="How many attempts fail before one succeeds.")] = 1
    mode: Annotated[
        FailureMode,
        Field(
            description="`error` raises an error of the given type, `timeout` the tool's own TimeoutError, `hang` waits"
            " until it is stopped, `cancel` cancels itself, `exit` asks the process to exit, `badOutput` returns what"
            " is not JSON.",
        ),
    ] = FailureMode.ERROR
    type: Annotated[str, Field(min_length=1, max_length=100, description="The error's type.")] = "DeliberateFailure"
    message: Annotated[str | None, Field(max_length=1000, description="The error's message; null for a usual one.")] = (
        None
    )
    retryable: Annotated[bool, Field(description="Whether the error may be retried.")] = True
    retry_after_seconds: Annotated[
        float | None, Field(ge=0, le=86_400, description="When to retry, instead of the policy's delay.")
    ] = None
    value: Annotated[Json, Field(description="What to return in the end.")] = None


@tool
async def fail(request: FailInput, context: ToolContext) -> Json:
    """Fail the first attempts in a chosen way, then return a value."""
    if context.attempt > request.times:
        return request.value
    message = request.message or f"Attempt {context.attempt} of {request.times} that were asked to fail."
    match request.mode:
        case FailureMode.TIMEOUT:
            raise TimeoutError(message)
        case FailureMode.HANG:
            await asyncio.Event().wait()
        case FailureMode.CANCEL:
            raise asyncio.CancelledError(message)
        case FailureMode.EXIT:
            raise SystemExit(message)
        case FailureMode.BAD_OUTPUT:
            return {message}
        case FailureMode.ERROR:
            pass
    raise ToolError(message, type=request.type, retryable=request.retryable, retry_after=request.retry_after_seconds)
