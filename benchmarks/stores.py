"""Databases to measure on: a file, and a Postgres of our own on the same disk."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import asyncpg
import pytest

from benchmarks.figure import CannotMeasureError
from gql_app.core.values import Json
from tests.support.postgres import Cluster, shared_cluster

KINDS: Final = ("SQLite", "Postgres")

Row = tuple[str, int, bytes]
Insert = Callable[[Sequence[Row]], Awaitable[None]]
"""Inserts rows of a log in one transaction, by the bare driver."""

_TABLE: Final = "CREATE TABLE bare (run_id TEXT, sequence INTEGER, data {kind}, PRIMARY KEY (run_id, sequence))"


@asynccontextmanager
async def store(kind: str) -> AsyncIterator[str]:
    """Make an empty store and tell its address."""
    if kind == "SQLite":
        with TemporaryDirectory() as directory:
            yield f"sqlite:///{directory}/runs.db"
        return
    cluster = _cluster()
    name = await cluster.create_database()
    try:
        yield cluster.url_of(name)
    finally:
        await cluster.drop_database(name)


@asynccontextmanager
async def bare(address: str) -> AsyncIterator[Insert]:
    """Insert into a table that is like that of events, beside a store, with nothing in between."""
    if address.startswith("sqlite"):
        connection = sqlite3.connect(
            Path(address.removeprefix("sqlite:///")).with_name("bare.db"), isolation_level=None
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(_TABLE.format(kind="BLOB"))

        async def insert(rows: Sequence[Row]) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO bare VALUES (?, ?, ?)", rows)
            connection.execute("COMMIT")

        try:
            yield insert
        finally:
            connection.close()
        return
    connect: Callable[..., Awaitable[Json]] = asyncpg.connect
    driver = await connect(address)
    await driver.execute(_TABLE.format(kind="BYTEA"))

    async def insert_there(rows: Sequence[Row]) -> None:
        async with driver.transaction():
            await driver.executemany("INSERT INTO bare VALUES ($1, $2, $3)", rows)

    try:
        yield insert_there
    finally:
        await driver.close()


async def in_batches(insert: Insert, rows: Sequence[Row], size: int) -> float:
    """Insert rows, so many in each transaction; tell the seconds it took."""
    started = time.perf_counter()
    for start in range(0, len(rows), size):
        await insert(rows[start : start + size])
        await asyncio.sleep(0)
    return time.perf_counter() - started


def _cluster() -> Cluster:
    try:
        return shared_cluster()
    except pytest.skip.Exception as error:
        raise CannotMeasureError(str(error)) from None
