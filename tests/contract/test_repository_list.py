"""What every store promises of its lists."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gql_app.core.errors import InvalidCursorError
from gql_app.core.events import Outcome
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace, RunId
from gql_app.core.listing import RunFilter, RunOrder, RunOrderField, RunPage, RunPosition, RunQuery, RunSummary
from gql_app.core.run import RunStatus
from gql_app.ports import RunRepository
from tests.support.effort import effort
from tests.support.logs import ending, later, progress, run_id, submission
from tests.support.repositories import OpenRepository

pytestmark = pytest.mark.anyio

EXAMPLES = effort(here=25, ci=100, soak=1_000)
"""Each is a store of its own, which takes a database some time."""

ORDERS = st.builds(RunOrder, field=st.sampled_from(RunOrderField), descending=st.booleans())
NAMES = st.sampled_from(["alpha", "beta", "Beta", "émile", ""])
RUNS = st.lists(st.tuples(st.integers(0, 6), NAMES, st.sampled_from(["a", "b"])), max_size=12)
"""Runs by the seconds they were created after midnight, name, and team: many share a place in the order."""


async def create(repository: RunRepository, number: int, run: tuple[int, str, str]) -> None:
    seconds, name, team = run
    first = submission(number, name=name, labels={"team": team}, at=later(seconds / 2))
    await repository.create([first], values={})


def position(run: RunSummary, order: RunOrder) -> RunPosition:
    value = run.name if order.field is RunOrderField.NAME else run.created_at.isoformat()
    return RunPosition(value, run.run_id)


async def walk(repository: RunRepository, query: RunQuery) -> list[RunPage]:
    """Read page after page, to the end of the list or (backward) to its beginning."""
    pages = [await repository.list(DEFAULT_NAMESPACE, query)]
    while pages[-1].has_previous if query.backward else pages[-1].has_next:
        runs = pages[-1].runs
        if query.backward:
            query = replace(query, before=position(runs[0], query.order))
        else:
            query = replace(query, after=position(runs[-1], query.order))
        pages.append(await repository.list(DEFAULT_NAMESPACE, query))
    return pages


def expected(runs: list[tuple[int, str, str]], order: RunOrder, team: str | None = None) -> list[RunId]:
    def key(number: int) -> tuple[int | str, RunId]:
        seconds, name, _ = runs[number]
        return name if order.field is RunOrderField.NAME else seconds, run_id(number)

    chosen = [number for number, run in enumerate(runs) if team in (None, run[2])]
    return [run_id(number) for number in sorted(chosen, key=key, reverse=order.descending)]


@settings(max_examples=EXAMPLES)
@given(runs=RUNS, order=ORDERS, limit=st.integers(1, 5), backward=st.booleans(), team=st.sampled_from([None, "a"]))
async def test_a_walk_over_the_pages_visits_each_run_once_in_order(
    open_repository: OpenRepository,
    *,
    runs: list[tuple[int, str, str]],
    order: RunOrder,
    limit: int,
    backward: bool,
    team: str | None,
) -> None:
    wanted = RunFilter(labels={"team": team} if team else {})
    query = RunQuery(limit=limit, filter=wanted, order=order, backward=backward)

    async with open_repository() as repository:
        for number, run in enumerate(runs):
            await create(repository, number, run)
        pages = await walk(repository, query)

    in_list_order = pages[::-1] if backward else pages
    seen = [run.run_id for page in in_list_order for run in page.runs]
    assert seen == expected(runs, order, team)
    assert [page.has_previous for page in in_list_order] == [False] + [True] * (len(pages) - 1)
    assert [page.has_next for page in in_list_order] == [True] * (len(pages) - 1) + [False]
    assert all(len(page.runs) == limit for page in pages[:-1])


@settings(max_examples=EXAMPLES)
@given(runs=RUNS, arriving=RUNS, order=ORDERS, limit=st.integers(1, 4), backward=st.booleans())
async def test_runs_that_arrive_during_a_walk_neither_hide_nor_repeat_others(
    open_repository: OpenRepository,
    *,
    runs: list[tuple[int, str, str]],
    arriving: list[tuple[int, str, str]],
    order: RunOrder,
    limit: int,
    backward: bool,
) -> None:
    query = RunQuery(limit=limit, order=order, backward=backward)
    seen: list[RunId] = []

    async with open_repository() as repository:
        for number, run in enumerate(runs):
            await create(repository, number, run)
        late = iter(enumerate(arriving, len(runs)))
        while page := (await repository.list(DEFAULT_NAMESPACE, query)).runs:
            seen += [run.run_id for run in (reversed(page) if backward else page)]
            place = position(page[0] if backward else page[-1], order)
            query = replace(query, before=place) if backward else replace(query, after=place)
            if (newcomer := next(late, None)) is not None:
                await create(repository, *newcomer)

    known = [run for run in seen if run in {run_id(number) for number in range(len(runs))}]
    assert known == (expected(runs, order)[::-1] if backward else expected(runs, order))
    assert len(set(seen)) == len(seen)


@settings(max_examples=EXAMPLES)
@given(
    runs=RUNS,
    order=ORDERS,
    ends=st.tuples(st.integers(0, 6), NAMES, st.integers(0, 12), st.integers(0, 6), NAMES, st.integers(0, 12)),
    backward=st.booleans(),
)
async def test_a_page_lies_between_its_positions_which_need_not_be_those_of_runs(
    open_repository: OpenRepository,
    *,
    runs: list[tuple[int, str, str]],
    order: RunOrder,
    ends: tuple[int, str, int, int, str, int],
    backward: bool,
) -> None:
    by_name = order.field is RunOrderField.NAME
    after = RunPosition(ends[1] if by_name else later(ends[0] / 2).isoformat(), run_id(ends[2]))
    before = RunPosition(ends[4] if by_name else later(ends[3] / 2).isoformat(), run_id(ends[5]))

    def place(seconds: int, name: str, number: int) -> tuple[int | str, RunId]:
        return name if by_name else seconds, run_id(number)

    async with open_repository() as repository:
        for number, run in enumerate(runs):
            await create(repository, number, run)
        query = RunQuery(limit=100, order=order, after=after, before=before, backward=backward)
        page = await repository.list(DEFAULT_NAMESPACE, query)

    low, high = place(*ends[:3]), place(*ends[3:])
    if order.descending:
        low, high = high, low
    places = {number: place(run[0], run[1], number) for number, run in enumerate(runs)}
    inside = {run_id(number) for number, own in places.items() if low < own < high}
    assert [run.run_id for run in page.runs] == [run for run in expected(runs, order) if run in inside]


async def list_ids(repository: RunRepository, wanted: RunFilter) -> list[RunId]:
    query = RunQuery(filter=wanted, order=RunOrder(descending=False))
    return [run.run_id for run in (await repository.list(DEFAULT_NAMESPACE, query)).runs]


async def test_a_filter_keeps_what_meets_all_its_conditions(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission(1, name="a", labels={"x": "1", "y": "1"}, at=later(1))], values={})
        await repository.create([submission(2, name="b", labels={"x": "1"}, at=later(2))], values={})
        await repository.create([submission(3, name="a", at=later(3))], values={})
        await repository.append(DEFAULT_NAMESPACE, run_id(2), 1, progress(), values={})
        await repository.append(DEFAULT_NAMESPACE, run_id(3), 1, [ending(2, outcome=Outcome.FAILED)], values={})

        found = [
            await list_ids(repository, wanted)
            for wanted in (
                RunFilter(name="a"),
                RunFilter(name="A"),
                RunFilter(statuses=frozenset({RunStatus.RUNNING, RunStatus.FAILED})),
                RunFilter(created_after=later(2)),
                RunFilter(created_before=later(2)),
                RunFilter(labels={"x": "1"}),
                RunFilter(labels={"x": "1", "y": "1"}),
                RunFilter(labels={"x": ""}),
                RunFilter(name="a", created_after=later(2), statuses=frozenset({RunStatus.FAILED})),
            )
        ]

    numbers = [[1, 3], [], [2, 3], [2, 3], [1], [1, 2], [1], [], [3]]
    assert found == [[run_id(number) for number in row] for row in numbers]


async def test_a_list_begins_with_the_newest_run_unless_told_otherwise(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        for number in (2, 1, 3):
            await repository.create([submission(number, at=later(number))], values={})

        page = await repository.list(DEFAULT_NAMESPACE, RunQuery(limit=2))

    assert [run.run_id for run in page.runs] == [run_id(3), run_id(2)]
    assert (page.has_previous, page.has_next) == (False, True)


async def test_a_list_holds_the_runs_of_its_namespace_alone(open_repository: OpenRepository) -> None:
    other = Namespace("other")

    async with open_repository() as repository:
        await repository.create([submission(1)], values={})
        await repository.create([submission(2, namespace=other)], values={})

        pages = [await repository.list(name, RunQuery()) for name in (DEFAULT_NAMESPACE, other, Namespace("none"))]

    assert [[run.run_id for run in page.runs] for page in pages] == [[run_id(1)], [run_id(2)], []]
    assert not any(page.has_next or page.has_previous for page in pages)


async def test_a_position_without_a_time_is_refused(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission(1)], values={})

        with pytest.raises(InvalidCursorError, match="yesterday"):
            await repository.list(DEFAULT_NAMESPACE, RunQuery(after=RunPosition("yesterday", run_id(1))))
