"""A run is shown as it was at any place of its log, and its log a page at a time."""

import asyncio

import pytest

from gql_app.core.errors import InvalidCursorError, WorkflowNotFoundError
from gql_app.core.fold import fold
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.values import Json
from gql_app.service.folding import PAGE_EVENTS
from gql_app.service.reader import RunReader
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from tests.support.graphql import Api
from tests.support.logs import finished_log, run_id
from tests.support.repositories import ManualClock
from tests.support.service import Stage, node

pytestmark = pytest.mark.anyio

SHOW = """
query ($id: ID!, $at: Int, $first: Int = 100, $after: Int = 0) { workflow(id: $id, at: $at) {
  status sequence output finishedAt
  nodes { id status attempt waitingOn { ... on WaitingOnNodes { nodeIds } } }
  events(first: $first, after: $after) { sequence }
  availableActions { action enabled }
} }
"""


def repository() -> MemoryRunRepository:
    return MemoryRunRepository(clock=ManualClock(), settings=Settings())


def sequences(events: Json) -> list[int]:
    return [event["sequence"] for event in events]


async def test_every_state_of_a_run_is_what_its_log_folds_to() -> None:
    store = repository()
    log = finished_log(nodes=5)
    await store.create(log, values={})
    reader = RunReader(store)

    for at in range(1, len(log) + 1):
        assert await reader.past(DEFAULT_NAMESPACE, run_id(1), at) == fold(log[:at])

    assert await reader.current(DEFAULT_NAMESPACE, run_id(1)) == fold(log)


async def test_looking_at_the_past_does_not_change_what_is_shown_now() -> None:
    store = repository()
    log = finished_log(nodes=PAGE_EVENTS)
    await store.create(log, values={})
    reader = RunReader(store)
    await reader.current(DEFAULT_NAMESPACE, run_id(1))
    kept = reader.kept

    past = await reader.past(DEFAULT_NAMESPACE, run_id(1), PAGE_EVENTS + 1)

    assert past == fold(log[: PAGE_EVENTS + 1])
    assert reader.kept == kept
    assert (await reader.current(DEFAULT_NAMESPACE, run_id(1))).sequence == len(log)


async def test_others_have_their_turn_while_the_past_of_a_long_log_is_folded() -> None:
    store = repository()
    log = finished_log(nodes=5 * PAGE_EVENTS)
    await store.create(log, values={})
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    await RunReader(store).past(DEFAULT_NAMESPACE, run_id(1), len(log) - 1)
    counting.cancel()

    assert turns >= len(log) // PAGE_EVENTS


@pytest.mark.parametrize("beyond", [0, -1, 1_000])
async def test_a_run_was_never_where_its_log_has_no_event(beyond: int) -> None:
    stage = Stage()
    ended = await stage.perform(node("a"))
    last = (await stage.get(ended)).sequence

    with pytest.raises(InvalidCursorError, match=f"use 1 to {last}"):
        await stage.service.get(DEFAULT_NAMESPACE, ended, at=beyond)
    answer = await Api(stage.service).execute(SHOW, id=ended, at=beyond)

    assert answer.errors is not None
    assert [error.extensions["code"] for error in answer.errors] == ["INVALID_CURSOR"]


async def test_no_run_has_no_past() -> None:
    stage = Stage()

    with pytest.raises(WorkflowNotFoundError):
        await stage.service.get(DEFAULT_NAMESPACE, run_id(7), at=1)

    assert await Api(stage.service).ask(SHOW, id=run_id(7), at=1) == {"workflow": None}


async def test_a_run_is_shown_whole_as_it_was_and_what_can_be_done_with_it_now() -> None:
    stage = Stage()
    run = await stage.submit(node("a"), node("b", "a"))
    at = (await stage.get(run)).sequence
    await stage.executor.succeed(run, "a", "first")
    await stage.executor.succeed(run, "b", "second")

    shown = (await Api(stage.service).ask(SHOW, id=run, at=at))["workflow"]

    assert (shown["status"], shown["sequence"], shown["output"], shown["finishedAt"]) == ("RUNNING", at, None, None)
    assert shown["nodes"] == [
        {"id": "a", "status": "RUNNING", "attempt": 1, "waitingOn": None},
        {"id": "b", "status": "PENDING", "attempt": 0, "waitingOn": {"nodeIds": ["a"]}},
    ]
    assert sequences(shown["events"]) == list(range(1, at + 1))
    assert shown["availableActions"] == [
        {"action": "CANCEL", "enabled": False},
        {"action": "RETRY", "enabled": False},
        {"action": "DELETE", "enabled": True},
    ]


async def test_events_are_paged_to_the_end_of_what_is_shown() -> None:
    stage = Stage()
    run = await stage.perform(node("a"), node("b", "a"))
    last = (await stage.get(run)).sequence
    api = Api(stage.service)

    async def pages(at: int | None) -> list[list[int]]:
        found: list[list[int]] = []
        while not found or len(found[-1]) == 2:
            after = found[-1][-1] if found else 0
            shown = await api.ask(SHOW, id=run, at=at, first=2, after=after)
            found.append(sequences(shown["workflow"]["events"]))
        return found

    assert [sequence for page in await pages(None) for sequence in page] == list(range(1, last + 1))
    assert await pages(3) == [[1, 2], [3]]
    assert await pages(4) == [[1, 2], [3, 4], []]
    assert sequences((await api.ask(SHOW, id=run, at=3, after=last))["workflow"]["events"]) == []
