"""Who may go on when many want to: namespaces take turns, and so do the runs of one."""

import asyncio
from typing import TypeAlias

from gql_app.core.errors import ToolError
from gql_app.core.ids import Namespace, RunId

_Waiting: TypeAlias = dict[asyncio.Future[None], None]


class Turns:
    """Lets so many in at once; at most `maximum` wait."""

    def __init__(self, places: int, maximum: int) -> None:
        self._free = places
        self._maximum = maximum
        self._count = 0
        self._line: dict[Namespace, dict[RunId, _Waiting]] = {}

    async def enter(self, namespace: Namespace, run_id: RunId) -> None:
        """Wait for a place; whoever got one must `leave`."""
        if self._free:
            self._free -= 1
            return
        if self._count >= self._maximum:
            raise ToolError(f"{self._count} evaluations wait already; no more are taken.", type="TooManyEvaluations")
        turn = asyncio.get_running_loop().create_future()
        self._line.setdefault(namespace, {}).setdefault(run_id, {})[turn] = None
        self._count += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._remove(namespace, run_id, turn)
            else:
                self.leave()
            raise

    def leave(self) -> None:
        """Hand the place to whoever is next."""
        if self._line:
            self._next().set_result(None)
        else:
            self._free += 1

    def _next(self) -> asyncio.Future[None]:
        """Take the first of the run and the namespace whose turn it is; theirs comes again after all others'."""
        namespace = next(iter(self._line))
        runs = self._line.pop(namespace)
        run_id = next(iter(runs))
        waiting = runs.pop(run_id)
        turn = next(iter(waiting))
        del waiting[turn]
        self._count -= 1
        if waiting:
            runs[run_id] = waiting
        if runs:
            self._line[namespace] = runs
        return turn

    def _remove(self, namespace: Namespace, run_id: RunId, turn: asyncio.Future[None]) -> None:
        runs = self._line[namespace]
        del runs[run_id][turn]
        self._count -= 1
        if not runs[run_id]:
            del runs[run_id]
        if not runs:
            del self._line[namespace]
