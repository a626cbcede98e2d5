"""What is no whole export, or tells of runs that cannot be, does no harm to the store that it is imported into."""

import json
from collections.abc import AsyncIterator, Callable

import pytest

from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.values import Json
from gql_app.storage.sql.arrivals import InvalidExportError
from gql_app.storage.sql.exporting import Choice
from tests.support.exports import OTHER, bring, export, fill, lines, write_every_kind
from tests.support.logs import run_id
from tests.support.stores import EMPTY_STORES, EmptyStore

pytestmark = pytest.mark.anyio


@pytest.fixture
async def source() -> AsyncIterator[EmptyStore]:
    async with EMPTY_STORES["sqlite"]() as made:
        yield made


async def test_of_a_file_that_is_cut_off_the_complete_runs_are_imported(source: EmptyStore) -> None:
    await fill(source, write_every_kind)
    data = await export(source)
    async with EMPTY_STORES["sqlite"]() as store:
        for end in range(0, len(data), 997):
            told = [line for line in data[:end].splitlines() if line.endswith(b'"}')]
            complete = sum(line.startswith(b'{"type":"end"') for line in told)
            with pytest.raises(InvalidExportError, match=r"cut off|not even the first line|not the first line"):
                await bring(store, data[:end])
            if end > 200:
                assert lines(await export(store))[-1]["runs"] == complete

        rest = await bring(store, data)
        assert rest.added + rest.present == 5
        assert await export(store) == data


def damage(data: bytes, change: Callable[[list[Json]], object]) -> bytes:
    """Change the lines of the run in the middle."""
    told = lines(data)
    change(told)
    return b"".join(json.dumps(line).encode() + b"\n" for line in told if line is not None)


def line_of(told: list[Json], kind: str, number: int = 3) -> Json:
    return next(line for line in told if line["type"] == kind and line.get("run") == run_id(number))


SIXTH = {"type": "WorkflowStarted/1", "sequence": 6, "at": "2026-01-02T00:00:00Z"}
DAMAGES: dict[str, tuple[Callable[[list[Json]], object], str]] = {
    "event gone": (lambda told: line_of(told, "events")["events"].pop(2), "cannot have happened"),
    "last event gone": (lambda told: line_of(told, "events")["events"].pop(), "it has 4 events, and should have 5"),
    "first event gone": (lambda told: line_of(told, "events")["events"].pop(0), "does not begin with its submission"),
    "unknown event": (lambda told: line_of(told, "events")["events"][1].update(type="Nap/1"), "cannot be read"),
    "unknown node": (lambda told: line_of(told, "events")["events"][2].update(node=["x"]), "cannot have happened"),
    "goes on after its end": (lambda told: line_of(told, "events")["events"].append(SIXTH), "event 6 follows its end"),
    "value changed": (lambda told: line_of(told, "value").update(json="x"), "is damaged"),
    "value gone": (lambda told: told.remove(line_of(told, "value")), "is missing"),
    "namespace changed": (lambda told: line_of(told, "run").update(namespace="x"), "in namespace 'team-a'"),
    "end gone": (lambda told: told.remove(line_of(told, "end")), "its last lines are missing"),
    "beginning gone": (lambda told: told.remove(line_of(told, "run")), "belongs to no run"),
    "strange signal": (lambda told: line_of(told, "run").update(signals=[1]), "a signal for it cannot be read"),
}


@pytest.mark.parametrize("kind", DAMAGES)
async def test_a_damaged_run_is_named_and_the_others_imported(source: EmptyStore, kind: str) -> None:
    await fill(source, write_every_kind)
    change, message = DAMAGES[kind]
    data = damage(await export(source), change)

    async with EMPTY_STORES["sqlite"]() as store:
        imported = await bring(store, data)

        assert imported.added == 4
        assert len(imported.problems) == 1
        assert message in imported.problems[0]
        assert lines(await export(store))[-1]["runs"] == 4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "It is empty"),
        (b"hello\n", "Line 1 is not the first line of what"),
        (b'{"type":"run","run":"a","namespace":"b","events":1}\n', "Line 1 is not the first line of what"),
        (b'{"type":"header","format":"gql_app runs","version":2}\n', "a newer version of gql-app"),
        (b'{"type":"header","format":"gql_app runs","version":1}\n', "cut off after line 1"),
    ],
)
async def test_what_is_no_export_is_refused(source: EmptyStore, data: bytes, message: str) -> None:
    with pytest.raises(InvalidExportError, match=message):
        await bring(source, data)


async def test_exports_one_behind_the_other_are_one(source: EmptyStore) -> None:
    await fill(source, write_every_kind)
    parts = [await export(source, Choice(namespace=namespace)) for namespace in (OTHER, DEFAULT_NAMESPACE)]

    async with EMPTY_STORES["sqlite"]() as store:
        imported = await bring(store, b"".join([*parts, parts[0]]))

        assert (imported.added, imported.present) == (5, 2)
