"""Websockets with the client `graphql-ws`: every kind of operation, and every way in which a connection ends."""

import json
import subprocess
from pathlib import Path

import pytest

from gql_app.core.values import Json
from gql_app.settings import Settings
from gql_app.web.auth.key_writer import change_keys
from tests.support.connections import close_websockets, cut_websockets
from tests.support.documents import SUBMIT, document
from tests.support.gate import Turnstile
from tests.support.requirements import REPOSITORY, require_node, require_node_package
from tests.support.server import LONGEST_WAIT, ThreadServer, live_server
from tests.support.tokens import add_key, bearer

SCRIPT = REPOSITORY / "tests" / "support" / "javascript" / "sockets.mjs"
HEALTHY = {"results": [{"data": {"health": {"status": "OK"}}}], "complete": True}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Json]:
    """Tell what the client was told, by part."""
    for package in ("graphql", "graphql-ws", "ws"):
        require_node_package(package)
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    first, second = add_key(keys, "first"), add_key(keys, "second")
    settings = Settings(shutdown_grace_seconds=0, stop_grace_seconds=0, keys_file=str(keys))
    with Turnstile() as turnstile, live_server(settings, tools=[turnstile.tool]) as server:
        runs = [submit(server, second, *nodes) for nodes in ((), passages(4), (delay(),))]
        command = [str(require_node()), str(SCRIPT), server.ws_url, *runs, first, second]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                return hear(process, server, Disturbances(server, turnstile, keys))
            finally:
                process.kill()


class Disturbances:
    """What is done to the connection of a run each time one of its nodes has started."""

    def __init__(self, server: ThreadServer, turnstile: Turnstile, keys: Path) -> None:
        self._server = server
        self._turnstile = turnstile
        self._keys = keys

    def disturb(self, number: int) -> None:
        """Cut the connection, close it as a server that restarts does, take the key back, or do nothing."""
        match number:
            case 1:
                assert cut_websockets(self._server) == 1
            case 2:
                assert close_websockets(self._server) == 1
            case 3:
                change_keys(self._keys, lambda keys: [key for key in keys if key.name != "first"])
                # It takes a moment until that is noticed: the run goes on when the client is there again.
                return
            case _:
                pass
        self._turnstile.let_through(1)

    def connect(self, number: int) -> None:
        """Let the run go on that waited for its client to come back with another key."""
        self._turnstile.let_through(number == 4)


def hear(process: "subprocess.Popen[str]", server: ThreadServer, disturbances: Disturbances) -> dict[str, Json]:
    assert process.stdout is not None
    found: dict[str, Json] = {}
    for line in process.stdout:
        part = json.loads(line)
        found[part["part"]] = part.get("told")
        if part["part"] == "started":
            disturbances.disturb(part["told"])
        elif part["part"] == "connected":
            disturbances.connect(part["told"])
        elif part["part"] == "about to be left":
            server.stop()
    _, errors = process.communicate(timeout=LONGEST_WAIT)
    assert process.returncode == 0, errors
    return found


def submit(server: ThreadServer, key: str, *nodes: Json) -> str:
    with server.client(headers=bearer(key)) as client:
        answer = client.post("/graphql", json={"query": SUBMIT, "variables": {"spec": document(*nodes)}}).json()
    run_id: str = answer["data"]["submitWorkflow"]["workflow"]["id"]
    return run_id


def passages(count: int) -> list[Json]:
    return [{"id": f"n{i}", "tool": "turnstile", "dependsOn": [f"n{i - 1}"] if i else []} for i in range(count)]


def delay() -> Json:
    return {"id": "wait", "tool": "delay", "input": {"seconds": 3_600}}


def test_it_is_answered_a_query(told: dict[str, Json]) -> None:
    assert told["query"] == HEALTHY


def test_it_changes_something(told: dict[str, Json]) -> None:
    [result] = told["mutation"]["results"]

    assert result["data"]["submitWorkflow"]["workflow"]["name"] == "from-a-client"


def test_it_connects_when_there_is_something_to_ask_and_says_goodbye_after_it(told: dict[str, Json]) -> None:
    assert told["lazy"] == {"before": 0, "after": 1, "closed": 1000}


def test_its_pings_are_answered(told: dict[str, Json]) -> None:
    assert told["kept alive"] == {"opened": 1, "codes": []}


@pytest.mark.parametrize("part", ["invalid", "syntax error"])
def test_an_operation_that_is_not_valid_ends_alone(told: dict[str, Json], part: str) -> None:
    assert told[part]["results"] == []
    assert [error["message"] for error in told[part]["errors"]]
    assert told["one connection"] == {"opened": 1, "codes": []}


def test_it_is_told_that_there_is_no_such_run(told: dict[str, Json]) -> None:
    found = told["unknown run"]

    assert [error["extensions"]["code"] for error in found["errors"]] == ["WORKFLOW_NOT_FOUND"]
    assert found["results"] == []


def test_it_is_told_everything_from_the_beginning_to_the_end(told: dict[str, Json]) -> None:
    assert told["from the beginning"] == {"sequences": [1, 2, 3, 4, 5], "complete": True}


def test_operations_go_side_by_side_over_one_connection(told: dict[str, Json]) -> None:
    assert told["side by side"] == [HEALTHY] * 3


def test_what_the_protocol_forbids_ends_all_for_good(told: dict[str, Json]) -> None:
    assert told["an id twice"] == {"ends": [4409, 4409], "opened": 1, "codes": [4409]}


def test_it_comes_back_with_another_token_if_one_is_not_good(told: dict[str, Json]) -> None:
    found = told["another token"]

    assert (found["opened"], found["codes"][0], found["results"]) == (2, 4403, HEALTHY["results"])


def test_a_run_is_told_whole_across_a_cut_a_restart_and_the_end_of_a_token(told: dict[str, Json]) -> None:
    found = told["disturbed"]

    assert found["sequences"] == list(range(1, len(found["sequences"]) + 1))
    assert found["complete"]
    assert (found["opened"], found["codes"][:3]) == (4, [1006, 1012, 4403])


def test_a_server_that_stops_says_so_with_a_code_on_which_it_comes_back(told: dict[str, Json]) -> None:
    assert not told["left"]["ended"]
    assert told["left"]["codes"][0] == 1012
