"""Whatever is asked of a store, in whatever order: all of them answer as the one in memory does."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gql_app.core.codec import encode_events
from gql_app.core.errors import WorkflowError
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.core.listing import RunFilter, RunOrder, RunOrderField, RunPosition, RunQuery
from gql_app.core.run import RunStatus
from gql_app.core.values import Json
from gql_app.ports import IdempotencyKey, RunRepository
from gql_app.settings import Settings
from tests.support.logs import ending, later, progress, run_id, stopping, submission
from tests.support.repositories import REPOSITORIES, ManualClock

pytestmark = pytest.mark.anyio

NAMESPACES = st.sampled_from([DEFAULT_NAMESPACE, Namespace("other")])
NUMBERS = st.integers(1, 5)
TEXTS = st.sampled_from(["", "a", "a\x00", "a\x01", "a\x01\x02", "B", "é", "🙈", "\uffff"])
SMALL = Settings(retention_runs=3, retention_runs_per_namespace=2, retention_seconds=30, retention_bytes=1 << 20)

NEW = st.tuples(TEXTS, TEXTS, st.integers(0, 2), st.none() | TEXTS, st.booleans())
"""The name of a run, its label, its time, its idempotency key, and whether it has a big value."""
CREATE = st.tuples(st.just("create"), NAMESPACES, NUMBERS, NEW)
APPEND = st.tuples(
    st.just("append"), NAMESPACES, NUMBERS, st.integers(0, 5), st.sampled_from(["start", "stop", "end", "wrong"])
)
ASK = st.tuples(st.sampled_from(["delete", "summary", "events", "value"]), NAMESPACES, NUMBERS)
LIST = st.tuples(
    st.just("list"),
    NAMESPACES,
    st.builds(
        RunQuery,
        limit=st.integers(1, 4),
        backward=st.booleans(),
        order=st.builds(RunOrder, field=st.sampled_from(RunOrderField), descending=st.booleans()),
        filter=st.builds(
            RunFilter,
            statuses=st.frozensets(st.sampled_from(RunStatus), max_size=3),
            name=st.none() | TEXTS,
            labels=st.just({}) | st.builds(lambda text: {text: text}, TEXTS),
            created_after=st.none() | st.builds(later, st.integers(0, 2)),
            created_before=st.none() | st.builds(later, st.integers(0, 3)),
        ),
    ),
    st.none() | st.tuples(st.integers(0, 2), TEXTS, NUMBERS),
    st.none() | st.tuples(st.integers(0, 2), TEXTS, NUMBERS),
)
PASS = st.tuples(st.just("pass"), st.integers(1, 20))
STEPS = st.lists(st.one_of(CREATE, CREATE, APPEND, APPEND, ASK, LIST, PASS), max_size=30)


def place_of(namespace: Namespace, number: int) -> int:
    """Make numbers of runs that no other namespace has: ids are unique."""
    return number if namespace == DEFAULT_NAMESPACE else number + 100


async def create(repository: RunRepository, namespace: Namespace, number: int, new: tuple[Json, ...]) -> Json:
    name, label, at, key, big = new
    first = submission(place_of(namespace, number), namespace=namespace, name=name, labels={label: label}, at=later(at))
    values = {"aa": b'"%b"' % (b"x" * 700_000)} if big else {}
    used = None if key is None else IdempotencyKey(key, name)
    return await repository.create([first], values=values, idempotency=used)


async def append(repository: RunRepository, namespace: Namespace, number: int, after: int, what: str) -> Json:
    events = {
        "start": progress(after=after),
        "stop": [stopping(after + 1)],
        "end": [ending(after + 1)],
        "wrong": [ending(after + 2)],
    }
    await repository.append(namespace, run_id(place_of(namespace, number)), after, events[what], values={"bb": b"1"})


async def delete(repository: RunRepository, namespace: Namespace, number: int) -> Json:
    await repository.delete(namespace, run_id(place_of(namespace, number)))


async def summary(repository: RunRepository, namespace: Namespace, number: int) -> Json:
    return await repository.summary(namespace, run_id(place_of(namespace, number)))


async def events(repository: RunRepository, namespace: Namespace, number: int) -> Json:
    return encode_events(await repository.events(namespace, run_id(place_of(namespace, number)), after=1, limit=3))


async def value(repository: RunRepository, namespace: Namespace, number: int) -> Json:
    return await repository.value(namespace, run_id(place_of(namespace, number)), "aa")


async def list_runs(
    repository: RunRepository, namespace: Namespace, query: RunQuery, *places: tuple[int, str, int] | None
) -> Json:
    by_name = query.order.field is RunOrderField.NAME
    after, before = (
        place and RunPosition(place[1] if by_name else later(place[0]).isoformat(), run_id(place[2]))
        for place in places
    )
    return await repository.list(namespace, replace(query, after=after, before=before))


DO: dict[str, Callable[..., Json]] = {
    "create": create,
    "append": append,
    "delete": delete,
    "summary": summary,
    "events": events,
    "value": value,
    "list": list_runs,
}


async def answer(repository: RunRepository, clock: ManualClock, step: tuple[Json, ...]) -> Json:
    """Do something, and tell what came of it: an answer, or the kind of the error."""
    what, *given = step
    if what == "pass":
        clock.advance(*given)
        return None
    try:
        return await DO[what](repository, *given)
    except (WorkflowError, ValueError, KeyError) as error:
        return type(error)


async def check(kind: str, steps: list[tuple[Json, ...]]) -> None:
    clocks = ManualClock(), ManualClock()
    async with (
        REPOSITORIES["memory"](clock=clocks[0], settings=SMALL) as memory,
        REPOSITORIES[kind](clock=clocks[1], settings=SMALL) as other,
    ):
        for step in steps:
            expected = await answer(memory, clocks[0], step)
            assert await answer(other, clocks[1], step) == expected, step
        assert list(await other.unfinished()) == list(await memory.unfinished())


@given(steps=STEPS)
@settings(max_examples=50)
async def test_a_store_in_a_file_answers_as_the_one_in_memory(steps: list[tuple[Json, ...]]) -> None:
    await check("sqlite", steps)


@given(steps=STEPS)
@settings(max_examples=5)
async def test_a_store_on_a_server_answers_as_the_one_in_memory(steps: list[tuple[Json, ...]]) -> None:
    await check("postgres", steps)
