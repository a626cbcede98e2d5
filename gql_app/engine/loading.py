"""Reads a run, and the values that its attempts are made of, to go on with it."""

import asyncio
from itertools import chain, repeat
from typing import Final

from gql_app.core.errors import CorruptRunError, StoreUnavailableError
from gql_app.core.events import RunEvent
from gql_app.core.fold import fold
from gql_app.core.ids import Namespace, RunId
from gql_app.core.run import WorkflowRun
from gql_app.ports import RunRepository

EVENTS_A_READ: Final = 10_000
VALUE_DELAYS: Final = (0.05, 0.25, 1.0)
"""Seconds between attempts to read a value while the store is not available; the last one repeats."""


async def load_run(repository: RunRepository, namespace: Namespace, run_id: RunId) -> WorkflowRun:
    """Read a run's log and fold it. Raises `WorkflowNotFoundError`, and `CorruptRunError` for a damaged log."""
    log: list[RunEvent] = []
    while True:
        events = await repository.events(namespace, run_id, after=len(log), limit=EVENTS_A_READ)
        log.extend(events)
        if len(events) < EVENTS_A_READ:
            break
    try:
        return fold(log)
    except (ValueError, LookupError) as error:
        raise CorruptRunError(run_id, str(error)) from error


async def load_value(repository: RunRepository, namespace: Namespace, run_id: RunId, sha256: str) -> bytes:
    """Read a value of a run, as soon as the store is available: trouble with it is no failure of the node."""
    for seconds in chain(VALUE_DELAYS, repeat(VALUE_DELAYS[-1])):
        try:
            return await repository.value(namespace, run_id, sha256)
        except StoreUnavailableError:
            await asyncio.sleep(seconds)
    raise AssertionError("It is tried for ever.")
