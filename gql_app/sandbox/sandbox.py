"""The evaluator: on the spot what is sure to cost little, everything else in worker processes."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from gql_app.core.cel import EvaluationFailed
from gql_app.core.formulas import Formula, evaluate_here, finish, heavy_data, pack, title_of
from gql_app.core.ids import Namespace, RunId
from gql_app.core.values import Json
from gql_app.sandbox.answers import Answer
from gql_app.sandbox.process import WorkerEnded, WorkerProcess
from gql_app.sandbox.turns import Turns
from gql_app.sandbox.watchdog import Watchdog
from gql_app.settings import Settings

MAXIMUM_WAITING: Final = 10_000
TRIES: Final = 2
"""A worker that somebody else ended was not the expression's fault, once."""


class Sandbox:
    """Evaluates expressions. A worker process is started when one is needed and stays for the next evaluation."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turns = Turns(settings.expression_processes, MAXIMUM_WAITING)
        self._watchdog = Watchdog()
        self._threads = ThreadPoolExecutor(settings.expression_processes, thread_name_prefix="gql_app sandbox")
        self._idle: list[WorkerProcess] = []
        self._at_work: set[WorkerProcess] = set()
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether a process is at work."""
        return bool(self._at_work)

    @property
    def processes(self) -> list[int]:
        """The ids of the worker processes there are."""
        return [worker.pid for worker in (*self._idle, *self._at_work) if worker.pid is not None]

    async def evaluate(
        self, formula: Formula, scope: Mapping[str, Json], *, namespace: Namespace, run_id: RunId
    ) -> Json:
        """Evaluate in this scope. Raises `ExpressionError`, also for what exceeds a limit of time or memory."""
        data = heavy_data(formula, scope)
        if data is None:
            return evaluate_here(formula, scope)
        request = pack(formula, data)
        await self._turns.enter(namespace, run_id)
        try:
            answer = await self._ask(request, formula)
        finally:
            self._turns.leave()
        if answer.out_of_memory:
            size = self._settings.expression_memory_bytes
            raise EvaluationFailed(title_of(formula), f"it needs more than the {size >> 20} MiB of memory it may have.")
        if answer.reason is not None:
            raise EvaluationFailed(answer.expression or title_of(formula), answer.reason)
        return finish(formula, answer.read())

    async def close(self) -> None:
        """End all processes. What is under way or still waiting fails."""
        self._closed = True
        for worker in self._at_work:
            worker.kill()
        for worker in self._idle:
            worker.close()
        self._idle.clear()
        self._threads.shutdown()
        self._watchdog.close()

    async def _ask(self, request: bytes, formula: Formula) -> Answer:
        for _ in range(TRIES):
            try:
                return await self._ask_worker(request)
            except WorkerEnded as ended:
                if ended.late:
                    reason = f"it takes longer than the {self._settings.expression_seconds:g} s it may."
                    raise EvaluationFailed(title_of(formula), reason) from None
                if ended.crashed:
                    reason = "it crashes the process it is evaluated in; it may need too much memory."
                    raise EvaluationFailed(title_of(formula), reason) from None
        reason = (
            "the service shuts down." if self._closed else "the process it was evaluated in was ended from outside."
        )
        raise EvaluationFailed(title_of(formula), reason)

    async def _ask_worker(self, request: bytes) -> Answer:
        if self._closed:
            raise WorkerEnded
        worker = self._idle.pop() if self._idle else self._make_worker()
        self._at_work.add(worker)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, worker.ask, request)
        except asyncio.CancelledError:
            # Its thread is told by the end of the process; whoever comes first sees the process gone.
            worker.kill()
            worker.ended = True
            self._threads.submit(worker.close)
            raise
        finally:
            self._at_work.discard(worker)
            if not worker.ended and not self._closed:
                self._idle.append(worker)

    def _make_worker(self) -> WorkerProcess:
        settings = self._settings
        return WorkerProcess(
            self._watchdog, seconds=settings.expression_seconds, memory=settings.expression_memory_bytes
        )
