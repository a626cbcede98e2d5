"""Every question to the tables is answered by an index: none reads a table from end to end, nor sorts one."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import Connection, Engine, event, insert

from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace, RunId
from gql_app.core.listing import RunFilter, RunOrder, RunOrderField, RunPosition, RunQuery
from gql_app.core.run import RunStatus
from gql_app.core.signals import CancelRequested
from gql_app.core.values import Json
from gql_app.ports import IdempotencyKey
from gql_app.settings import Settings
from gql_app.storage.sql.database import Database
from gql_app.storage.sql.listing import list_runs
from gql_app.storage.sql.opening import make_repository, prepare
from gql_app.storage.sql.repository import SqlRunRepository
from gql_app.storage.sql.rows import Values, microseconds
from gql_app.storage.sql.tables import events, run_labels, run_values, runs
from tests.support.logs import ending, later, progress, run_id, submission
from tests.support.postgres import shared_cluster
from tests.support.repositories import ManualClock

pytestmark = pytest.mark.anyio

RUNS = 20_000
STATUSES = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.TIMED_OUT)
BIG = {"runs", "events", "run_labels", "run_values"}
SMALL = ("ix_runs_unfinished", "ix_runs_finished")
"""Indexes of a part of the runs."""
Question = tuple[str, Json]
"""A statement and its parameters."""

FILTERS = {
    "none": RunFilter(),
    "status": RunFilter(statuses=frozenset({RunStatus.FAILED})),
    "statuses": RunFilter(statuses=frozenset({RunStatus.FAILED, RunStatus.COMPLETED, RunStatus.RUNNING})),
    "name": RunFilter(name="name 3"),
    "created_after": RunFilter(created_after=later(1_000)),
    "created_before": RunFilter(created_before=later(19_000)),
    "label": RunFilter(labels={"team": "a"}),
}
ORDERS = [RunOrder(field=field, descending=down) for field, down in product(RunOrderField, (True, False))]
# No index has a range of times in the order of names, and which way is shorter depends on the range.
SHAPES = [
    pytest.param(wanted, order, id=f"{name}-{order.field}-{'down' if order.descending else 'up'}")
    for (name, wanted), order in product(FILTERS.items(), ORDERS)
    if not (order.field is RunOrderField.NAME and name.startswith("created"))
]


def rows() -> tuple[list[Values], ...]:
    """Make many runs that have finished, and some that have not."""
    made: tuple[list[Values], ...] = ([], [], [], [])
    for number in range(RUNS):
        name, created = run_id(number), microseconds(later(number))
        unfinished = number % 100 == 0
        status = RunStatus.RUNNING if unfinished else STATUSES[number % 4]
        made[0].append(
            {
                "run_id": name,
                "namespace": DEFAULT_NAMESPACE,
                "name": f"name {number % 7}",
                "status": status.value,
                "created_at": created,
                "started_at": created,
                "finished_at": None if unfinished else created,
                "finish_number": None if unfinished else number,
                "labels": "{}",
                "idempotency_key": f"key {number}",
                "fingerprint": "same",
                "value_bytes": 0,
            }
        )
        made[1].append({"run_id": name, "sequence": 1, "data": b"{}"})
        made[3].append({"run_id": name, "sha256": "aa", "size": 1, "data": b"1"})
        label = {"namespace": DEFAULT_NAMESPACE, "created_at": created, "run_id": name}
        made[2].append({**label, "name": "team", "value": "ab"[number % 2]})
    return made


def fill(connection: Connection) -> None:
    for table, each in zip((runs, events, run_labels, run_values), rows(), strict=True):
        connection.execute(insert(table), each)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ANALYZE")


@asynccontextmanager
async def _filled(store: str) -> AsyncIterator[tuple[SqlRunRepository, Database]]:
    repository, database = make_repository(Settings(store=store, retention_runs=RUNS), clock=ManualClock())
    try:
        await prepare(database, migrate=True)
        await database.write(fill)
        yield repository, database
    finally:
        await repository.close()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
async def filled(request: pytest.FixtureRequest) -> AsyncIterator[tuple[SqlRunRepository, Database]]:
    if request.param == "sqlite":
        with TemporaryDirectory() as directory:
            async with _filled(f"sqlite:///{Path(directory, 'runs.db')}") as both:
                yield both
        return
    cluster = shared_cluster()
    name = await cluster.create_database()
    async with _filled(cluster.url_of(name)) as both:
        yield both
    await cluster.drop_database(name)


@contextmanager
def asked() -> Iterator[list[Question]]:
    """Hear what the tables are asked, in the block."""
    questions: list[Question] = []

    def hear(_connection: Json, _cursor: Json, statement: str, parameters: Json, _context: Json, many: bool) -> None:
        given = parameters[0] if many else parameters
        if statement.startswith(("SELECT", "UPDATE", "DELETE")) and not statement.startswith("SELECT pg_"):
            questions.append((statement, tuple(given)))

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield questions
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


def long_ways(connection: Connection, question: Question) -> list[str]:
    """Tell the steps of an answer that read or sort too much."""
    statement, parameters = question
    if connection.dialect.name == "sqlite":
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        short = {row.parent for row in plan if any(part in row.detail for part in ("SCAN anon_", *SMALL))}
        return [row.detail for row in plan if _is_long_in_sqlite(row.detail, short=row.parent in short)]
    explained = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    return list(_long_in_postgres(explained[0]["Plan"]))


def _is_long_in_sqlite(step: str, *, short: bool) -> bool:
    if step.startswith("USE TEMP B-TREE"):
        # Of several statuses there is a short list of each; and the unfinished runs are few.
        return not short
    words = step.split()
    return words[0] == "SCAN" and words[1] in BIG and not any(index in step for index in SMALL)


def _long_in_postgres(plan: Json) -> Iterator[str]:
    if plan["Node Type"] == "Seq Scan" and plan["Relation Name"] in BIG:
        yield f"Seq Scan on {plan['Relation Name']}"
    if plan["Node Type"] == "Sort" and plan["Plan Rows"] > 500:
        yield f"Sort of {plan['Plan Rows']} rows"
    for part in plan.get("Plans", ()):
        yield from _long_in_postgres(part)


def position(number: int, order: RunOrder) -> RunPosition:
    value = f"name {number % 7}" if order.field is RunOrderField.NAME else later(number).isoformat()
    return RunPosition(value, run_id(number))


def pages(wanted: RunFilter, order: RunOrder) -> Sequence[RunQuery]:
    """Make queries for the first page, the last one, and those on either side of a place in the middle."""
    first = RunQuery(limit=20, filter=wanted, order=order)
    middle = position(10_000, order)
    last = replace(first, backward=True)
    both = replace(first, after=middle, before=position(10_003 if not order.descending else 9_997, order))
    return (first, last, replace(first, after=middle), replace(last, before=middle), both)


@pytest.mark.parametrize(("wanted", "order"), SHAPES)
async def test_a_list_walks_an_index(
    filled: tuple[SqlRunRepository, Database], wanted: RunFilter, order: RunOrder
) -> None:
    _, database = filled

    def explain(connection: Connection) -> dict[str, list[str]]:
        with asked() as questions:
            for query in pages(wanted, order):
                list_runs(connection, DEFAULT_NAMESPACE, query)
        assert len(questions) >= 5
        return {question[0]: ways for question in questions if (ways := long_ways(connection, question))}

    assert await database.read(explain) == {}


async def test_whatever_else_is_asked_is_found_by_an_index(filled: tuple[SqlRunRepository, Database]) -> None:
    repository, database = filled
    new, other = submission(RUNS + 1), submission(RUNS + 2, namespace=Namespace("other"))

    with asked() as questions:
        lease = await repository.lead()
        await repository.create([new], values={"aa": b"1"}, idempotency=IdempotencyKey("new", "same"))
        await repository.create([other], values={})
        await repository.append(DEFAULT_NAMESPACE, new.run_id, 1, progress(), values={})
        await repository.append(DEFAULT_NAMESPACE, new.run_id, 4, [ending(5)], values={})
        await repository.send(Namespace("other"), other.run_id, CancelRequested(reason=None))
        await repository.discard(await repository.letters())
        await repository.value(DEFAULT_NAMESPACE, new.run_id, "aa")
        await repository.delete(DEFAULT_NAMESPACE, new.run_id)
        await repository.unfinished()
        await repository.summary(Namespace("other"), other.run_id)
        await repository.wait(Namespace("other"), other.run_id, after=0)
        await lease.release()
        await repository.events(Namespace("other"), other.run_id, after=0, limit=100)
        await repository.create([new], values={}, idempotency=IdempotencyKey("key 5", "same"))

    def explain(connection: Connection) -> dict[str, list[str]]:
        return {question[0]: ways for question in questions if (ways := long_ways(connection, question))}

    counted = {statement for statement, _ in questions if "count(*)" in statement}
    found = await database.read(explain)
    # The finished runs are counted once in a term; that reads as much as is there.
    assert {statement: ways for statement, ways in found.items() if statement not in counted} == {}
    assert any(RunId("runs") in statement for statement in counted)
