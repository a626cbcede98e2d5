"""Reads a run to go on with it."""

from typing import Final

from gql_app.core.errors import CorruptRunError
from gql_app.core.events import RunEvent
from gql_app.core.fold import fold
from gql_app.core.ids import Namespace, RunId
from gql_app.core.run import WorkflowRun
from gql_app.ports import RunRepository

EVENTS_A_READ: Final = 10_000


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
