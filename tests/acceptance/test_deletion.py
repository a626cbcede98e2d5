"""Runs are deleted by whose they are and by admins, over GraphQL, REST, the client and the command line."""

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

import anyio
import httpx
import pytest

from gql_app.cli.main import main
from gql_app.client import NotAllowedError, RefusedError, RunNotFinishedError, RunNotFoundError, WorkflowClient
from gql_app.core.access import Scope
from gql_app.core.values import Json
from gql_app.settings import Settings
from tests.support.documents import document, echo
from tests.support.gate import Gate, gated
from tests.support.server import RunningServer, live_server
from tests.support.tokens import add_key, bearer

pytestmark = pytest.mark.anyio

DELETE = "mutation ($id: ID!) { deleteWorkflow(id: $id) { __typename ... on Error { message } } }"
RUN = "query ($id: ID!) { workflow(id: $id) { submittedBy status } }"


@dataclass(frozen=True)
class House:
    """A server, and the tokens of who is in one namespace."""

    server: RunningServer
    tokens: dict[str, str]

    def client(self, who: str) -> WorkflowClient:
        return WorkflowClient(self.server.url, token=self.tokens[who])

    def http(self, who: str) -> httpx.Client:
        return self.server.client(headers=bearer(self.tokens[who]))

    def post(self, who: str, query: str, run_id: str) -> Json:
        with self.http(who) as client:
            return client.post("/graphql", json={"query": query, "variables": {"id": run_id}}).json()

    async def ended(self, who: str = "owner") -> str:
        """Run a document to its end."""
        async with self.client(who) as client:
            run = await client.submit(document(echo("greet", "hello")))
            async for _ in client.watch(run.id):
                pass
        return run.id


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    both, everything = (Scope.READ, Scope.WRITE), (Scope.ADMIN,)
    tokens = {name: add_key(path, name, scopes=both) for name in ("owner", "colleague")}
    tokens["reader"] = add_key(path, "reader", scopes=(Scope.READ,))
    tokens["admin"] = add_key(path, "admin", scopes=everything)
    settings = Settings(shutdown_grace_seconds=0, keys_file=str(path))
    with Gate() as gate, live_server(settings, tools=[gate.tool]) as server:
        yield House(server, tokens)
        gate.open()


@pytest.mark.parametrize("who", ["owner", "admin"])
async def test_a_run_is_deleted_over_graphql(house: House, who: str) -> None:
    run_id = await house.ended()
    shown = house.post("owner", RUN, run_id)

    deleted = house.post(who, DELETE, run_id)

    assert shown["data"]["workflow"] == {"submittedBy": "owner", "status": "COMPLETED"}
    assert deleted["data"] == {"deleteWorkflow": {"__typename": "DeleteWorkflowSuccess"}}
    assert house.post("owner", RUN, run_id)["data"] == {"workflow": None}
    assert house.post(who, DELETE, run_id)["data"]["deleteWorkflow"]["__typename"] == "WorkflowNotFound"


@pytest.mark.parametrize("who", ["colleague", "reader"])
async def test_somebody_elses_run_is_not_for_everybody_to_delete(house: House, who: str) -> None:
    run_id = await house.ended()

    answer = house.post(who, DELETE, run_id)
    with house.http(who) as client:
        over_rest = client.delete(f"/workflows/{run_id}")

    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
    assert (over_rest.status_code, over_rest.json()["code"]) == (HTTPStatus.FORBIDDEN, "FORBIDDEN")
    assert house.post("owner", RUN, run_id)["data"]["workflow"]["status"] == "COMPLETED"


async def test_a_run_is_deleted_over_rest(house: House) -> None:
    run_id = await house.ended()

    with house.http("owner") as client:
        in_flight = client.post("/workflows/", json=document(gated())).json()["run_id"]
        answers = [client.delete(f"/workflows/{which}") for which in (run_id, run_id, in_flight)]
        read = client.get(f"/workflows/{run_id}")

    assert [answer.status_code for answer in answers] == [
        HTTPStatus.NO_CONTENT,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
    ]
    assert answers[0].content == b""
    assert answers[2].json()["code"] == "WORKFLOW_NOT_FINISHED"
    assert read.status_code == HTTPStatus.NOT_FOUND


async def test_the_client_deletes_and_travels(house: House) -> None:
    run_id = await house.ended()

    async with house.client("owner") as client:
        in_flight = await client.submit(document(gated()))
        past = await client.get(run_id, at=3)
        now = await client.get(run_id)
        with pytest.raises(RefusedError) as beyond:
            await client.get(run_id, at=99)
        with pytest.raises(RunNotFinishedError):
            await client.delete(in_flight.id)
        async with house.client("colleague") as colleague:
            with pytest.raises(NotAllowedError):
                await colleague.delete(run_id)
        await client.delete(run_id)
        with pytest.raises(RunNotFoundError):
            await client.delete(run_id)
        with pytest.raises(RunNotFoundError):
            await client.get(run_id, at=1)

    assert beyond.value.code == "INVALID_CURSOR"
    assert (past.status, past.sequence, past.submitted_by) == ("RUNNING", 3, "owner")
    assert [(node.id, node.status) for node in past.nodes] == [("greet", "RUNNING")]
    assert now.updated_at == now.finished_at


def test_the_command_line_shows_the_past_and_deletes(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = anyio.run(house.ended)
    monkeypatch.setenv("GQL_APP_URL", house.server.url)
    commands = [
        (["show", run_id, "--at", "2"], "owner"),
        (["show", run_id, "--at", "99"], "owner"),
        (["delete", run_id], "colleague"),
        (["delete", run_id], "owner"),
        (["delete", run_id], "owner"),
    ]

    told = []
    for command, who in commands:
        monkeypatch.setenv("GQL_APP_TOKEN", house.tokens[who])
        code = main(command)
        told.append((code, *capsys.readouterr()))

    assert told[0][:2] == (0, "test  RUNNING\n  greet  PENDING\n")
    assert (told[1][0], "use 1 to 5" in told[1][2]) == (1, True)
    assert (told[2][0], "may not delete" in told[2][2]) == (1, True)
    assert told[3] == (0, f"{run_id} deleted\n", "")
    assert (told[4][0], "No workflow run" in told[4][2]) == (1, True)
