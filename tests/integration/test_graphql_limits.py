"""What a document may have, what it costs, who may carry it out, and how long that may take."""

import asyncio

import pytest
from graphql import OperationType, get_introspection_query

from gql_app.core.access import Scope
from gql_app.core.ids import Namespace
from gql_app.core.listing import RunPage, RunQuery
from gql_app.core.values import Json
from gql_app.ports import Clock
from gql_app.schema import operations
from gql_app.schema.access import PUBLIC, SCOPES
from gql_app.schema.build import schema
from gql_app.schema.execution import RefusedOperationError
from gql_app.schema.refusals import RefusedOperationError as Refused
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from tests.support.graphql import Api, GraphQLProblem, read_body
from tests.support.service import Stage, node

pytestmark = pytest.mark.anyio

NOBODY: frozenset[Scope] = frozenset()
DEEP = "{ a " * 12 + "}" * 12
INTROSPECTION = get_introspection_query(
    specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
)


@pytest.mark.parametrize(
    ("query", "limit", "maximum"),
    [
        ("{ __typename " + " " * 20_000 + "}", "documentBytes", 20_000),
        ("{ __typename " + "ü" * 10_000 + "}", "documentBytes", 20_000),
        ("{ " + "a " * 2_000 + "}", "documentTokens", 2_000),
        ("query A { a } " * 51, "definitions", 50),
        ("{ workflows { nodes { nodes " + DEEP + " } } }", "depth", 12),
        ("{ ...A } fragment A on Query { a { b { ...B } } } fragment B on B " + DEEP, "depth", 12),
        ("{ a " * 150 + "}" * 150, "depth", 12),
        ("{ " + "... { " * 150 + "a" + " }" * 151, "depth", 12),
        ("{ " + " ".join(f"a{i}: __typename" for i in range(31)) + " }", "aliases", 30),
        ("{ health { " + " ".join(f"a{i}: status" for i in range(31)) + " } }", "aliases", 30),
        ("{ health { " + " ".join(f"a{i}: status" for i in range(20)) + " ...F } }" + "fragment F on Health { "
         + " ".join(f"b{i}: status" for i in range(11)) + " }", "aliases", 30),
        ("{ health { status " + "@include(if: true) " * 21 + "} }", "directives", 20),
        ("query ($a: Int " + "@a " * 21 + ") { a }", "directives", 20),
        ("{ " + " ".join(f"a{i}" for i in range(21)) + " }", "rootFields", 20),
        ("{ ...A ...B } fragment A on Query { " + " ".join(f"a{i}" for i in range(11)) + " } fragment B on Query { "
         + " ".join(f"b{i}" for i in range(10)) + " }", "rootFields", 20),
        ("{ __schema { types { fields { type { fields { name } } } } } }", "introspectionLists", 1),
        ("{ __type(name: \"Query\") { ...T } } fragment T on __Type { fields { type { possibleTypes { name } } } }",
         "introspectionLists", 1),
        ("{ __schema { types { " + "ofType { " * 10 + "name" + " }" * 13, "introspectionOfType", 9),
        ("{ __schema " + "{ a " * 15 + "}" * 16, "introspectionDepth", 15),
        ("{ workflows(first: 100) { nodes { nodes { attempts { number } input } } } }", "cost", 10_000),
    ],
)  # fmt: skip
def test_a_document_with_too_much_is_told_which_limit_it_is(query: str, limit: str, maximum: int) -> None:
    error = refused(Api(Stage().service), query)

    assert error.extensions["code"] == "LIMIT_EXCEEDED"
    assert (error.extensions["limit"], error.extensions["maximum"]) == (limit, maximum)
    assert str(maximum) in error.message


def test_the_introspection_of_tools_is_within_the_limits() -> None:
    Api(Stage().service).prepare(INTROSPECTION)


@pytest.mark.parametrize("name", operations.NAMES)
def test_published_operations_need_no_more_than_half_of_any_limit(name: str) -> None:
    half = Settings(
        maximum_document_bytes=10_000,
        maximum_document_tokens=1_000,
        maximum_document_definitions=25,
        maximum_document_depth=6,
        maximum_document_aliases=15,
        maximum_document_directives=10,
        maximum_document_root_fields=10,
        maximum_cost=5_000,
    )
    variables: Json = {"id": "x", "node": "a", "spec": {"name": "a", "nodes": []}, "first": 100}

    Api(Stage().service, settings=half).prepare(operations.load(name), variables)


async def test_a_limit_is_a_setting() -> None:
    api = Api(Stage().service, settings=Settings(maximum_document_aliases=0))

    error = await api.refused("{ a: __typename }")

    assert (error.extensions["limit"], error.extensions["maximum"]) == ("aliases", 0)


EVENTS = "{ workflow(id: 1) { events(first: 9) { %s } } }"


@pytest.mark.parametrize(
    ("query", "variables", "cost"),
    [
        ("{ health { status } }", {}, 2),
        ("{ health { status status } health { status } }", {}, 2 + 2),
        ("{ health { checks { name status } } }", {}, 2 + 3 * 2),
        ("{ workflows { nodes { id } } }", {}, 2 + 20),
        ("{ workflows(first: 7) { nodes { id } edges { cursor node { id } } } }", {}, 3 + 7 + 7 * 3),
        ("{ workflows(last: 7) { pageInfo { endCursor } nodes { id } } }", {}, 3 + 1 + 7),
        ("query ($n: Int) { workflows(first: $n) { nodes { id name } } }", {"n": 3}, 2 + 3 * 2),
        ("query ($n: Int) { workflows(first: $n) { nodes { id name } } }", {}, 2 + 20 * 2),
        ("query ($n: Int = 4) { workflows(first: $n) { nodes { id name } } }", {}, 2 + 4 * 2),
        ("query ($n: Int) { workflows(first: $n) { nodes { id name } } }", {"n": -5}, 2 + 2),
        ("{ workflow(id: 1) { events(first: 9) { at } } }", {}, 2 + 9),
        ("{ workflow(id: 1) { events { at } } }", {}, 2 + 100),
        ("{ workflow(id: 1) { nodes { id attempts { number } } } }", {}, 2 + 50 * (2 + 3)),
        ("{ ...A ...A a: health { ...B ...B } } fragment A on Query { tools { name } } fragment B on Health { status }",
         {}, 1 + 50 + 1 + 1),
        ("{ workflow(id: 1) { logs: node(id: 2) { logs { at } } } }", {}, 3 + 20),
        (EVENTS % "at ... on NodeEvent { nodeId } ... on NodeQueued { limit limitName } ... on NodeSkipped { cause }",
         {}, 2 + 9 * (1 + 1 + 2)),
        (EVENTS % "... on NodeEvent { nodeId at } ... on WorkflowFailed { at error { type message } sequence }",
         {}, 2 + 9 * 5),
        (EVENTS % "... on RunEvent { at } ... on NodeEvent { ... on StepEvent { name } ... on NodeQueued { limit } }",
         {}, 2 + 9 * (1 + 1)),
        ("{ __schema { types { name fields { name } } } }", {}, 1),
    ],
)  # fmt: skip
def test_every_field_costs_one_for_each_item_it_is_told_of(query: str, variables: Json, cost: int) -> None:
    assert Api(Stage().service).prepare(query, variables).cost == cost


async def test_the_cost_is_told_if_it_is_asked_for() -> None:
    api = Api(Stage().service)

    told = api.prepare("{ health { status } }", extensions={"cost": True})
    untold = api.prepare("{ health { status } }")

    assert read_body((await api.operations.execute(told, api.context)).body).extensions == {
        "cost": {"requested": 2, "maximum": 10_000}
    }
    assert read_body((await api.operations.execute(untold, api.context)).body).extensions is None


def test_a_refusal_for_its_cost_tells_it() -> None:
    error = refused(Api(Stage().service, settings=Settings(maximum_cost=1)), "{ health { status } }")

    assert error.extensions == {"code": "LIMIT_EXCEEDED", "limit": "cost", "requested": 2, "maximum": 1}


@pytest.mark.parametrize(("query", "variables"), [
    ("{ health { " + " ".join(f"a{i}" for i in range(100)) + " } }", {}),
    ("query ($f: [RunStatus!]) { workflows(filter: {statuses: $f}) { nodes { id } } }", {"f": [1] * 100}),
    ("query ($f: WorkflowFilter) { workflows(filter: $f) { nodes { id } } }", {"f": {f"a{i}": 1 for i in range(100)}}),
])  # fmt: skip
def test_no_more_errors_are_told_than_is_set(query: str, variables: Json) -> None:
    with pytest.raises(RefusedOperationError) as raised:
        Api(Stage().service, settings=Settings(maximum_errors=4)).prepare(query, variables)

    assert len(raised.value.errors) == 4


@pytest.mark.parametrize("kind", list(OperationType))
def test_every_field_at_the_root_has_its_scope(kind: OperationType) -> None:
    root = schema.published.get_root_type(kind)

    assert root is not None
    assert {*SCOPES[kind], *(PUBLIC & root.fields.keys())} == set(root.fields)


@pytest.mark.parametrize(
    "query",
    [
        "{ health { status } }",
        "{ __typename }",
        "query { h: health { version } ...A } fragment A on Query { health { status } }",
    ],
)
def test_the_health_is_told_to_everybody(query: str) -> None:
    Api(Stage().service, scopes=NOBODY).prepare(query)


@pytest.mark.parametrize(
    "query",
    [
        "{ health { status } tools { name } }",
        "{ ...A } fragment A on Query { workflow(id: 1) { id } }",
        "{ __schema { types { name } } }",
        "mutation { __typename }",
        "subscription { workflowUpdates(id: 1) { sequence } }",
        "{ health { statu } }",
        "{ health { status } } fragment A on WorkflowRun { nam }",
        "{ unknown }",
        "{ health",
        "",
        "query A { __typename } query B { __typename }",
    ],
)
def test_who_may_do_nothing_is_told_nothing_else(query: str) -> None:
    with pytest.raises(Refused) as raised:
        Api(Stage().service, scopes=NOBODY).prepare(query)

    assert raised.value.status == 401
    [error] = raised.value.errors
    assert error["extensions"] == {"code": "UNAUTHENTICATED"}


@pytest.mark.parametrize(
    ("query", "scopes", "missing"),
    [
        ("mutation { cancelWorkflow(id: 1) { __typename } }", {Scope.READ}, Scope.WRITE),
        ("mutation { cancelWorkflow(id: 1) { wrong } }", {Scope.READ}, Scope.WRITE),
        ("{ health { status } ...A } fragment A on Query { tools { name } }", {Scope.WRITE}, Scope.READ),
        ("subscription { workflowUpdates(id: 1) { sequence } }", {Scope.WRITE}, Scope.READ),
    ],
)
def test_who_may_not_do_this_is_told_the_scope_that_it_needs(query: str, scopes: set[Scope], missing: Scope) -> None:
    with pytest.raises(Refused) as raised:
        Api(Stage().service, scopes=frozenset(scopes)).prepare(query)

    assert raised.value.status == 403
    [error] = raised.value.errors
    assert error["extensions"] == {"code": "FORBIDDEN", "scope": missing.value}


def test_what_was_allowed_to_one_is_not_allowed_to_another() -> None:
    api = Api(Stage().service)
    query = "mutation { cancelWorkflow(id: 1) { __typename } }"
    api.prepare(query)
    api.identity = Api(Stage().service, scopes=frozenset({Scope.READ})).identity

    assert refused(api, query).extensions["code"] == "FORBIDDEN"


async def test_an_operation_that_takes_too_long_is_given_up_and_stopped() -> None:
    stage = Stage(repository=StuckRepository)

    result = await Api(stage.service, settings=Settings(operation_seconds=0.01)).execute("{ health { status } }")

    assert result.data is None
    assert [error.extensions for error in result.errors or ()] == [{"code": "TIMEOUT"}]
    assert stopped(stage) == 1


async def test_an_operation_stops_with_who_waits_for_it() -> None:
    stage = Stage(repository=StuckRepository)
    waiting = asyncio.create_task(Api(stage.service).execute("{ a: health { status } b: health { status } }"))
    assert isinstance(stage.repository, StuckRepository)
    await stage.repository.begun.wait()

    waiting.cancel()
    await asyncio.wait([waiting])

    assert waiting.cancelled()
    assert stopped(stage) == 2


async def test_a_run_of_many_nodes_is_read_within_the_cost() -> None:
    stage = Stage()
    run_id = await stage.perform(*(node(f"n{i}") for i in range(100)))

    answer = await Api(stage.service).perform("GetWorkflow", id=run_id)

    assert len(answer["nodes"]) == 100


class StuckRepository(MemoryRunRepository):
    """A store that never lists its runs."""

    def __init__(self, *, clock: Clock, settings: Settings) -> None:
        super().__init__(clock=clock, settings=settings)
        self.begun = asyncio.Event()
        self.stopped = 0

    async def list(self, namespace: Namespace, query: RunQuery) -> RunPage:
        """Wait until somebody stops it."""
        self.begun.set()
        try:
            never: asyncio.Future[RunPage] = asyncio.get_running_loop().create_future()
            return await never
        finally:
            self.stopped += 1


def stopped(stage: Stage) -> int:
    assert isinstance(stage.repository, StuckRepository)
    return stage.repository.stopped


def refused(api: Api, query: str) -> GraphQLProblem:
    with pytest.raises(RefusedOperationError) as raised:
        api.prepare(query)
    return (read_body(raised.value.body).errors or [])[0]
