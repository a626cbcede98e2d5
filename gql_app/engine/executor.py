"""The asyncio executor: a driver for each run in flight, and the slots they share."""

import asyncio
import logging
import random as random_numbers
from collections.abc import Callable
from typing import Final

from gql_app.core.errors import OverloadedError, WorkflowNotFoundError
from gql_app.core.events import RunEvent
from gql_app.core.fold import fold
from gql_app.core.ids import Namespace, RunId
from gql_app.core.run import WorkflowRun
from gql_app.core.signals import Begin, CancelRequested, ShuttingDown, Signal
from gql_app.engine.calls import Caller
from gql_app.engine.driver import RunDriver
from gql_app.engine.slots import SlotPool
from gql_app.engine.timers import Timers
from gql_app.ports import Clock, ExecutorLoad, RunRepository, Secrets, Tools
from gql_app.settings import Settings
from gql_app.telemetry.monitor import UNMONITORED, Monitor

logger = logging.getLogger(__name__)
_EVENTS_A_READ: Final = 10_000
_RESTART_DELAYS: Final = (0.1, 1.0, 10.0)
"""Seconds before a run whose driver failed is taken over again; after the last one it is left."""


class AsyncioExecutor:
    """Runs workflows in this process, on the running event loop."""

    def __init__(
        self,
        *,
        repository: RunRepository,
        tools: Tools,
        clock: Clock,
        settings: Settings,
        secrets: Secrets | None = None,
        random: Callable[[], float] = random_numbers.random,
        monitor: Monitor = UNMONITORED,
    ) -> None:
        self.repository = repository
        self.clock = clock
        self.random = random
        self.monitor = monitor
        self.maximum_run_bytes = settings.maximum_run_bytes
        self.closing = False
        self.caller = Caller(
            repository=repository,
            tools=tools,
            clock=clock,
            settings=settings,
            secrets=secrets,
            random=random,
            monitor=monitor,
        )
        self.pool = SlotPool(attempts=settings.maximum_attempts_in_flight, processes=settings.maximum_processes)
        self.timers = Timers()
        self.pool.configure(tools.definitions())
        self._settings = settings
        self._drivers: dict[RunId, RunDriver] = {}
        self._tasks: dict[RunId, asyncio.Task[None]] = {}

    async def start(self, namespace: Namespace, run_id: RunId) -> None:
        """Take a stored run over and go on with it. Raises `OverloadedError` when shut down."""
        if self.closing:
            raise OverloadedError("The executor is shutting down.", retry_after_seconds=5.0)
        if run_id in self._drivers:
            return
        run = await self._load(namespace, run_id)
        if run.finished_at is not None or run_id in self._drivers:
            return
        self._tasks[run_id] = asyncio.get_running_loop().create_task(self._drive(self._take_over(run)))

    def _take_over(self, run: WorkflowRun) -> RunDriver:
        driver = RunDriver(run, self)
        driver.tell(Begin(draw=self.random()))
        self._drivers[run.run_id] = driver
        return driver

    async def _drive(self, driver: RunDriver) -> None:
        run_id = driver.run.run_id
        self.monitor.taken_over(driver.run)
        try:
            await driver.drive()
        except Exception as error:  # noqa: BLE001 - an edge: it is logged there, and the run goes on
            await self._recover(driver.run, error)
        finally:
            self.monitor.left(self._drivers[run_id].run)
            del self._drivers[run_id], self._tasks[run_id]

    async def _recover(self, run: WorkflowRun, error: Exception) -> None:
        """Take a run whose driver failed over from its log, a few times."""
        for delay in _RESTART_DELAYS:
            if isinstance(error, WorkflowNotFoundError):
                logger.warning("Run %s was removed while it was in flight.", run.run_id)
                return
            logger.error("The driver of run %s failed.", run.run_id, exc_info=error)
            await asyncio.sleep(delay)
            if self.closing:
                return
            try:
                run = await self._load(run.namespace, run.run_id)
                if run.finished_at is None:
                    await self._take_over(run).drive()
            except Exception as again:  # noqa: BLE001 - an edge, as above
                error = again
            else:
                return
        logger.error("Run %s is left: its driver failed again and again.", run.run_id, exc_info=error)

    async def signal(self, namespace: Namespace, run_id: RunId, signal: Signal) -> None:
        """Tell a run something; returns once what follows is stored.

        Raises `WorkflowNotFoundError` for a run that is not in flight here.
        """
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
            attempts=self.pool.executor.in_use,
            queued=self.pool.queued(),
            leftovers=len(self.caller.leftovers),
            accepting=not self.closing,
        )

    async def close(self) -> None:
        """Shut down: start nothing, give attempts in flight their grace, then record what is left as lost.

        Runs stay unfinished for whoever takes them over; those of a store that is not durable are cancelled.
        """
        self.closing = True
        await self._drain(self._settings.shutdown_grace_seconds)
        last: Signal = ShuttingDown(draw=self.random())
        if not self.repository.durable:
            last = CancelRequested(reason="The server was shut down.")
        for driver in list(self._drivers.values()):
            driver.tell(last)
            if self.repository.durable:
                driver.leave()
        await self._join()
        await self.caller.close()
        self.timers.close()

    async def _load(self, namespace: Namespace, run_id: RunId) -> WorkflowRun:
        log: list[RunEvent] = []
        while True:
            events = await self.repository.events(namespace, run_id, after=len(log), limit=_EVENTS_A_READ)
            log.extend(events)
            if len(events) < _EVENTS_A_READ:
                return fold(log)

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
        if not tasks:
            return
        _, pending = await asyncio.wait(tasks, timeout=self._settings.stop_grace_seconds + 1.0)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)
