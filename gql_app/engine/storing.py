"""Stores what happened in a run, however long the store takes."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Final

from gql_app.core.errors import LeaseLostError, StaleWriterError, StoreUnavailableError, WorkflowNotFoundError
from gql_app.core.events import RunEvent
from gql_app.core.run import WorkflowRun
from gql_app.ports import RunRepository

logger: Final = logging.getLogger(__name__)
_DELAYS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts; the last one repeats."""


async def append_patiently(
    repository: RunRepository,
    run: WorkflowRun,
    events: Sequence[RunEvent],
    values: Mapping[str, bytes],
    *,
    patience: float,
) -> None:
    """Append, and while the store is in trouble again and again, for so many seconds; then raise what it raised."""
    loop = asyncio.get_running_loop()
    expected, began = events[0].sequence - 1, loop.time()
    for tries in count():
        try:
            await repository.append(run.namespace, run.run_id, expected, events, values=values)
        except (StaleWriterError, LeaseLostError, WorkflowNotFoundError):
            raise
        except Exception as error:
            if loop.time() - began >= patience:
                raise
            if not isinstance(error, StoreUnavailableError) and not tries:
                # Trouble with the store itself is told by the store, once for all runs.
                logger.exception("Run %s could not be stored; trying again.", run.run_id)
            await asyncio.sleep(_DELAYS[min(tries, len(_DELAYS) - 1)])
        else:
            return
