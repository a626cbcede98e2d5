"""Lists of runs over GraphQL, page by page."""

from collections.abc import Sequence

import pytest

from gql_app.core.errors import WorkflowNotFoundError
from gql_app.core.events import RunEvent
from gql_app.core.ids import Namespace, RunId
from gql_app.core.values import Json
from gql_app.service import WorkflowService
from gql_app.storage.memory import MemoryRunRepository
from tests.support.builders import node as planned
from tests.support.builders import plan, submitted
from tests.support.graphql import Api
from tests.support.service import Stage, node

pytestmark = pytest.mark.anyio

LIST = """
query ($first: Int, $after: String, $last: Int, $before: String, $filter: WorkflowFilter, $orderBy: WorkflowOrder) {
  workflows(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy) {
    edges { cursor node { name } }
    nodes { name }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""
BY_NAME = {"field": "NAME", "direction": "ASC"}


async def test_a_list_begins_with_the_newest_run_and_shows_twenty() -> None:
    api = await api_with_runs(*(f"run{number:02}" for number in range(25)))

    page = await read_page(api)

    assert names_of(page) == [f"run{number:02}" for number in range(24, 4, -1)]
    assert page["pageInfo"]["hasNextPage"]
    assert not page["pageInfo"]["hasPreviousPage"]
    assert page["nodes"] == [edge["node"] for edge in page["edges"]]


@pytest.mark.parametrize("order", [None, BY_NAME, {"field": "CREATED_AT", "direction": "ASC"}, {"field": "NAME"}])
async def test_pages_forwards_hold_every_run_once(order: Json) -> None:
    api = await api_with_runs("b", "a", "é\u4e2d", "a", "c")
    whole = await read_page(api, orderBy=order)

    pages = [await read_page(api, first=2, orderBy=order)]
    while pages[-1]["pageInfo"]["hasNextPage"]:
        pages.append(await read_page(api, first=2, after=pages[-1]["pageInfo"]["endCursor"], orderBy=order))

    assert [name for page in pages for name in names_of(page)] == names_of(whole)
    assert [page["pageInfo"]["hasPreviousPage"] for page in pages] == [False, True, True]


async def test_pages_backwards_hold_every_run_once_in_the_order_of_the_list() -> None:
    api = await api_with_runs("a", "b", "c", "d", "e")

    last = await read_page(api, last=2, orderBy=BY_NAME)
    middle = await read_page(api, last=2, before=last["pageInfo"]["startCursor"], orderBy=BY_NAME)
    first = await read_page(api, last=2, before=middle["pageInfo"]["startCursor"], orderBy=BY_NAME)

    assert [names_of(page) for page in (first, middle, last)] == [["a"], ["b", "c"], ["d", "e"]]
    assert [page["pageInfo"]["hasPreviousPage"] for page in (first, middle, last)] == [False, True, True]


async def test_both_cursors_bound_a_page() -> None:
    api = await api_with_runs("a", "b", "c", "d")
    cursors = [edge["cursor"] for edge in (await read_page(api, orderBy=BY_NAME))["edges"]]

    page = await read_page(api, after=cursors[0], before=cursors[3], orderBy=BY_NAME)

    assert names_of(page) == ["b", "c"]


async def test_a_filter_holds_with_all_its_conditions() -> None:
    stage = Stage()
    await stage.perform(node("a"), name="done", labels={"team": "core", "tier": "1"})
    await stage.submit(node("a"), name="going", labels={"team": "core"})
    await stage.submit(node("a"), name="other", labels={"team": "web"})
    api = Api(stage.service)

    assert names_of(await read_page(api, filter={"labels": {"team": "core"}})) == ["going", "done"]
    assert names_of(await read_page(api, filter={"labels": {"team": "core"}, "statuses": ["COMPLETED"]})) == ["done"]
    assert names_of(await read_page(api, filter={"name": "other"})) == ["other"]
    assert names_of(await read_page(api, filter={"createdBefore": "2025-12-31T23:00:00-01:00"})) == []
    assert len(names_of(await read_page(api, filter={"createdAfter": "2025-12-31T23:00:00-01:00"}))) == 3


async def test_an_empty_list_has_no_cursors() -> None:
    page = await read_page(Api(Stage().service))

    assert page["edges"] == []
    assert page["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": False,
        "startCursor": None,
        "endCursor": None,
    }


@pytest.mark.parametrize(
    "other", [{"orderBy": BY_NAME}, {"filter": {"name": "a"}}, {"filter": {"labels": {"team": "core"}}}]
)
async def test_a_cursor_of_another_list_is_refused(other: Json) -> None:
    api = await api_with_runs("a", "b")
    cursor = (await read_page(api, first=1))["pageInfo"]["endCursor"]

    error = await api.refused(LIST, after=cursor, **other)

    assert error.extensions == {"code": "INVALID_CURSOR"}
    assert "another filter or order" in error.message


async def test_a_filter_that_says_the_same_otherwise_is_the_same_list() -> None:
    api = await api_with_runs("a", "a")
    cursor = (await read_page(api, first=1, filter={"statuses": ["RUNNING", "FAILED"]}))["pageInfo"]["endCursor"]

    page = await read_page(api, after=cursor, filter={"statuses": ["FAILED", "RUNNING"], "name": None})

    assert names_of(page) == ["a"]


@pytest.mark.parametrize("cursor", ["", "x", "ß", "=" * 5_000, "W10", "WzIsIiIsIiIsIiJd", "eyJhIjoxfQ"])
async def test_a_cursor_that_nobody_handed_out_is_refused(cursor: str) -> None:
    error = await Api(Stage().service).refused(LIST, before=cursor)

    assert error.extensions == {"code": "INVALID_CURSOR"}
    assert len(error.message) < 250


@pytest.mark.parametrize("cursor", range(1, 8))
async def test_a_cursor_that_was_tampered_with_is_refused_or_is_a_place(cursor: int) -> None:
    api = await api_with_runs("a", "b")
    genuine = (await read_page(api, first=1))["pageInfo"]["endCursor"]

    result = await api.execute(LIST, after=genuine[:-cursor])

    assert result.errors is not None
    assert [error.extensions for error in result.errors] == [{"code": "INVALID_CURSOR"}]


@pytest.mark.parametrize(
    ("variables", "argument"),
    [
        ({"first": 0}, "first"),
        ({"first": 101}, "first"),
        ({"last": -1}, "last"),
        ({"first": 1, "last": 1}, "last"),
        ({"filter": {"labels": ["core"]}}, "filter.labels"),
        ({"filter": {"labels": {"team": 1}}}, "filter.labels"),
    ],
)
async def test_an_argument_outside_its_range_is_refused_by_name(variables: Json, argument: str) -> None:
    error = await Api(Stage().service).refused(LIST, **variables)

    assert error.extensions == {"code": "INVALID_ARGUMENT", "argument": argument}


async def test_a_list_of_what_summaries_tell_reads_no_run() -> None:
    api = await api_with_a_run_that_cannot_be_read()

    data = await api.ask(
        """{ workflows { ...Page pageInfo { endCursor } } }
           fragment Page on WorkflowConnection { nodes { __typename ... on WorkflowRun { id labels } }
                                                 edges { node { other: status durationSeconds } } }"""
    )

    assert data["workflows"]["nodes"][0]["labels"] == {}


@pytest.mark.parametrize(
    "selection",
    [
        "nodes { progress { total } }",
        "edges { node { progress { total } } }",
        "... on WorkflowConnection { nodes { ...Full } }",
    ],
)
async def test_a_list_of_more_leaves_out_what_was_removed_meanwhile(selection: str) -> None:
    api = await api_with_a_run_that_cannot_be_read()
    fragment = "fragment Full on WorkflowRun { progress { total } }" if "Full" in selection else ""

    data = await api.ask(f"{{ workflows {{ {selection} }} }} {fragment}")

    [shown] = data["workflows"].values()
    assert shown == []


async def test_a_list_tells_everything_of_its_runs_if_it_is_asked_for() -> None:
    api = await api_with_runs("a", "b")

    data = await api.ask("{ workflows { nodes { name progress { total } nodes { id status } spec } } }")

    assert [(run["name"], run["progress"]["total"]) for run in data["workflows"]["nodes"]] == [("b", 1), ("a", 1)]
    assert data["workflows"]["nodes"][0]["spec"]["name"] == "b"


class EmptiedRepository(MemoryRunRepository):
    """A store that loses every log just after its run was listed."""

    async def events(self, namespace: Namespace, run_id: RunId, *, after: int, limit: int) -> Sequence[RunEvent]:
        raise WorkflowNotFoundError(run_id)


async def api_with_a_run_that_cannot_be_read() -> Api:
    stage = Stage()
    repository = EmptiedRepository(clock=stage.clock, settings=stage.settings)
    await repository.create([submitted(plan(planned("a")))], values={})
    service = WorkflowService(
        repository=repository,
        executor=stage.executor,
        evaluator=stage.evaluator,
        tools=stage.tools,
        clock=stage.clock,
        settings=stage.settings,
    )
    return Api(service)


async def api_with_runs(*names: str) -> Api:
    stage = Stage()
    for name in names:
        await stage.submit(node("a"), name=name)
    return Api(stage.service)


async def read_page(api: Api, **variables: Json) -> Json:
    return (await api.ask(LIST, **variables))["workflows"]


def names_of(page: Json) -> Sequence[str]:
    return [edge["node"]["name"] for edge in page["edges"]]
