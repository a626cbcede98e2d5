"""Every store there is, for tests that hold for all of them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from tempfile import TemporaryDirectory
from typing import Protocol

from gql_app.ports import Clock, RunRepository
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from gql_app.storage.sql.opening import opened
from tests.support.logs import MIDNIGHT


@dataclass
class ManualClock:
    """A clock that stands still until it is set."""

    time: datetime = field(default=MIDNIGHT)

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class OpenRepository(Protocol):
    """Opens a store that is empty, and closes it."""

    def __call__(
        self, *, clock: Clock | None = ..., settings: Settings | None = ...
    ) -> AbstractAsyncContextManager[RunRepository]: ...


@asynccontextmanager
async def _memory(*, clock: Clock | None = None, settings: Settings | None = None) -> AsyncIterator[RunRepository]:
    repository = MemoryRunRepository(clock=clock or ManualClock(), settings=settings or Settings())
    try:
        yield repository
    finally:
        await repository.close()


@asynccontextmanager
async def _sqlite(*, clock: Clock | None = None, settings: Settings | None = None) -> AsyncIterator[RunRepository]:
    with TemporaryDirectory() as directory:
        named = (settings or Settings()).model_copy(update={"store": f"sqlite:///{directory}/runs.db"})
        async with opened(named, clock=clock or ManualClock()) as repository:
            await repository.lead()
            yield repository


REPOSITORIES: dict[str, Callable[..., AbstractAsyncContextManager[RunRepository]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
}
WITH_RETENTION = ("memory", "sqlite")
