"""Writes runs of a store as lines of JSON, each as it is at one moment, and none of them whole in memory."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import msgspec
from sqlalchemy import Select, func, select, tuple_

from gql_app.core.errors import CorruptRunError, WorkflowNotFoundError
from gql_app.core.ids import Namespace, RunId
from gql_app.core.values import Json
from gql_app.storage.sql.database import Database
from gql_app.storage.sql.lines import (
    EventLines,
    Footer,
    Header,
    Key,
    Line,
    RunDropped,
    RunEnd,
    RunLine,
    ValueLine,
    encode_line,
    one_line,
    references,
)
from gql_app.storage.sql.listing import LAST
from gql_app.storage.sql.rows import AnyRow, read_events
from gql_app.storage.sql.tables import events, letters, run_values, runs

RUNS_AT_ONCE: Final = 500
SMALL_RUNS_AT_ONCE: Final = 32
EVENTS_AT_ONCE: Final = 500
BYTES_AT_ONCE: Final = 4 << 20
"""Of values that are read together, unless one alone is bigger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which runs: all of them unless something is said."""

    namespace: Namespace | None = None
    run_ids: Sequence[RunId] = ()
    unfinished: bool = False


@dataclass(slots=True)
class Exported:
    """How many runs were written, and which could not be."""

    runs: int = 0
    problems: list[str] = field(default_factory=list)


class RemovedMeanwhileError(Exception):
    """The run was there, and is not any more."""


class Exporter:
    """Reads runs, and hands line after line to `write`."""

    def __init__(self, database: Database, write: Callable[[bytes], object]) -> None:
        self._database = database
        self._write = write
        self._exported = Exported()

    async def export(self, choice: Choice) -> Exported:
        """Write the runs that are there now: those that have finished, in that order, then the others.

        A run that goes on meanwhile is written as far as it has come. Raises `StoreUnavailableError`.
        """
        self._tell(Header())
        waiting: list[RunId] = []
        async for run_id in self._choose(choice):
            waiting.append(run_id)
            if len(waiting) == SMALL_RUNS_AT_ONCE:
                await self._export_runs(choice, waiting)
                waiting = []
        await self._export_runs(choice, waiting)
        self._tell(Footer(self._exported.runs))
        return self._exported

    def _tell(self, line: Line) -> None:
        self._write(encode_line(line))

    # Which runs

    async def _choose(self, choice: Choice) -> AsyncIterator[RunId]:
        if choice.run_ids:
            for run_id in dict.fromkeys(choice.run_ids):
                yield run_id
            return
        # Those that finish from here on stay among these.
        unfinished = await self._unfinished(choice)
        if not choice.unfinished:
            among = frozenset(unfinished)
            async for run_id in self._finished(choice):
                if run_id not in among:
                    yield run_id
        for run_id in unfinished:
            yield run_id

    async def _unfinished(self, choice: Choice) -> list[RunId]:
        wanted = _of(choice, select(runs.c.run_id).where(runs.c.finished_at.is_(None)))
        found = wanted.order_by(runs.c.created_at, runs.c.run_id)
        return await self._database.read(lambda connection: [RunId(row.run_id) for row in connection.execute(found)])

    async def _finished(self, choice: Choice) -> AsyncIterator[RunId]:
        number = runs.c.finish_number
        last = await self._database.read(lambda connection: connection.execute(select(func.max(number))).scalar())
        wanted = _of(choice, select(number, runs.c.run_id).where(number.is_not(None), number <= (last or 0)))
        wanted = wanted.order_by(number, runs.c.run_id).limit(RUNS_AT_ONCE)
        page = wanted
        while rows := await self._read_all(page):
            for row in rows:
                yield RunId(row.run_id)
            page = wanted.where(tuple_(number, runs.c.run_id) > (rows[-1].finish_number, rows[-1].run_id))

    async def _read_all(self, wanted: Select[*tuple[Json, ...]]) -> Sequence[AnyRow]:
        return await self._database.read(lambda connection: connection.execute(wanted).all())

    async def _export_runs(self, choice: Choice, run_ids: Sequence[RunId]) -> None:
        """Write some runs. Most are small: their rows and events are read together."""
        wanted = _of(choice, select(*runs.c, LAST).where(runs.c.run_id.in_(run_ids)))
        rows = {row.run_id: row for row in await self._read_all(wanted)}
        small, left = dict[str, list[bytes]](), EVENTS_AT_ONCE
        for row in rows.values():
            if row.sequence is not None and row.sequence <= left:
                small[row.run_id] = []
                left -= row.sequence
        for event in await self._read_all(_SMALL_LOGS.where(events.c.run_id.in_(small))):
            if len(log := small[event.run_id]) < rows[event.run_id].sequence:
                log.append(bytes(event.data))
        for run_id in run_ids:
            await self._export_run(choice, run_id, rows.get(run_id), small.pop(run_id, None))

    # One run

    async def _export_run(self, choice: Choice, run_id: RunId, row: AnyRow | None, log: list[bytes] | None) -> None:
        begun = False
        try:
            if row is None:
                raise WorkflowNotFoundError(run_id)
            if row.sequence is None:
                raise CorruptRunError(run_id, "it has no events")
            self._tell(await self._begin(row))
            begun = True
            wanted = await self._write_events(run_id, row.sequence, log)
            await self._write_values(run_id, wanted)
        except (CorruptRunError, WorkflowNotFoundError, RemovedMeanwhileError) as error:
            if begun:
                self._tell(RunDropped(run_id))
            if isinstance(error, CorruptRunError) or (isinstance(error, WorkflowNotFoundError) and choice.run_ids):
                self._exported.problems.append(str(error))
        else:
            self._tell(RunEnd(run_id))
            self._exported.runs += 1

    async def _begin(self, row: AnyRow) -> RunLine:
        left = select(letters.c.signal).where(letters.c.run_id == row.run_id, letters.c.signal.is_not(None))
        signals = [] if row.finished_at is not None else await self._read_all(left.order_by(letters.c.id))
        return RunLine(
            run=row.run_id,
            namespace=row.namespace,
            events=row.sequence,
            idempotency=None if row.idempotency_key is None else Key(row.idempotency_key, row.fingerprint),
            signals=tuple(one_line(signal.signal.encode()) for signal in signals),
        )

    async def _write_events(self, run_id: RunId, last: int, log: list[bytes] | None) -> Mapping[str, int]:
        """Write the events up to a sequence, and tell the values that they refer to; perhaps they have been read."""
        lines, wanted = EventLines(run_id), dict[str, int]()
        after = 0
        while after < last:
            data = await self._read_events(run_id, after, last) if log is None else log[after:]
            wanted |= references(read_events(run_id, after, data))
            if not data:
                await self._check_there(run_id)
                raise CorruptRunError(run_id, f"event {after + 1} is missing")
            for line in lines.add(data):
                self._tell(line)
            after += len(data)
        for line in lines.rest():
            self._tell(line)
        return wanted

    async def _read_events(self, run_id: RunId, after: int, last: int) -> list[bytes]:
        page = (
            select(events.c.data)
            .where(events.c.run_id == run_id, events.c.sequence > after, events.c.sequence <= last)
            .order_by(events.c.sequence)
            .limit(EVENTS_AT_ONCE)
        )
        return [bytes(row.data) for row in await self._read_all(page)]

    async def _write_values(self, run_id: RunId, wanted: Mapping[str, int]) -> None:
        """Write values, some of them at a time."""
        for names in _in_parts(wanted):
            page = select(run_values.c.sha256, run_values.c.data)
            page = page.where(run_values.c.run_id == run_id, run_values.c.sha256.in_(names))
            found = {row.sha256: bytes(row.data) for row in await self._read_all(page)}
            if len(found) < len(names):
                await self._check_there(run_id)
            for name in names:
                self._tell(ValueLine(run_id, name, _checked(run_id, name, found.get(name))))

    async def _check_there(self, run_id: RunId) -> None:
        if not await self._read_all(select(runs.c.run_id).where(runs.c.run_id == run_id)):
            raise RemovedMeanwhileError


_SMALL_LOGS: Final = select(events.c.run_id, events.c.data).order_by(events.c.run_id, events.c.sequence)


def _of(choice: Choice, wanted: Select[*tuple[Json, ...]]) -> Select[*tuple[Json, ...]]:
    return wanted if choice.namespace is None else wanted.where(runs.c.namespace == choice.namespace)


def _in_parts(wanted: Mapping[str, int]) -> list[list[str]]:
    """Divide values into parts that are not too big."""
    parts: list[list[str]] = []
    size = BYTES_AT_ONCE
    for name in sorted(wanted):
        if size + wanted[name] > BYTES_AT_ONCE:
            parts.append([])
            size = 0
        parts[-1].append(name)
        size += wanted[name]
    return parts


def _checked(run_id: RunId, name: str, data: bytes | None) -> msgspec.Raw:
    if data is None:
        raise CorruptRunError(run_id, f"the value {name} is missing")
    if sha256(data).hexdigest() != name or b"\n" in data:
        raise CorruptRunError(run_id, f"the value {name} is damaged")
    return msgspec.Raw(data)
