"""The tool `delay`."""

import asyncio
from typing import Annotated, Final

from pydantic import BaseModel, Field

from gql_app.core.spec import TimeoutPolicy
from gql_app.tools.decorator import tool

MAXIMUM_SECONDS: Final = 86_400.0


class Waited(BaseModel):
    """What `delay` returns."""

    seconds: Annotated[float, Field(description="How long it waited.")]


# It ends by itself after the time it is given, which must not be cut short by the usual timeout.
@tool(timeout=TimeoutPolicy(attempt_seconds=None))
async def delay(
    seconds: Annotated[float, Field(ge=0, le=MAXIMUM_SECONDS, description="How long to wait; at most one day.")],
) -> Waited:
    """Wait for some seconds, without a sign of life, then return how many."""
    await asyncio.sleep(seconds)
    return Waited(seconds=seconds)
