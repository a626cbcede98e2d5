"""The tools of a simulation: one does work, one streams, one takes steps as an agent does; each as it is told to."""

import asyncio
from typing import Protocol

from gql_app.core.errors import StepFailedError, ToolError
from gql_app.core.events import StepKind
from gql_app.core.spec import RetryPolicy, TimeoutPolicy
from gql_app.core.values import Json
from gql_app.ports import Tool, ToolContext
from tests.support.engine import plain
from tests.support.simulation_calls import Calls

HANGS = 3_600.0
STUBBORN_SECONDS = 3.0
QUICK = RetryPolicy(maximum_attempts=3, initial_interval_seconds=0.1)


class Host(Protocol):
    """The process in which tools run."""

    name: str
    dead: bool


class Workers:
    """What the tools of one process do."""

    def __init__(self, host: Host, calls: Calls) -> None:
        self._host = host
        self._calls = calls

    def tools(self) -> dict[str, Tool]:
        """Give them by their names."""
        made = (
            plain("work", self._work),
            plain("narrow", self._work, max_concurrency=1),
            plain("stream", self._stream),
            plain("agent", self._act),
        )
        return {tool.definition.name: tool for tool in made}

    async def _work(self, how: Json, context: ToolContext) -> Json:
        await self._begin(context)
        self._fail(how, context)
        if context.attempt <= how.get("failures", 0) + how.get("hangs", 0):
            await self._sleep(HANGS, how, context)
        await self._sleep(how.get("seconds", 0.0), how, context)
        return {"attempt": context.attempt, "text": "x" * how.get("size", 0)}

    async def _stream(self, how: Json, context: ToolContext) -> Json:
        """Stream pieces that no other call streams, and return all of them."""
        await self._begin(context)
        streamed = await self._say(how, context, f"{context.attempt}")
        self._fail(how, context)
        return {"attempt": context.attempt, "text": "", "streamed": streamed}

    async def _act(self, how: Json, context: ToolContext) -> Json:
        """Think and call tools by turns, several at once, and an agent within it now and then."""
        await self._begin(context)
        done: list[Json] = []
        for number in range(how.get("steps", 1)):
            done.append(await self._think(f"think-{number}", how, context))
            calls = {f"call-{number}-{place}": tool for place, tool in enumerate(how["tools"])}
            done += await asyncio.gather(*(self._call(name, tool, how, context) for name, tool in calls.items()))
            self._fail(how, context)
        return {"attempt": context.attempt, "text": "", "done": done}

    async def _think(self, id: str, how: Json, context: ToolContext) -> Json:
        async def think(inner: ToolContext) -> Json:
            await self._begin(inner)
            inner.report_usage(input_tokens=5, output_tokens=5)
            said = await self._say(how, inner, f"{id}/{inner.attempt}")
            if inner.attempt <= how.get("doubts", 0):
                raise ToolError("It was told to doubt.")
            return {"streamed": said}

        timeout = TimeoutPolicy(attempt_seconds=2.0)
        limits = tuple(how.get("limits", ()))
        return await context.step(
            id, think, kind=StepKind.MODEL, name="test", retry=QUICK, timeout=timeout, limits=limits
        )

    async def _call(self, id: str, tool: str, how: Json, context: ToolContext) -> Json:
        inner = {**how, "steps": 1, "tools": ["work"], "failures": how.get("doubts", 0), "hangs": 0, "size": 0}
        try:
            return await context.call_tool(
                id, tool, inner, retry=QUICK, timeout=TimeoutPolicy(attempt_seconds=4.0, queue_seconds=3.0)
            )
        except StepFailedError as error:
            return error.type

    async def _begin(self, context: ToolContext) -> None:
        if self._host.dead:
            raise asyncio.CancelledError
        await self._calls.add(self._host.name, context)

    def _fail(self, how: Json, context: ToolContext) -> None:
        if context.attempt <= how.get("failures", 0):
            raise ToolError("It was told to fail.", retryable=how.get("retryable", True))

    async def _say(self, how: Json, context: ToolContext, mark: str) -> str:
        """Stream some pieces with pauses between them, log and tell progress; give what was streamed."""
        said, pieces = "", how.get("pieces", 3)
        for number in range(pieces):
            piece = f"{mark}.{number} " + "y" * how.get("size", 0)
            context.emit(piece)
            said += piece
            if number % 3 == 1:
                context.log("debug", "said", number=number)
            context.progress(number / pieces)
            await self._sleep(how.get("pause", 0.0), how, context)
        return said

    async def _sleep(self, seconds: float, how: Json, context: ToolContext) -> None:
        """Take time, with signs of life or without; a deaf tool cannot be cancelled, for a while."""
        loop = asyncio.get_running_loop()
        end, deaf_until = loop.time() + seconds, loop.time() + STUBBORN_SECONDS
        # Less than that may be less than the loop can tell apart: time would stand still.
        while (left := end - loop.time()) > 1e-6:
            try:
                await asyncio.sleep(min(left, 0.2) if how.get("beats") else left)
            except asyncio.CancelledError:
                if self._host.dead or not how.get("deaf") or loop.time() >= deaf_until:
                    raise
                end = min(end, deaf_until)
            if how.get("beats"):
                context.heartbeat()
