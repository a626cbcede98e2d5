"""Bad input and trouble of every kind, through a real server: a clear answer, nothing stored, nothing crashes."""

import asyncio
import json
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import anyio
import httpx
import pytest

from gql_app import tool
from gql_app.core.values import Json
from gql_app.settings import Settings
from tests.support.documents import SUBMIT, WATCH, document, echo, submit
from tests.support.gate import Gate, gated
from tests.support.server import LONGEST_WAIT, RunningServer, ThreadServer, live_server, server_process

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadServer]:
    with live_server() as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_crashes(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def stored(server: RunningServer) -> list[Json]:
    found: list[Json] = server.execute("{ workflows { nodes { id status } } }")["workflows"]["nodes"]
    return found


def nested(depth: int) -> Json:
    value: Json = 1
    for _ in range(depth):
        value = [value]
    return value


INVALID = {
    "a cycle": (
        document(echo("a", 1, dependsOn=["b"]), echo("b", "${ nodes.a.output }")),
        "CYCLE",
        "/nodes/0/dependsOn/0",
    ),
    "an unknown node": (document(echo("a", 1, dependsOn=["b"])), "UNKNOWN_NODE", "/nodes/0/dependsOn/0"),
    "an unknown tool": (document(echo("a", 1, tool="ehco")), "UNKNOWN_TOOL", "/nodes/0/tool"),
    "an id that is used twice": (document(echo("a", 1), echo("a", 2)), "DUPLICATE_NODE", "/nodes/1/id"),
    "a bad expression": (document(echo("a", "${ 1 + }")), "INVALID_EXPRESSION", "/nodes/0/input/value"),
    "an expression on no node": (document(echo("a", "${ nodes.b.output }")), "UNKNOWN_NODE", "/nodes/0/input/value"),
    "a wrong input of a tool": (document(echo("a", 1, input={"v": 1})), "INVALID_TOOL_INPUT", "/nodes/0/input/v"),
    "a wrong input of the run": (document(input=1, inputSchema={"type": "string"}), "INVALID_INPUT", "/input"),
    "too many nodes": (document(*(echo(f"n{i}", i) for i in range(1001))), "LIMIT_EXCEEDED", "/nodes"),
    "deep nesting": (document(input=nested(200)), "LIMIT_EXCEEDED", "/input" + "/0" * 63),
}
MISSHAPEN = {
    "a wrong type": (document(echo("a", 1, retry={"maximumAttempts": "3"})), "/nodes/0/retry/maximumAttempts"),
    "a list for an object": (document(echo("a", 1, retry=[])), "/nodes/0/retry"),
    "an unknown field": (document(echo("a", 1, retrys={})), "/nodes/0/retrys"),
    "null for a list": ({"name": "test", "nodes": None}, "/nodes"),
}
UNREADABLE = {
    "two mebibytes": (json.dumps(document(echo("a", "x" * (2 << 20)))).encode(), HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    "not a number": (json.dumps(document(echo("a", float("nan")))).encode(), HTTPStatus.BAD_REQUEST),
    "infinity": (b'{"name": "test", "nodes": [], "input": 1e999}', HTTPStatus.BAD_REQUEST),
    "nesting without an end": (b"[" * 500_000, HTTPStatus.BAD_REQUEST),
    "invalid UTF-8": (b'{"name": "\xff", "nodes": []}', HTTPStatus.BAD_REQUEST),
    "half of a surrogate pair": (b'{"name": "\\ud800", "nodes": []}', HTTPStatus.BAD_REQUEST),
    "no JSON": (b"name: test", HTTPStatus.BAD_REQUEST),
}


@pytest.mark.parametrize(("spec", "code", "pointer"), INVALID.values(), ids=INVALID)
def test_an_invalid_document_is_told_its_problem_and_stored_nowhere(
    server: ThreadServer, client: httpx.Client, spec: Json, code: str, pointer: str
) -> None:
    asked = client.post("/graphql", json={"query": SUBMIT, "variables": {"spec": spec}})
    posted = client.post("/workflows/", json=spec)

    problems = asked.json()["data"]["submitWorkflow"]["problems"]
    assert (code, pointer) in {(problem["code"], problem["pointer"]) for problem in problems}
    assert posted.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert [(problem["code"], problem["pointer"]) for problem in posted.json()["problems"]] == [
        (problem["code"], problem["pointer"]) for problem in problems
    ]
    assert stored(server) == []


@pytest.mark.parametrize(("spec", "pointer"), MISSHAPEN.values(), ids=MISSHAPEN)
def test_a_document_of_the_wrong_shape_is_told_where_and_stored_nowhere(
    server: ThreadServer, client: httpx.Client, spec: Json, pointer: str
) -> None:
    modern = {"accept": "application/graphql-response+json"}
    asked = client.post("/graphql", json={"query": SUBMIT, "variables": {"spec": spec}}, headers=modern)
    posted = client.post("/workflows/", json=spec)

    assert (asked.status_code, posted.status_code) == (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
    [error] = asked.json()["errors"]
    assert (error["extensions"]["code"], error["extensions"]["pointer"]) == ("INVALID_FIELD", pointer)
    [problem] = posted.json()["problems"]
    assert (problem["code"], problem["pointer"]) == ("INVALID_FIELD", pointer)
    assert stored(server) == []


@pytest.mark.parametrize(("body", "status"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_body_that_cannot_be_read_is_refused_and_stored_nowhere(
    server: ThreadServer, client: httpx.Client, body: bytes, status: HTTPStatus
) -> None:
    query = json.dumps(SUBMIT).encode()

    asked = client.post("/graphql", content=b'{"query":%b,"variables":{"spec":%b}}' % (query, body), headers=JSON)
    posted = client.post("/workflows/", content=body, headers=JSON)

    assert (asked.status_code, posted.status_code) == (status, status)
    assert asked.json()["errors"][0]["message"]
    assert posted.json()["detail"]
    assert stored(server) == []


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /workflows/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\nContent-Type: text/json\r\n\r\n{",
        b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
        b"GET /graphql HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"",
    ],
    ids=["half a body", "half a chunk", "half a websocket", "TLS", "nothing"],
)
def test_a_client_that_hangs_up_halfway_leaves_nothing(server: ThreadServer, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
        connection.sendall(sent)

    server.wait_until_idle()
    assert stored(server) == []


@pytest.mark.parametrize(
    "begun",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ",
        b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Long: ",
    ],
    ids=["head", "trailer"],
)
def test_a_head_without_an_end_is_not_read_to_its_end(server: ThreadServer, begun: bytes) -> None:
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
        connection.settimeout(LONGEST_WAIT)
        connection.sendall(begun)
        with pytest.raises(ConnectionError):
            connection.sendall(b"x" * (64 << 20))

    server.wait_until_idle()


def test_the_limit_of_nodes_can_be_set() -> None:
    with live_server(Settings(shutdown_grace_seconds=0, maximum_nodes=1001)) as server:
        run_id = submit(server, document(*(echo(f"n{i}", i) for i in range(1001))))

    assert run_id


def test_submissions_at_once_with_one_key_make_one_run() -> None:
    everybody = 12
    together = threading.Barrier(everybody)

    def send(number: int) -> str:
        with running.client() as client:
            client.get("/ready")
            together.wait(LONGEST_WAIT)
            if number % 2:
                answer = client.post("/workflows/", json=document(), headers={"idempotency-key": "k"}).json()
                return str(answer["run_id"])
            variables = {"spec": document(), "key": "k"}
            answer = client.post("/graphql", json={"query": SUBMIT, "variables": variables}).json()
            return str(answer["data"]["submitWorkflow"]["workflow"]["id"])

    with live_server() as running, ThreadPoolExecutor(everybody) as senders:
        told = set(senders.map(send, range(everybody)))

        assert {run["id"] for run in stored(running)} == told
    assert len(told) == 1


@tool
async def swallows() -> None:
    """Take no notice of being asked to stop."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()


@tool
async def interrupts() -> None:
    """Raise what is meant for the whole process."""
    raise KeyboardInterrupt


@tool
def prints() -> str:
    """Write to the standard output."""
    print("from a tool")  # noqa: T201 - it is what the tool is for
    return "printed"


@tool
async def returns_too_much() -> str:
    """Return more than an output may be."""
    return "x" * (256 << 10)


def blocks_the_pool(gate: Gate) -> Json:
    """Make a tool that takes every thread of the loop's usual pool, until the gate opens."""

    @tool
    async def blocks() -> None:
        """Take every thread."""
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, gate.wait) for _ in range(64)))

    return blocks


def fails(mode: str) -> Json:
    return {"id": mode, "tool": "fail", "input": {"mode": mode}}


ENDS = {
    "hang": "AttemptTimeout",
    "cancel": "CancelledError",
    "exit": "SystemExit",
    "timeout": "TimeoutError",
    "badOutput": "InvalidOutput",
    "returns_too_much": "InvalidOutput",
    "interrupts": "KeyboardInterrupt",
    "swallows": "AttemptTimeout",
    "blocks": "AttemptTimeout",
    "gate": "AttemptTimeout",
    "expression": "ExpressionError",
    "prints": None,
    "last": None,
}


@pytest.mark.anyio
async def test_whatever_tools_do_the_run_goes_on_by_the_rules_and_ends() -> None:
    patience = {"retry": {"maximumAttempts": 1}, "timeout": {"attemptSeconds": 0.2}, "continueOnFailure": True}
    modes = [fails(mode) for mode in ("hang", "cancel", "exit", "timeout", "badOutput")]
    own = [{"id": name, "tool": name} for name in ("returns_too_much", "interrupts", "swallows", "blocks", "prints")]
    wrong = echo("expression", "${ 1 / input.zero }")
    nodes = [{**node, **patience} for node in (*modes, *own, gated("gate"), wrong)]
    last = echo("last", "the end", dependsOn=[node["id"] for node in nodes])
    with Gate() as gate:
        tools = [swallows, interrupts, prints, returns_too_much, blocks_the_pool(gate), gate.tool]
        with live_server(tools=tools) as server, server.client() as client:
            run_id = submit(server, document(*nodes, last, input={"zero": 0}))
            async with server.socket() as watcher:
                updates = [update async for update in watcher.results(WATCH, {"id": run_id, "after": 0})]
            run = client.get(f"/workflows/{run_id}").json()
            leftovers = client.get("/health").json()["leftovers"]
            gate.open()

    assert updates[-1]["workflowUpdates"]["workflow"]["status"] == run["status"] == "COMPLETED"
    errors = {name: node["error"] and node["error"]["type"] for name, node in run["nodes"].items()}
    assert errors == ENDS
    assert "`1 / input.zero`" in run["nodes"]["expression"]["error"]["message"]
    assert "262144" in run["nodes"]["returns_too_much"]["error"]["message"]
    assert run["output"] == {"last": "the end"}
    assert leftovers >= 2


@pytest.mark.anyio
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_a_signal_ends_a_server_whose_tools_hang(number: signal.Signals) -> None:
    with server_process(GQL_APP_SHUTDOWN_GRACE_SECONDS="0") as server:
        for _ in range(20):
            submit(server, document({**fails("hang"), "timeout": {"attemptSeconds": None}}))

        code = await anyio.to_thread.run_sync(server.stop, number)
        _, errors = server.process.communicate(timeout=LONGEST_WAIT)

    assert (code, errors) == (0, "")


@pytest.mark.anyio
async def test_timers_that_are_due_at_once_are_met_on_the_servers_own_loop() -> None:
    retry = {"maximumAttempts": 2, "initialIntervalSeconds": 1e-6}
    nodes = [{"id": f"n{i}", "tool": "fail", "input": {"times": 1}, "retry": retry} for i in range(100)]

    with live_server() as server:
        run_id = submit(server, document(*nodes))
        with anyio.fail_after(LONGEST_WAIT):
            async with server.socket() as watcher:
                updates = [update async for update in watcher.results(WATCH, {"id": run_id, "after": 0})]

    assert updates[-1]["workflowUpdates"]["workflow"]["status"] == "COMPLETED"
