"""The executor of a process that may or may not be the one whose turn it is."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from gql_app.core.errors import (
    LeaseLostError,
    OverloadedError,
    StoreInUseError,
    StoreUnavailableError,
    WorkflowNotFoundError,
)
from gql_app.core.ids import Namespace, RunId
from gql_app.core.signals import CancelRequested, Signal
from gql_app.engine.executor import AsyncioExecutor
from gql_app.ports import ExecutorLoad, Lease, Letter, RunRepository

logger: Final = logging.getLogger(__name__)

LETTER_TRIES: Final = 20
RETRY_SECONDS: Final = 1.0
"""Between attempts to read what there is to do, while the store is in trouble."""


class ElectedExecutor:
    """Executes the runs of a store while this process holds its lease; else leaves letters for the one that does.

    Whoever wins the lease takes over every run that has not ended, then does what the letters say.
    """

    def __init__(self, repository: RunRepository, make: Callable[[], AsyncioExecutor]) -> None:
        self._repository = repository
        self._make = make
        self._executor: AsyncioExecutor | None = None
        self._lease: Lease | None = None
        self._ruling: asyncio.Task[None] | None = None
        self.leading: Final = asyncio.Event()
        """Whether this process executes runs at the moment."""
        self._settled = asyncio.Event()
        """Whether the runs that had not ended are taken over, or are for another process."""
        self._settled.set()
        self._doubt = asyncio.Event()
        """Whether there may be a run that nobody was told to start."""
        self._accepting = True

    async def open(self, *, stands_by: bool, executes: bool = True) -> None:
        """Begin. A process that does not stand by leads from now on: raises `StoreInUseError` if another one does."""
        if not executes:
            return
        if not stands_by:
            self._begin(await self._repository.lead())
        self._ruling = asyncio.get_running_loop().create_task(self._rule())

    async def start(self, namespace: Namespace, run_id: RunId) -> None:
        """Go on with a stored run, if that is for this process to do; its executor has been left a letter otherwise."""
        self._check_open()
        if self._executor is not None:
            await self._executor.start(namespace, run_id)

    def look_again(self) -> None:
        """Hear that a run may be stored that nobody was told to start."""
        self._doubt.set()

    async def signal(self, namespace: Namespace, run_id: RunId, signal: Signal) -> None:
        """Tell a run something; returns once what follows is stored, or the letter to the executor."""
        await self._settled.wait()
        if self._executor is not None:
            await self._executor.signal(namespace, run_id, signal)
        elif isinstance(signal, CancelRequested):
            await self._repository.send(namespace, run_id, signal)
        else:
            raise OverloadedError("The executor of this run is changing.", RETRY_SECONDS)

    async def join(self, run_id: RunId) -> None:
        """Wait until a run is no longer in flight in this process."""
        if self._executor is not None:
            await self._executor.join(run_id)

    def load(self) -> ExecutorLoad:
        """Tell how busy it is."""
        if self._executor is not None:
            return self._executor.load()
        return ExecutorLoad(runs=0, attempts=0, queued=0, leftovers=0, accepting=self._accepting)

    async def close(self) -> None:
        """Shut down: let what is under way come to its end or be recorded, then let another process have its turn."""
        self._accepting = False
        if self._ruling is not None:
            self._ruling.cancel()
            await asyncio.wait([self._ruling])
        if self._executor is not None:
            await self._executor.close()
        if self._lease is not None:
            await self._lease.release()

    def _check_open(self) -> None:
        if not self._accepting:
            raise OverloadedError("The executor is shutting down.", retry_after_seconds=5.0)

    # Terms

    async def _rule(self) -> None:
        """Wait for a term, serve it until the lease is lost, and wait for the next."""
        while True:
            lease = self._lease or await self._win()
            if self._executor is None:
                self._begin(lease)
            work = asyncio.create_task(self._work())
            lost = asyncio.create_task(lease.lost())
            try:
                await asyncio.wait([work, lost], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (work, lost):
                    task.cancel()
                await asyncio.wait([work, lost])
            error = None if work.cancelled() else work.exception()
            if error is not None and not isinstance(error, LeaseLostError):
                logger.error("The executor has to begin anew.", exc_info=error)
            await self._step_down(lease)

    async def _win(self) -> Lease:
        while True:
            try:
                return await self._repository.lead()
            except (StoreUnavailableError, StoreInUseError) as error:
                logger.warning("The store cannot be taken over yet: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    def _begin(self, lease: Lease) -> None:
        self._lease = lease
        self._executor = self._make()
        self._settled.clear()
        self.leading.set()

    async def _step_down(self, lease: Lease) -> None:
        """Drop everything: nothing of it counts any more."""
        self.leading.clear()
        executor, self._executor, self._lease = self._executor, None, None
        self._settled.set()
        if executor is not None:
            await executor.abandon()
        await lease.release()

    # The work of a term

    async def _work(self) -> None:
        executor = self._executor
        assert executor is not None
        self._doubt.set()
        while True:
            try:
                if self._doubt.is_set():
                    await self._take_over(executor)
                    self._settled.set()
                await self._read_letters(executor)
                await self._until_news()
            except StoreUnavailableError:
                await asyncio.sleep(RETRY_SECONDS)

    async def _until_news(self) -> None:
        """Wait for letters, or for doubt whether every run was started."""
        letters = asyncio.create_task(self._repository.wait_for_letters())
        doubt = asyncio.create_task(self._doubt.wait())
        try:
            await asyncio.wait([letters, doubt], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (letters, doubt):
                task.cancel()
            await asyncio.wait([letters, doubt])
        if not letters.cancelled():
            letters.result()

    async def _take_over(self, executor: AsyncioExecutor) -> None:
        """Go on with every run that has not ended. One that cannot be read keeps no other from it."""
        self._doubt.clear()
        for namespace, run_id in await self._unfinished():
            await self._start(executor, namespace, run_id)
            await asyncio.sleep(0)  # Reading thousands of runs takes time; others have their turn.

    async def _unfinished(self) -> Sequence[tuple[Namespace, RunId]]:
        while True:
            try:
                return await self._repository.unfinished()
            except StoreUnavailableError:
                await asyncio.sleep(RETRY_SECONDS)

    async def _start(self, executor: AsyncioExecutor, namespace: Namespace, run_id: RunId) -> None:
        while True:
            try:
                await executor.start(namespace, run_id)
            except StoreUnavailableError:
                await asyncio.sleep(RETRY_SECONDS)
            except WorkflowNotFoundError:
                return
            except Exception:
                logger.exception("Run %s cannot be taken over and is left as it is.", run_id)
                return
            else:
                return

    async def _read_letters(self, executor: AsyncioExecutor) -> None:
        while letters := await self._repository.letters():
            for letter in letters:
                await self._obey(executor, letter)
            await self._repository.discard(letters)

    async def _obey(self, executor: AsyncioExecutor, letter: Letter) -> None:
        """Do what a letter says. It is read again if this process ends before it is thrown away: that does no harm."""
        for _ in range(LETTER_TRIES):
            await self._start(executor, letter.namespace, letter.run_id)
            if letter.signal is None:
                return
            try:
                await executor.signal(letter.namespace, letter.run_id, letter.signal)
            except WorkflowNotFoundError:
                if await self._has_ended(letter):
                    return
            else:
                return
            # Its driver failed, and takes it over again in a moment.
            await asyncio.sleep(RETRY_SECONDS)
        logger.error("Run %s could not be told %s.", letter.run_id, letter.signal)

    async def _has_ended(self, letter: Letter) -> bool:
        try:
            return (await self._repository.summary(letter.namespace, letter.run_id)).status.final
        except WorkflowNotFoundError:
            return True
