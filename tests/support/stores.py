"""Databases without any tables, for what makes and moves whole stores."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import create_engine

from gql_app.core.values import Json
from tests.support.postgres import shared_cluster


class EmptyStore:
    """A place for a store."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def execute(self, statement: str) -> Json:
        """Let the database do something, as nobody of ours would, and give the rows."""
        if self.url.startswith("sqlite"):
            engine = create_engine(self.url)
            with engine.begin() as connection:
                done = connection.exec_driver_sql(statement)
                rows = [dict(row) for row in done.mappings()] if done.returns_rows else []
            engine.dispose()
            return rows
        return await shared_cluster().execute(statement, self.url.rpartition("/")[2])


@asynccontextmanager
async def _sqlite() -> AsyncIterator[EmptyStore]:
    with TemporaryDirectory() as directory:
        yield EmptyStore(f"sqlite:///{Path(directory, 'runs.db')}")


@asynccontextmanager
async def _postgres() -> AsyncIterator[EmptyStore]:
    cluster = shared_cluster()
    name = await cluster.create_database()
    try:
        yield EmptyStore(cluster.url_of(name))
    finally:
        await cluster.drop_database(name)


EMPTY_STORES: dict[str, Callable[[], AbstractAsyncContextManager[EmptyStore]]] = {
    "sqlite": _sqlite,
    "postgres": _postgres,
}
