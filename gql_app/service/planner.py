"""Plans documents: small ones at once, big ones in a thread, so that nobody else waits for them."""

from functools import partial
from typing import Final

import orjson
from anyio import CapacityLimiter, to_thread

from gql_app.core.ids import Namespace
from gql_app.core.planning import ABSENT, Absent, Limits, Planned, make_plan
from gql_app.core.values import Json
from gql_app.ports import Secrets, Tools
from gql_app.settings import Settings

SMALL_BYTES: Final = 4096
"""Up to this size of document and input together planning takes less than a few milliseconds."""
THREADS: Final = 2
"""How many big documents are planned at once; more would only take turns."""


class Planner:
    """Makes plans with the tools, the secrets and the limits of one service."""

    def __init__(self, tools: Tools, secrets: Secrets | None, settings: Settings) -> None:
        self._tools = tools
        self._secrets = secrets
        self._limits = Limits(
            maximum_nodes=settings.maximum_nodes,
            maximum_run_bytes=settings.maximum_run_bytes,
            names=frozenset(settings.limits),
        )
        self._stop_grace_seconds = settings.stop_grace_seconds
        # Of our own: tools may use up the loop's usual threads.
        self._threads = CapacityLimiter(THREADS)

    async def plan(self, namespace: Namespace, document: Json, input: Json | Absent) -> Planned:
        """Plan a document for a namespace. Raises `InvalidWorkflowError` with every problem."""
        work = partial(
            make_plan,
            document,
            input=input,
            tools=self._tools.definitions(namespace),
            why_missing=partial(self._tools.why_missing, namespace=namespace),
            limits=self._limits,
            secrets=() if self._secrets is None else self._secrets.names(namespace),
            stop_grace_seconds=self._stop_grace_seconds,
        )
        if _is_small(document, input):
            return work()
        return await to_thread.run_sync(work, limiter=self._threads)


def _is_small(document: Json, input: Json | Absent) -> bool:
    try:
        data = orjson.dumps([document, None if input is ABSENT else input])
    except TypeError:  # It is not JSON; whoever plans it says where.
        return False
    return len(data) <= SMALL_BYTES
