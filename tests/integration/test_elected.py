"""A process that is the executor for a while: what it was asked meanwhile is done by whoever is next."""

import asyncio
from collections.abc import Sequence

from gql_app.core.errors import LeaseLostError
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace, RunId
from gql_app.core.signals import CancelRequested
from gql_app.engine.elected import ElectedExecutor
from gql_app.ports import Letter
from gql_app.settings import Settings
from gql_app.testing.virtual_time import VirtualClock, run_on_virtual_time
from tests.support.builders import node
from tests.support.engine import Engine
from tests.support.troubled_repository import TroubledRepository


class Term:
    """A lease that is lost when the test says so."""

    epoch = 1

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def lost(self) -> None:
        await self.over.wait()

    async def release(self) -> None:
        self.over.set()


class ContestedRepository(TroubledRepository):
    """A store whose lease this process holds once, and whose unfinished runs cannot be read meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.term = Term()
        self.terms = 0
        self.readable = asyncio.Event()

    async def lead(self) -> Term:  # type: ignore[override] # only this lease can be lost
        self.terms += 1
        if self.terms > 1:
            await asyncio.get_running_loop().create_future()
        return self.term

    async def unfinished(self) -> Sequence[tuple[Namespace, RunId]]:
        await self.readable.wait()
        return await super().unfinished()

    async def discard(self, letters: Sequence[Letter]) -> None:
        if self.term.over.is_set():
            raise LeaseLostError(letters[0].run_id, self.term.epoch)
        await super().discard(letters)


def elected(repository: ContestedRepository) -> tuple[ElectedExecutor, Engine]:
    made = Engine(clock=VirtualClock(), settings=Settings(), repository=repository)
    return ElectedExecutor(repository, lambda: made.executor), made


def test_a_cancel_that_comes_while_the_lease_is_being_lost_is_left_for_the_next_executor() -> None:
    async def scene() -> None:
        repository = ContestedRepository()
        executor, made = elected(repository)
        run_id = await made.submit(node("a", tool="echo"))
        await executor.open(stands_by=False)

        asked = asyncio.ensure_future(executor.signal(DEFAULT_NAMESPACE, run_id, CancelRequested(reason="Enough.")))
        await asyncio.sleep(1.0)
        repository.term.over.set()
        async with asyncio.timeout(60.0):
            await asked

        assert [letter.run_id for letter in await repository.letters()] == [run_id]
        assert not executor.leading.is_set()
        await executor.close()

    run_on_virtual_time(scene())
