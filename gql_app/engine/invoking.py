"""Calls tools where each wants to run, and keeps count of calls that go on although nobody wants them any more."""

import asyncio
import contextlib

import anyio
import anyio.to_process
import msgspec

from gql_app.core.errors import ToolError
from gql_app.core.values import Json
from gql_app.engine.call import Call
from gql_app.engine.threads import run_in_thread
from gql_app.ports import Tool, ToolContext
from gql_app.ports.context import NO_STEPS, SILENCE, never, no_heartbeat
from gql_app.settings import Settings


class Invoker:
    """Calls tools on the loop, in threads and in processes."""

    def __init__(self, settings: Settings) -> None:
        self._maximum_leftovers = settings.maximum_leftovers
        self._threads_out = 0
        self._processes = anyio.CapacityLimiter(settings.maximum_processes)
        self.leftovers: set[Call] = set()

    @property
    def threads_out(self) -> int:
        """How many threads and processes work for an attempt that somebody waits for."""
        return self._threads_out + self._processes.borrowed_tokens

    async def invoke(self, call: Call, tool: Tool, value: Json, context: ToolContext) -> Json:
        """Call a tool with a resolved input. Raises whatever it raises, and `InvalidInputError`."""
        call.isolation = tool.definition.isolation
        arguments = tool.parse(value)
        if call.isolation == "async":
            return await tool.call(arguments, context)
        if len(self.leftovers) >= self._maximum_leftovers:
            raise ToolError(
                f"{len(self.leftovers)} calls that timed out still occupy threads; no more are started.",
                type="TooManyLeftovers",
            )
        if call.isolation == "process":
            return await anyio.to_process.run_sync(
                tool.run, arguments, _detached(context), cancellable=True, limiter=self._processes
            )
        return await self._in_thread(call, tool, arguments, context)

    def stop(self, call: Call) -> None:
        """Ask a call to stop; its end is told as always. A thread is asked by the flag in its context only."""
        call.stopping = True
        if call.isolation != "thread":
            call.interrupt()

    def abandon(self, call: Call) -> None:
        """Ask a call to stop whose end nobody wants to hear of."""
        call.abandoned = True
        if call.isolation != "thread" or call.in_thread:
            self.leftovers.add(call)
        call.interrupt()

    def ended(self, call: Call) -> None:
        """Hear that the task of a call has ended, though its thread may go on."""
        call.task = None  # Else the two keep each other alive.
        if call.abandoned and not call.in_thread:
            self.leftovers.discard(call)

    async def close(self) -> None:
        """Give leftovers that can still be cancelled one more chance to end."""
        tasks = [call.task for call in self.leftovers if call.task is not None and not call.task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    async def _in_thread(self, call: Call, tool: Tool, arguments: Json, context: ToolContext) -> Json:
        loop = asyncio.get_running_loop()

        def work() -> Json:
            try:
                return tool.run(arguments, context)
            finally:
                call.in_thread = False
                if call.abandoned:
                    # The loop may be closed by now; nobody counts then.
                    with contextlib.suppress(RuntimeError):
                        loop.call_soon_threadsafe(self.leftovers.discard, call)

        call.in_thread = True
        self._threads_out += 1
        try:
            return await run_in_thread(work)
        finally:
            self._threads_out -= 1


def _detached(context: ToolContext) -> ToolContext:
    """Make a context that can be sent to another process."""
    return msgspec.structs.replace(context, heartbeat=no_heartbeat, cancelled=never, reports=SILENCE, steps=NO_STEPS)
