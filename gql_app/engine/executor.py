"""The asyncio executor: a driver for each run in flight, a line of those that wait, and the slots they share."""

import asyncio
import logging
import random as random_numbers
from collections.abc import Callable, Collection, Coroutine
from contextvars import Context
from typing import Final

from gql_app.core.errors import CorruptRunError, OverloadedError, StoreUnavailableError, WorkflowNotFoundError
from gql_app.core.events import LostReason
from gql_app.core.ids import Namespace, RunId
from gql_app.core.run import RunStatus, WorkflowRun
from gql_app.core.signals import Begin, CancelRequested, ShuttingDown, Signal
from gql_app.engine.calls import Caller
from gql_app.engine.driver import RunDriver
from gql_app.engine.line import RunLine
from gql_app.engine.loading import load_run
from gql_app.engine.slots import SlotPool
from gql_app.engine.timers import Timers
from gql_app.ports import Clock, Evaluator, ExecutorLoad, RunRepository, Secrets, Tools
from gql_app.settings import Settings
from gql_app.telemetry.monitor import UNMONITORED, Monitor

logger = logging.getLogger(__name__)
_SHUT_DOWN: Final = CancelRequested(reason="The server was shut down.")
_STORE_DELAY: Final = 1.0
"""Seconds between attempts to read a run while the store is not available."""
_RESTART_DELAYS: Final = (0.1, 1.0, 10.0)
"""Seconds before a run whose driver failed is taken over again; after the last one it is left."""


class AsyncioExecutor:
    """Runs workflows in this process, on the running event loop."""

    def __init__(
        self,
        *,
        repository: RunRepository,
        tools: Tools,
        evaluator: Evaluator,
        clock: Clock,
        settings: Settings,
        secrets: Secrets | None = None,
        random: Callable[[], float] = random_numbers.random,
        monitor: Monitor = UNMONITORED,
    ) -> None:
        self.repository = repository
        self.evaluator = evaluator
        self.clock = clock
        self.random = random
        self.monitor = monitor
        self.maximum_run_bytes = settings.maximum_run_bytes
        self.store_patience = settings.store_patience_seconds
        self.closing = False
        self.caller = self._make_caller(tools, settings, secrets)
        self.pool = SlotPool.of(settings, tools.definitions)
        self.timers = Timers()
        self._settings = settings
        self._drivers: dict[RunId, RunDriver] = {}
        self._tasks: dict[RunId, asyncio.Task[None]] = {}
        self._left: set[RunId] = set()
        self._opening: dict[RunId, asyncio.Event] = {}
        """Runs that are being read, to go on with them."""
        self._line = RunLine(
            places=settings.maximum_active_runs,
            places_each=settings.maximum_active_runs_per_namespace,
            on_turn=self._turn_has_come,
        )

    def _make_caller(self, tools: Tools, settings: Settings, secrets: Secrets | None) -> Caller:
        return Caller(
            repository=self.repository,
            tools=tools,
            evaluator=self.evaluator,
            clock=self.clock,
            settings=settings,
            secrets=secrets,
            random=self.random,
            monitor=self.monitor,
        )

    async def start(self, namespace: Namespace, run_id: RunId) -> None:
        """Go on with a stored run, or let it wait for its turn. Raises `OverloadedError` when shut down."""
        self._check_open()
        if self._knows(namespace, run_id):
            return
        try:
            run = await load_run(self.repository, namespace, run_id)
        except CorruptRunError:
            self._left.add(run_id)
            raise
        self._left.discard(run_id)
        self._check_open()
        if run.finished_at is not None or self._knows(namespace, run_id):
            return
        if self._line.enter(namespace, run_id):
            self._take_over(run)
            self._tasks[run_id] = asyncio.get_running_loop().create_task(self._hold_place(namespace, run_id))

    def _check_open(self) -> None:
        if self.closing:
            raise OverloadedError("The executor is shutting down.", retry_after_seconds=5.0)

    def _knows(self, namespace: Namespace, run_id: RunId) -> bool:
        return run_id in self._tasks or self._line.waits(namespace, run_id)

    def _take_over(self, run: WorkflowRun, *first: Signal) -> RunDriver:
        driver = RunDriver(run, self)
        for signal in first or (Begin(draw=self.random()),):
            driver.tell(signal)
        self._drivers[run.run_id] = driver
        return driver

    # Runs that have a place

    def _turn_has_come(self, namespace: Namespace, run_id: RunId) -> None:
        self._open(run_id, self._hold_place(namespace, run_id))

    async def _hold_place(self, namespace: Namespace, run_id: RunId) -> None:
        """Go on with a run until it has ended or is left; then its place is free."""
        try:
            driver = self._drivers.get(run_id) or await self._read(namespace, run_id)
            if driver is not None:
                self.monitor.taken_over(driver.run)
                await driver.drive()
        except Exception as error:  # noqa: BLE001 - an edge: it is logged there, and the run goes on
            await self._recover(namespace, run_id, error)
        finally:
            self._let_go(run_id)
            self._line.leave(namespace)

    async def _recover(self, namespace: Namespace, run_id: RunId, error: Exception) -> None:
        """Take a run whose driver failed over from its log: a few times, or until the store is there again."""
        failures = 0
        while failures < len(_RESTART_DELAYS) and not isinstance(error, CorruptRunError):
            if isinstance(error, WorkflowNotFoundError):
                logger.warning("Run %s was removed while it was in flight.", run_id)
                return
            if isinstance(error, StoreUnavailableError):
                await asyncio.sleep(_STORE_DELAY)
            else:
                logger.error("The driver of run %s failed.", run_id, exc_info=error)
                await asyncio.sleep(_RESTART_DELAYS[failures])
                failures += 1
            if self.closing:
                return
            try:
                run = await load_run(self.repository, namespace, run_id)
                if run.finished_at is None:
                    await self._take_over(run).drive()
            except Exception as again:  # noqa: BLE001 - an edge, as above
                error = again
            else:
                return
        self._left.add(run_id)
        logger.error("Run %s is left as it is: %s", run_id, error, exc_info=error)

    # Runs that wait

    def _open(self, run_id: RunId, work: Coroutine[None, None, None]) -> None:
        """Begin to do something with a run that waited, in a context that knows nothing of who made way for it."""
        self._opening[run_id] = asyncio.Event()
        self._tasks[run_id] = asyncio.get_running_loop().create_task(work, context=Context())

    async def _read(self, namespace: Namespace, run_id: RunId, *instead: Signal) -> RunDriver | None:
        """Take over a run that waited, unless it has ended or is left to others."""
        run = await load_run(self.repository, namespace, run_id)
        if self.closing and not instead:
            if self.repository.durable:
                return None
            instead = (_SHUT_DOWN,)
        if instead and run.status is not RunStatus.PENDING:
            # It was under way elsewhere: what was in flight there is lost, and nothing of it starts again.
            instead = (ShuttingDown(reason=LostReason.CRASH, draw=self.random()), *instead)
        driver = None if run.finished_at is not None else self._take_over(run, *instead)
        self._opening.pop(run_id).set()
        return driver

    async def _end_waiting(self, namespace: Namespace, run_id: RunId, cancel: CancelRequested) -> None:
        """Cancel a run that waited. It takes no place for that; if it cannot be read, it waits again."""
        try:
            driver = await self._read(namespace, run_id, cancel)
            if driver is not None:
                self.monitor.taken_over(driver.run)
                await driver.drive()
        except Exception as error:
            unheard_of = not isinstance(error, StoreUnavailableError)
            level = logging.ERROR if unheard_of else logging.WARNING
            logger.log(level, "Run %s could not be cancelled: %s", run_id, error, exc_info=unheard_of)
            self._let_go(run_id)
            if not self.closing and self._line.enter(namespace, run_id):
                self._turn_has_come(namespace, run_id)
        else:
            self._let_go(run_id)

    def _let_go(self, run_id: RunId) -> None:
        opening = self._opening.pop(run_id, None)
        if opening is not None:
            opening.set()
        driver = self._drivers.pop(run_id, None)
        if driver is not None:
            self.monitor.left(driver.run)
        del self._tasks[run_id]

    # From outside

    async def signal(self, namespace: Namespace, run_id: RunId, signal: Signal) -> None:
        """Tell a run something; returns once what follows is stored.

        A run that waits can be cancelled. Raises `WorkflowNotFoundError` for one that is not in flight here.
        """
        if isinstance(signal, CancelRequested) and self._line.remove(namespace, run_id):
            self._open(run_id, self._end_waiting(namespace, run_id, signal))
            await self.join(run_id)
            if self._knows(namespace, run_id):
                raise WorkflowNotFoundError(run_id)
            return
        opening = self._opening.get(run_id)
        if opening is not None:
            await opening.wait()
        driver = self._drivers.get(run_id)
        if driver is None or driver.run.namespace != namespace:
            raise WorkflowNotFoundError(run_id)
        await driver.ask(signal)

    async def join(self, run_id: RunId) -> None:
        """Wait until a run is no longer in flight here; at once if it is not."""
        task = self._tasks.get(run_id)
        if task is not None:
            await asyncio.shield(task)

    def load(self) -> ExecutorLoad:
        """Tell how busy it is."""
        return ExecutorLoad(
            runs=len(self._drivers),
            queued_runs=len(self._line),
            attempts=self.pool.executor.in_use,
            queued=self.pool.queued(),
            leftovers=len(self.caller.invoker.leftovers),
            left=len(self._left),
            accepting=not self.closing,
        )

    async def close(self) -> None:
        """Shut down: start nothing, give attempts in flight their grace, then record what is left as lost.

        Runs stay unfinished for whoever takes them over; those of a store that is not durable are cancelled, and those
        that still wait at once.
        """
        self.closing = True
        for namespace, run_id in self._line.clear():
            if not self.repository.durable:
                self._open(run_id, self._end_waiting(namespace, run_id, _SHUT_DOWN))
        await self._drain(self._settings.shutdown_grace_seconds)
        last: Signal = ShuttingDown(draw=self.random())
        if not self.repository.durable:
            last = _SHUT_DOWN
        for driver in list(self._drivers.values()):
            driver.tell(last)
            if self.repository.durable:
                driver.leave()
        await self._join()
        await self.caller.invoker.close()
        self.timers.close()

    async def abandon(self) -> None:
        """Drop everything at once and write nothing: another process is the executor now."""
        self.closing = True
        self._line.clear()
        await _cancel(list(self._tasks.values()))
        # What was cancelled before it had begun has not let go of anything.
        for run_id in list(self._tasks):
            self._let_go(run_id)
        await self.caller.invoker.close()
        self.timers.close()

    async def _drain(self, seconds: float) -> None:
        """Wait until no attempt is in flight, at most so long."""
        deadline = asyncio.get_running_loop().time() + seconds
        while any(driver.in_flight for driver in self._drivers.values()):
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            await asyncio.sleep(min(left, 0.05))

    async def _join(self) -> None:
        """Wait for all drivers; those that do not end within the stop grace are left."""
        tasks = list(self._tasks.values())
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=self._settings.stop_grace_seconds + 1.0)
            await _cancel(pending)


async def _cancel(tasks: Collection["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
