"""Subscriptions over server-sent events and multipart with the clients that frontends use."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from gql_app.core.values import Json
from gql_app.settings import Settings
from tests.support.connections import cut_streams
from tests.support.documents import document, submit
from tests.support.gate import Gate, gated
from tests.support.requirements import REPOSITORY, require_node, require_node_package
from tests.support.server import LONGEST_WAIT, RunningServer, ThreadServer, live_server

PACKAGES = ("@apollo/client", "@urql/core", "graphql-sse", "meros")
CLIENTS = {"apollo", "graphql-sse", "meros", "urql"}
SCRIPT = REPOSITORY / "tests" / "support" / "javascript" / "streams.mjs"


@pytest.fixture(scope="module")
def told() -> Iterator[dict[str, Json]]:
    """Tell what all clients were told: by part, then by client."""
    for package in PACKAGES:
        require_node_package(package)
    settings = Settings(shutdown_grace_seconds=0, stop_grace_seconds=0)
    with Gate() as gate, live_server(settings, tools=[gate.tool]) as server:
        finished, cut = submit(server, document()), submit(server, document(gated()))
        left = submit(server, document({"id": "wait", "tool": "delay", "input": {"seconds": 3_600}}))
        wait_until_finished(server, finished)
        command = [str(require_node()), str(SCRIPT), server.graphql_url, finished, cut, left]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                found = hear(process, server, gate)
            finally:
                process.kill()
        yield found


def hear(process: "subprocess.Popen[str]", server: ThreadServer, gate: Gate) -> dict[str, Json]:
    """Read what the clients were told, and cut them off when they are ready for it."""
    assert process.stdout is not None
    found: dict[str, Json] = {}
    for line in process.stdout:
        part = json.loads(line)
        found[part["part"]] = part["told"]
        if part["part"] == "watching":
            found["cut"] = cut_streams(server)
            gate.open()
        elif part["part"] == "about to be left":
            server.stop()
    _, errors = process.communicate(timeout=LONGEST_WAIT)
    assert process.returncode == 0, errors
    return found


def wait_until_finished(server: RunningServer, run_id: str) -> None:
    with server.client() as client:
        query = {"query": f'subscription {{ workflowUpdates(id: "{run_id}") {{ sequence }} }}'}
        client.post("/graphql", json=query, headers={"accept": "text/event-stream"}).raise_for_status()


def by_client(told: Json) -> dict[str, Json]:
    assert told.keys() == CLIENTS
    return dict(told)


def test_every_client_is_answered_a_query(told: dict[str, Json]) -> None:
    for result in by_client(told["query"]).values():
        assert result["data"]["health"]["status"] == "OK"


def test_every_client_changes_something(told: dict[str, Json]) -> None:
    for result in by_client(told["mutation"]).values():
        assert result["data"]["submitWorkflow"]["workflow"]["name"] == "from-a-client"


def test_every_client_is_told_that_an_operation_is_not_valid(told: dict[str, Json]) -> None:
    found = by_client(told["invalid"])

    assert found["apollo"].keys() == {"errors"}
    assert "nothing" in found["urql"]["errors"][0]
    assert (found["graphql-sse"], found["meros"]) == ({"failed": 400}, {"failed": 400})


def test_every_client_is_told_that_there_is_no_such_run(told: dict[str, Json]) -> None:
    for result in by_client(told["unknown run"]).values():
        assert result == {"errors": ["WORKFLOW_NOT_FOUND"]}


def test_every_client_is_told_everything_from_the_beginning_to_the_end(told: dict[str, Json]) -> None:
    for result in by_client(told["from the beginning"]).values():
        assert result["sequences"] == list(range(1, len(result["sequences"]) + 1))
        assert len(result["sequences"]) >= 5
        assert result["end"]["complete"]


def test_every_client_goes_on_without_loss_after_its_connection_was_cut(told: dict[str, Json]) -> None:
    for result in by_client(told["to the end"]).values():
        assert result["sequences"] == list(range(1, len(result["sequences"]) + 1))
        assert result["ends"][-1]["complete"]
    assert told["cut"] == len(CLIENTS)
    assert told["to the end"]["graphql-sse"]["ends"] == [{"complete": True, "connections": 2}]
    assert {len(told["to the end"][name]["ends"]) for name in CLIENTS - {"graphql-sse"}} == {2}


def test_a_server_that_stops_ends_every_stream_so_that_its_client_knows(told: dict[str, Json]) -> None:
    found = by_client(told["left"])

    assert found["graphql-sse"] == {"error": "NetworkError"}
    assert found["apollo"] == found["meros"] == {"transport": ["SERVER_STOPPING"]}
    # It does not look for the event `complete`: its user looks at the state of the run.
    assert found["urql"] == {"complete": True}
