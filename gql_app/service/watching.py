"""Watching a run: everything that happens and is asked for, once and in order, until the run has ended."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Final

from gql_app.core.errors import InvalidCursorError, WorkflowNotFoundError, WorkflowRemovedError
from gql_app.core.ids import Namespace, RunId
from gql_app.service.answers import Update
from gql_app.service.filters import EVERYTHING, UpdateFilter, UpdateTopic, make_filter
from gql_app.service.reader import RunReader

QUIET_SECONDS: Final = 10.0
"""For so long a watcher is not told that only what it did not ask for has happened."""


async def watch(
    reader: RunReader,
    namespace: Namespace,
    run_id: RunId,
    *,
    after: int | None,
    only: Collection[UpdateTopic] | None,
    nodes: Sequence[str] | None,
) -> AsyncGenerator[Update, None]:
    """Tell what happens after the sequence `after`; without it the state now comes first."""
    wanted, over = await _check(reader, namespace, run_id, after=after, only=only, nodes=nodes), False
    if after is None:
        update = await reader.first_update(namespace, run_id)
        after, over = update.sequence, update.ends
        yield update
        del update
    loop = asyncio.get_running_loop()
    told, due = after, loop.time() + QUIET_SECONDS
    try:
        while not over:
            news = await _next(reader, namespace, run_id, after, wanted, due=due if after > told else None)
            if news is None:
                return
            after = news.sequence
            if news.events or loop.time() >= due:
                told, over = after, news.ends
                yield news
                due = loop.time() + QUIET_SECONDS
            else:
                await asyncio.sleep(0)  # There may be a long log of what this watcher does not want.
            del news  # Whoever waits holds nothing but a number.
    except WorkflowNotFoundError:
        raise WorkflowRemovedError(run_id) from None


async def _check(
    reader: RunReader,
    namespace: Namespace,
    run_id: RunId,
    *,
    after: int | None,
    only: Collection[UpdateTopic] | None,
    nodes: Sequence[str] | None,
) -> UpdateFilter:
    """Make the filter, and see that the cursor is one."""
    unfiltered = only is None and nodes is None
    if unfiltered and after is None:
        return EVERYTHING
    run = await reader.current(namespace, run_id)
    if after is not None and not 0 <= after <= run.sequence:
        raise InvalidCursorError(
            after, f"the run is at sequence {run.sequence}; use 0 to {run.sequence}, or none for the state now."
        )
    return EVERYTHING if unfiltered else make_filter(run, only, nodes)


async def _next(
    reader: RunReader, namespace: Namespace, run_id: RunId, after: int, wanted: UpdateFilter, *, due: float | None
) -> Update | None:
    """Wait for what happens after the sequence `after`, but no longer than until `due`."""
    if due is None:
        return await reader.next_update(namespace, run_id, after, wanted)
    waiting = asyncio.timeout_at(due)
    try:
        async with waiting:
            return await reader.next_update(namespace, run_id, after, wanted)
    except TimeoutError:
        if not waiting.expired():
            raise
        return await reader.still_update(namespace, run_id, after)
