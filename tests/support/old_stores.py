"""Stores as older versions of the tables held them: written down once, and made again in any database.

Before a migration is added, write down one of the version there is: `python -m tests.support.old_stores`.
"""

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from sqlalchemy import Connection, LargeBinary, MetaData, create_engine, delete, insert, select

from gql_app import ToolError, tool
from gql_app.bootstrap import Application, application
from gql_app.core.access import Scope
from gql_app.core.events import WorkflowSubmitted
from gql_app.core.ids import DEFAULT_NAMESPACE, RunId, make_run_id
from gql_app.core.run import NodeStatus, WorkflowRun
from gql_app.core.signals import CancelRequested
from gql_app.core.values import Json
from gql_app.engine.clock import SystemClock
from gql_app.ports import Tool
from gql_app.settings import Settings
from gql_app.storage.sql import versions
from gql_app.storage.sql.key_table import SqlKeyRecords
from gql_app.storage.sql.opening import make_database, opened
from gql_app.web.auth.key_sources import record_of
from gql_app.web.auth.keys import make_key
from tests.support.documents import document, echo
from tests.support.requirements import REPOSITORY

DIRECTORY = REPOSITORY / "tests" / "contract" / "stores"
ENDS = {
    "done": "COMPLETED",
    "in flight": "COMPLETED",
    "at most once": "FAILED",
    "in back-off": "COMPLETED",
    "has a big output": "COMPLETED",
    "to be cancelled": "CANCELLED",
    "not begun": "COMPLETED",
}
"""How each of the runs ends, by its name."""
_AGAIN = {"initialIntervalSeconds": 0.01, "jitter": "NONE"}


class OldStore:
    """A store that was written down."""

    def __init__(self, path: Path) -> None:
        written = json.loads(path.read_text(encoding="utf-8"))
        self.version: str = written["version"]
        self.written_at = datetime.fromisoformat(written["writtenAt"])
        self._rows: dict[str, list[Json]] = written["tables"]

    def make(self, connection: Connection, store: str) -> None:
        """Make its tables as they were, and fill them."""
        versions.upgrade(connection, store, to=self.version)
        known = MetaData()
        known.reflect(connection)
        for name, rows in self._rows.items():
            table = known.tables[name]
            connection.execute(delete(table))
            binary = {column.name for column in table.columns if isinstance(column.type, LargeBinary)}
            # The database numbers letters by itself.
            left_out = {"id"} if name == "letters" else set()
            values = [
                {key: value.encode() if key in binary else value for key, value in row.items() if key not in left_out}
                for row in rows
            ]
            if values:
                connection.execute(insert(table), values)


class ClockOfThen:
    """A clock that goes on a minute after a store was written down."""

    def __init__(self, written_at: datetime) -> None:
        self._clock = SystemClock()
        self._since = written_at + timedelta(minutes=1) - self._clock.now()

    def now(self) -> datetime:
        return self._clock.now() + self._since


def make_tools(*, then: bool) -> list[Tool]:
    """Make the tools of the runs: while the store is written down they do not come to their end."""

    @tool
    async def held(value: str = "held") -> str:
        """Wait for ever, then."""
        if then:
            await asyncio.Event().wait()
        return value

    @tool
    async def flaky() -> str:
        """Fail, then."""
        if then:
            raise ToolError("not yet")
        return "at last"

    return [held, flaky]


def documents() -> dict[str, Json]:
    """Write the documents of the runs that are submitted, by their names."""
    held, flaky = {"id": "b", "tool": "held"}, {"id": "b", "tool": "flaky"}
    waiting = {"maximumAttempts": 2, "initialIntervalSeconds": 30, "jitter": "NONE"}
    big = {"id": "b", "tool": "held", "input": {"value": "${ nodes.a.output }"}, "retry": _AGAIN}
    nodes: dict[str, list[Json]] = {
        "done": [echo("a", 1)],
        "in flight": [echo("a", 1), {**held, "dependsOn": ["a"], "retry": _AGAIN}],
        "at most once": [{**held, "retry": {"maximumAttempts": 1}}],
        "in back-off": [echo("a", 1), {**flaky, "retry": waiting}],
        "has a big output": [echo("a", "x" * 3_000), big],
        "to be cancelled": [{**held, "timeout": {"attemptSeconds": None}}],
    }
    return {
        name: document(*each, name=name, labels={"kind": name.replace(" ", "-")}, timeoutSeconds=86_400)
        for name, each in nodes.items()
    }


async def write_down() -> Json:
    """Let runs come to many states, and write down what a crash would leave of them."""
    with TemporaryDirectory() as directory:
        settings = Settings(store=f"sqlite:///{directory}/live.db", shutdown_grace_seconds=0, stop_grace_seconds=0)
        left = Settings(store=f"sqlite:///{directory}/left.db")
        async with application(settings, tools=make_tools(then=True)) as service:
            runs = [await _begin(service, name, each) for name, each in documents().items()]
            live, left_over = (sqlite3.connect(f"{directory}/{name}.db") for name in ("live", "left"))
            with closing(live), closing(left_over):
                live.backup(left_over)
        await _leave_letters(left, runs)
        await _add_key(left)
        engine = create_engine(left.store)
        with engine.connect() as connection:
            written: Json = {
                "version": versions.newest(),
                "writtenAt": SystemClock().now().isoformat(),
                "tables": _dump(connection),
            }
        engine.dispose()
        written["tables"]["leases"][0]["holder"] = "process 1 on a machine"
        return written


async def _begin(service: Application, name: str, spec: Json) -> RunId:
    run = await service.service.submit(DEFAULT_NAMESPACE, spec, idempotency_key=name)
    async for update in service.service.watch(DEFAULT_NAMESPACE, run.run_id, after=0):
        if _has_come_far(update.run):
            break
    return run.run_id


def _has_come_far(run: WorkflowRun) -> bool:
    """Tell whether a run is where it stays."""
    far = {"held": NodeStatus.RUNNING, "flaky": NodeStatus.RETRYING}.get(run.plan.nodes[-1].tool)
    return run.status.final or run.nodes[-1].status is far


async def _leave_letters(settings: Settings, runs: list[RunId]) -> None:
    async with opened(settings, clock=SystemClock()) as repository:
        (first,) = await repository.events(DEFAULT_NAMESPACE, runs[0], after=0, limit=1)
        assert isinstance(first, WorkflowSubmitted)
        run_id = make_run_id(int(first.at.timestamp() * 1000), bytes(10))
        plan = msgspec.structs.replace(first.plan, name="not begun")
        await repository.create([msgspec.structs.replace(first, run_id=run_id, plan=plan)], values={})
        await repository.send(DEFAULT_NAMESPACE, runs[-1], CancelRequested(reason="not needed"))


async def _add_key(settings: Settings) -> None:
    database = make_database(settings)
    made = make_key(
        name="ci", namespace=DEFAULT_NAMESPACE, scopes=(Scope.READ,), created_at=SystemClock().now(), expires_at=None
    )
    await SqlKeyRecords(database).add(record_of(made.kept))
    await database.close()


def _dump(connection: Connection) -> Json:
    known = MetaData()
    known.reflect(connection)
    return {
        name: [
            {key: value.decode() if isinstance(value, bytes) else value for key, value in row.items()}
            for row in connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
        ]
        for name, table in sorted(known.tables.items())
        if name != "alembic_version"
    }


def main() -> None:
    """Write down a store of the version there is."""
    written = asyncio.run(write_down())
    path = DIRECTORY / f"{written['version']}.json"
    path.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
