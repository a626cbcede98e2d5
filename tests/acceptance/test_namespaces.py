"""Two keys, two namespaces, one server: nobody learns anything of the runs of the other one."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

import httpx
import pytest

from gql_app.core.values import Json
from gql_app.settings import Settings
from tests.support.documents import SUBMIT, document, echo
from tests.support.gate import Gate, gated
from tests.support.server import RunningServer, live_server
from tests.support.socket_client import SocketClient
from tests.support.tokens import add_key, bearer

pytestmark = pytest.mark.anyio

NOBODYS = "019c0000-0000-7000-8000-000000000001"
"""The id of a run that never was."""

RUN = """
id name status namespace sequence retryOf output
nodes { id status output }
events(first: 5) { sequence }
"""
BY_ID = {
    "workflow": f"query($id: ID!) {{ workflow(id: $id) {{ {RUN} }} }}",
    "cancelWorkflow": "mutation($id: ID!) { cancelWorkflow(id: $id) { __typename ... on Error { message } } }",
    "retryWorkflow": "mutation($id: ID!) { retryWorkflow(id: $id) { __typename ... on Error { message } } }",
    "retryWorkflow from START": (
        "mutation($id: ID!) { retryWorkflow(id: $id, from: START) { __typename ... on Error { message } } }"
    ),
    "deleteWorkflow": "mutation($id: ID!) { deleteWorkflow(id: $id) { __typename ... on Error { message } } }",
    "workflow in the past": f"query($id: ID!) {{ workflow(id: $id, at: 1) {{ {RUN} }} }}",
}
WATCH = "subscription($id: ID!, $after: Int) { workflowUpdates(id: $id, after: $after) { sequence workflow { id } } }"
LIST = """
query($filter: WorkflowFilter, $after: String, $before: String, $orderBy: WorkflowOrder) {
  workflows(first: 100, filter: $filter, after: $after, before: $before, orderBy: $orderBy) {
    edges { cursor node { id } }
    pageInfo { hasNextPage hasPreviousPage }
  }
}
"""


@dataclass(frozen=True)
class Caller:
    """Somebody with a key."""

    server: RunningServer
    token: str

    def client(self) -> httpx.Client:
        return self.server.client(headers=bearer(self.token))

    def post(self, query: str, accept: str = "application/json", **variables: Json) -> httpx.Response:
        with self.client() as client:
            body = {"query": query, "variables": variables}
            return client.post("/graphql", json=body, headers={"accept": accept})

    def ask(self, query: str, **variables: Json) -> Json:
        """Carry out an operation that works and give its data."""
        answer = self.post(query, **variables).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def submit(self, spec: Json, key: str | None = None) -> Json:
        return self.ask(SUBMIT, spec=spec, key=key)["submitWorkflow"]

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[SocketClient]:
        async with self.server.socket(introduced=False) as socket:
            await socket.send(type="connection_init", payload={"token": self.token})
            assert (await socket.receive())["type"] == "connection_ack"
            yield socket

    def listed(self, **variables: Json) -> list[str]:
        return [edge["node"]["id"] for edge in self.ask(LIST, **variables)["workflows"]["edges"]]


@dataclass(frozen=True)
class House:
    """Who is there: two of one namespace, and one of another with a run that has ended and one that goes on."""

    ours: Caller
    colleague: Caller
    other: Caller
    ended: str
    in_flight: str


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    tokens = [add_key(path, name, room) for name, room in (("a", "team-a"), ("b", "team-a"), ("c", "team-b"))]
    settings = Settings(shutdown_grace_seconds=0, keys_file=str(path))
    with Gate() as gate, live_server(settings, tools=[gate.tool]) as server:
        ours, colleague, other = (Caller(server, token) for token in tokens)
        secret = document(echo("greet", "their secret"), name="theirs", labels={"team": "b"})
        ended = other.submit(secret, key="monday")["workflow"]["id"]
        in_flight = other.submit(document(gated(), name="theirs in flight"))["workflow"]["id"]
        yield House(ours, colleague, other, ended, in_flight)
        gate.open()


@pytest.fixture(params=["ended", "in_flight"])
def theirs(house: House, request: pytest.FixtureRequest) -> str:
    """A run of the other namespace."""
    run_id: str = getattr(house, request.param)
    return run_id


def same(theirs: str, answer: httpx.Response, absent: httpx.Response) -> None:
    """Hold that two answers, one about their run and one about nobody's, cannot be told apart."""
    assert answer.content.replace(theirs.encode(), NOBODYS.encode()) == absent.content
    assert answer.status_code == absent.status_code
    ignored = {"date", "x-request-id"}
    assert [pair for pair in answer.headers.multi_items() if pair[0] not in ignored] == [
        pair for pair in absent.headers.multi_items() if pair[0] not in ignored
    ]


@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json"])
@pytest.mark.parametrize("query", BY_ID.values(), ids=BY_ID)
def test_a_run_of_others_is_answered_like_one_that_is_not_there(
    house: House, theirs: str, query: str, accept: str
) -> None:
    answer, absent = (house.ours.post(query, accept, id=run_id) for run_id in (theirs, NOBODYS))

    same(theirs, answer, absent)
    assert "secret" not in answer.text


def test_so_it_is_for_queries_in_the_address(house: House, theirs: str) -> None:
    with house.ours.client() as client:
        answer, absent = (
            client.get("/graphql", params={"query": BY_ID["workflow"], "variables": json.dumps({"id": run_id})})
            for run_id in (theirs, NOBODYS)
        )

    same(theirs, answer, absent)


@pytest.mark.parametrize("after", [None, 0, 3, -1, 10_000])
@pytest.mark.parametrize("accept", ["text/event-stream", "multipart/mixed;subscriptionSpec=1.0"])
def test_so_it_is_for_subscriptions_over_http(house: House, theirs: str, accept: str, after: int | None) -> None:
    answer, absent = (house.ours.post(WATCH, accept, id=run_id, after=after) for run_id in (theirs, NOBODYS))

    same(theirs, answer, absent)
    assert "secret" not in answer.text


async def messages_about(caller: Caller, query: str, variables: Json) -> list[Json]:
    """Carry out an operation over a websocket and give all messages about it."""
    found = []
    async with caller.socket() as socket:
        await socket.subscribe(query, variables)
        while True:
            found.append(await socket.receive())
            if found[-1]["type"] != "next":
                return found


@pytest.mark.parametrize(
    ("query", "after"),
    [*((query, None) for query in BY_ID.values()), *((WATCH, after) for after in (None, 0, 3, -1, 10_000))],
    ids=[*BY_ID, *(f"watch after {after}" for after in ("none", 0, 3, -1, 10_000))],
)
async def test_so_it_is_over_a_websocket(house: House, theirs: str, query: str, after: int | None) -> None:
    variables = {"after": after} if query == WATCH else {}

    answer = await messages_about(house.ours, query, {"id": theirs, **variables})
    absent = await messages_about(house.ours, query, {"id": NOBODYS, **variables})

    assert json.loads(json.dumps(answer).replace(theirs, NOBODYS)) == absent


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_so_it_is_over_rest(house: House, theirs: str, method: str) -> None:
    with house.ours.client() as client:
        answer, absent = (client.request(method, f"/workflows/{run_id}") for run_id in (theirs, NOBODYS))

    same(theirs, answer, absent)
    assert answer.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}


@pytest.mark.parametrize(
    "filter",
    [
        None,
        {"name": "theirs"},
        {"statuses": ["COMPLETED", "RUNNING"]},
        {"labels": {"team": "b"}},
        {"createdAfter": "2020-01-01T00:00:00Z"},
    ],
)
def test_lists_hold_the_runs_of_ones_own_namespace_alone(house: House, filter: Json) -> None:
    ours = house.ours.submit(document(name="ours"))["workflow"]["id"]

    listed = house.ours.listed(filter=filter)

    assert {house.ended, house.in_flight}.isdisjoint(listed)
    assert house.other.listed(filter=filter)
    assert ours not in house.other.listed(filter=filter)
    assert (ours in house.colleague.listed()) == (ours in house.ours.listed()) is True


@pytest.mark.parametrize("direction", ["after", "before"])
@pytest.mark.parametrize("order", [None, {"field": "NAME", "direction": "ASC"}])
def test_a_cursor_of_another_namespace_belongs_to_another_list(house: House, direction: str, order: Json) -> None:
    edges = house.other.ask(LIST, orderBy=order)["workflows"]["edges"]
    cursor = next(edge["cursor"] for edge in edges if edge["node"]["id"] == house.ended)

    answer = house.ours.post(LIST, orderBy=order, **{direction: cursor}).json()

    [error] = answer["errors"]
    assert error["extensions"]["code"] == "INVALID_CURSOR"
    assert house.other.ask(LIST, orderBy=order, **{direction: cursor})["workflows"]["edges"] != edges


def test_an_idempotency_key_is_taken_only_in_its_own_namespace(house: House) -> None:
    same_document = document(echo("greet", "their secret"), name="theirs", labels={"team": "b"})

    found = house.other.submit(same_document, key="monday")
    made = house.ours.submit(same_document, key="monday")
    another = house.ours.submit(document(name="ours"), key="monday")

    assert found["workflow"]["id"] == house.ended
    assert made["__typename"] == "SubmitWorkflowSuccess"
    assert made["workflow"]["id"] != house.ended
    assert another["__typename"] == "IdempotencyConflict"
    assert house.ended not in json.dumps(another)


def test_so_it_is_over_rest_too(house: House) -> None:
    with house.ours.client() as client, house.other.client() as other:
        answers = [
            each.post("/workflows/", json=document(), headers={"idempotency-key": "tuesday"})
            for each in (client, other)
        ]
        first, second = (answer.headers["location"] for answer in answers)

        assert {answer.status_code for answer in answers} == {HTTPStatus.CREATED}
        assert first != second
        assert client.get(second).status_code == other.get(first).status_code == HTTPStatus.NOT_FOUND
        assert client.get(first).status_code == other.get(second).status_code == HTTPStatus.OK


def test_what_is_tried_on_a_run_of_others_does_nothing_to_it(house: House) -> None:
    before = house.other.ask(BY_ID["workflow"], id=house.in_flight)["workflow"]

    house.ours.ask(BY_ID["cancelWorkflow"], id=house.in_flight)
    house.ours.ask(BY_ID["retryWorkflow"], id=house.ended)

    assert house.other.ask(BY_ID["workflow"], id=house.in_flight)["workflow"] == before
    assert before["status"] == "RUNNING"


async def test_two_of_a_namespace_watch_the_same_run_and_another_one_does_not(house: House) -> None:
    run_id = house.ours.submit(document())["workflow"]["id"]
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(caller.socket()) for caller in (house.ours, house.colleague)]
        told = [
            [
                result["workflowUpdates"]["sequence"]
                async for result in socket.results(WATCH, {"id": run_id, "after": 0})
            ]
            for socket in sockets
        ]
    refused = await messages_about(house.other, WATCH, {"id": run_id, "after": 0})

    assert told[0] == told[1] != []
    assert run_id == house.colleague.ask(BY_ID["workflow"], id=run_id)["workflow"]["id"]
    assert "WORKFLOW_NOT_FOUND" in json.dumps(refused)
