"""Tools of your own. Serve them with `gql-app serve --tools custom_tools` from this directory."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from gql_app import RateLimit, RetryPolicy, TimeoutPolicy, ToolContext, ToolError, tool


@tool
async def greet(name: str, greeting: str = "Hello") -> str:
    """Greet somebody."""
    return f"{greeting}, {name}!"


@tool
async def countdown(start: Annotated[int, Field(ge=1, le=60)] = 3) -> AsyncIterator[str]:
    """Count down. Each text it yields is shown at once; all of them together are its output."""
    for number in range(start, 0, -1):
        yield f"{number}…\n"
        await asyncio.sleep(1)
    yield "Lift-off!\n"


class Order(BaseModel):
    """One model alone is the whole input."""

    item: Annotated[str, Field(min_length=1, description="What is ordered.")]
    count: Annotated[int, Field(ge=1, le=100, description="How many.")] = 1
    shipping: Annotated[Literal["standard", "express"], Field(description="How it travels.")] = "standard"


class Receipt(BaseModel):
    """A model makes the output's schema, too."""

    order: Annotated[str, Field(description="The order's number: the same for every attempt.")]
    total: Annotated[float, Field(description="What it costs.")]


# Nodes that call this tool are tried five times, ten seconds each, unless they say otherwise; two calls at once
# at most, and ten a second.
@tool(
    name="shop.order",
    retry=RetryPolicy(maximum_attempts=5, initial_interval_seconds=0.2),
    timeout=TimeoutPolicy(attempt_seconds=10),
    max_concurrency=2,
    rate_limit=RateLimit(count=10),
)
async def order(request: Order, context: ToolContext) -> Receipt:
    """Order something in a shop that is closed at the first attempt.

    Only the first paragraph is the tool's description.
    """
    if request.item == "unicorn":
        raise ToolError("There are no unicorns.", type="OutOfStock", retryable=False)
    if context.attempt == 1:
        raise ToolError("The shop is closed.", type="ShopClosed", retry_after=0.1)
    return Receipt(order=context.idempotency_key, total=request.count * 9.5)


@tool
def checksum(text: str, rounds: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000, *, context: ToolContext) -> str:
    """Hash a text many times. A sync function runs in a thread, so it gives signs of life and asks whether to stop."""
    digest = text.encode()
    for turn in range(rounds):
        if turn % 1_000 == 0:
            context.heartbeat()
            if context.cancelled():
                break
        digest = hashlib.sha256(digest).digest()
    return digest.hex()


@tool(isolation="process", timeout=TimeoutPolicy(attempt_seconds=5))
def stubborn(seconds: Annotated[float, Field(ge=0, le=60)]) -> float:
    """Sleep where nobody can interrupt it. In a process of its own it is killed when its time is up."""
    time.sleep(seconds)
    return seconds
