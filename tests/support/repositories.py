"""Every store there is, for tests that hold for all of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from sqlalchemy import create_engine

from gql_app.ports import Clock, RunRepository
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from gql_app.storage.sql import versions
from gql_app.storage.sql.opening import opened
from tests.support.logs import MIDNIGHT
from tests.support.postgres import Cluster, shared_cluster


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


@cache
def _empty_file() -> bytes:
    """Make a database in a file with all tables, once; the others are copies of it."""
    with TemporaryDirectory() as directory:
        engine = create_engine(f"sqlite:///{directory}/runs.db")
        with engine.begin() as connection:
            versions.upgrade(connection, "the template")
        engine.dispose()
        return Path(directory, "runs.db").read_bytes()


def _make_file(path: Path) -> None:
    path.write_bytes(_empty_file())


@asynccontextmanager
async def _sqlite(*, clock: Clock | None = None, settings: Settings | None = None) -> AsyncIterator[RunRepository]:
    with TemporaryDirectory() as directory:
        _make_file(Path(directory, "runs.db"))
        named = (settings or Settings()).model_copy(update={"store": f"sqlite:///{directory}/runs.db"})
        async with opened(named, clock=clock or ManualClock()) as repository:
            await repository.lead()
            yield repository


@cache
def _migrated(cluster: Cluster) -> str:
    """Make a database with all tables, once; the others are copies of it."""

    async def make() -> str:
        name = await cluster.create_database()
        named = Settings(store=cluster.url_of(name), migrate=True)
        async with opened(named, clock=ManualClock()):
            return name

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, make()).result()


@asynccontextmanager
async def _postgres(*, clock: Clock | None = None, settings: Settings | None = None) -> AsyncIterator[RunRepository]:
    cluster = shared_cluster()
    name = await cluster.create_database(template=_migrated(cluster))
    try:
        named = (settings or Settings()).model_copy(update={"store": cluster.url_of(name)})
        async with opened(named, clock=clock or ManualClock()) as repository:
            await repository.lead()
            yield repository
    finally:
        await cluster.drop_database(name)


REPOSITORIES: dict[str, Callable[..., AbstractAsyncContextManager[RunRepository]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgres": _postgres,
}
WITH_RETENTION = ("memory", "sqlite", "postgres")
