"""Exports and imports of stores, in memory."""

import io
import json
from collections.abc import Awaitable, Callable
from hashlib import sha256

from gql_app.core.events import RunEvent
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.core.signals import CancelRequested
from gql_app.core.values import Json, Value
from gql_app.ports import IdempotencyKey, RunRepository
from gql_app.settings import Settings
from gql_app.storage.sql.exporting import Choice, Exported, Exporter
from gql_app.storage.sql.importing import Imported, Importer
from gql_app.storage.sql.opening import make_wakeups, opened
from gql_app.storage.sql.upkeep import opened_database
from tests.support.logs import ending, finished_log, later, progress, run_id, submission
from tests.support.repositories import ManualClock
from tests.support.stores import EmptyStore

EVERYTHING = Choice()
OTHER = Namespace("team-a")


async def export(store: EmptyStore, choice: Choice = EVERYTHING) -> bytes:
    """Export runs that are all well."""
    data, exported = await try_export(store, choice)
    assert exported.problems == []
    return data


async def try_export(
    store: EmptyStore, choice: Choice = EVERYTHING, *, write: Callable[[bytes], object] | None = None
) -> tuple[bytes, Exported]:
    """Export runs, and tell of those that are not well; `write` hears every line before it is written."""
    file = io.BytesIO()

    def put(line: bytes) -> None:
        if write is not None:
            write(line)
        file.write(line)

    async with opened_database(Settings(store=store.url), reads=True) as database:
        exported = await Exporter(database, put).export(choice)
    return file.getvalue(), exported


async def bring(store: EmptyStore, data: bytes) -> Imported:
    """Import what was exported."""
    async with opened_database(Settings(store=store.url), makes=True, alone=True) as database:
        importer = Importer(database, make_wakeups(database))
        await importer.read(io.BytesIO(data))
        return importer.imported


def lines(data: bytes) -> list[Json]:
    """Read an export as JSON."""
    return [json.loads(line) for line in data.splitlines()]


def big_value(number: int, size: int = 2_000) -> tuple[Value, dict[str, bytes]]:
    """Make a value that stands beside the log: what an event says of it, and itself."""
    data = json.dumps(f"{number:08}" * (size // 8)).encode()
    name = sha256(data).hexdigest()
    return Value(size=len(data), sha256=name), {name: data}


async def fill(store: EmptyStore, work: Callable[[RunRepository], Awaitable[None]]) -> None:
    """Let somebody write to a store whose executor it is."""
    async with opened(Settings(store=store.url, migrate=True), clock=ManualClock()) as repository:
        lease = await repository.lead()
        await work(repository)
        await lease.release()


async def write_every_kind(repository: RunRepository) -> None:
    """Store runs of every kind: finished in another order than they began, with and without all that a run can have."""
    value, values = big_value(1)
    odd = submission(1, name="tab\there \x00\x01 \u00e9\u4e16", input=value, labels={"a": "\x00", "b": "\U0001f600"})
    await repository.create([odd], values=values, idempotency=IdempotencyKey("k\x00\x01", "f" * 64))
    for number in (2, 3):
        await repository.create([submission(number, namespace=OTHER, at=later(number))], values={})
    output, outputs = big_value(2)
    events: list[RunEvent] = [*progress(output=output, at=later(9)), ending(5, at=later(10))]
    await repository.append(OTHER, run_id(3), 1, events, values=outputs)
    await repository.append(DEFAULT_NAMESPACE, run_id(1), 1, progress(at=later(11)), values={})
    long = finished_log(4, nodes=700)
    await repository.create(long, values={}, idempotency=IdempotencyKey("long", "1"))
    await repository.create([submission(5, retry_of=run_id(4))], values={})
    await repository.send(DEFAULT_NAMESPACE, run_id(1), CancelRequested(reason="enough\nof it"))
