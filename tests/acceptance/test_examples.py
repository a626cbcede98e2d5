"""Every example, run as its reader would run it. The page and the custom tools have tests of their own."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
import yaml
from jsonschema import Draft202012Validator

from gql_app.core.values import Json
from gql_app.schema.operations import load
from gql_app.tools.registry import load_tools
from tests.support.connections import cut_websockets
from tests.support.documents import WATCH, document, submit
from tests.support.gate import Gate, gated
from tests.support.requirements import REPOSITORY, require_node, require_node_package, require_npm
from tests.support.server import LONGEST_WAIT, RunningServer, ThreadServer, live_server
from tests.support.static_server import static_server
from tests.support.streaming_tools import TOOLS

EXAMPLES = REPOSITORY / "examples"
DOCUMENTS = ["sample_workflow.json", *sorted(f"workflows/{path.name}" for path in EXAMPLES.glob("workflows/*.json"))]
OUTPUTS = {
    "sample_workflow.json": "The past and the future of GraphQL, in one report.",
    "workflows/agent.json": 465.5,
    "workflows/conditional.json": {"notice": "approval: COMPLETED, booking: SKIPPED"},
    "workflows/fan-in.json": {
        "advice": "Buy a kettle at the shop in the south: it costs 19.9.",
        "offer": {"shop": "south", "price": 19.9},
    },
    "workflows/hello.json": "Hello, World!",
    "workflows/http-pages.json": {"pages": 3, "items": 5, "cheap": ["cup", "strainer"]},
    "workflows/http-stream.json": "A kettle that whistles, for three cups.",
    "workflows/mcp.json": "East: Cloudy. West: Sunny / Clear. The sum of 82 and 48 is 130.",
    "workflows/http.json": "fan-in has 5 nodes; the other file answered 404.",
    "workflows/limits.json": {
        "north": {"shop": "north", "price": 24.5},
        "south": {"shop": "south", "price": 19.9},
        "west": {"shop": "west", "price": 31.0},
        "east": "a kettle is sold out",
    },
    "workflows/research-agent.json": (
        "# How do bees get through the winter?\n\nThey form a ball around the queen and shiver to keep warm. They live"
        " on the honey of the summer. Honey does not spoil, because hardly any of it is water.\n\nSources: Winter in"
        " the hive, Making honey."
    ),
    "workflows/secrets.json": "ada sends Authorization: Bearer [secret API_TOKEN] (21 characters)",
    "workflows/subprocess.json": "plum\npear\napple\npl: 2\n",
    "workflows/retry-and-timeout.json": (
        "flaky worked at the third attempt, slow answered when asked again, hopeless failed with OutOfStock"
    ),
}
NEEDING = {"http", "limits", "mcp", "research", "secrets", "subprocess"}
"""Words in the names of documents that need more than a service; each has a test of its own."""
WHOLE_LOG = [1, 2, 3, 4, 5, 6, 7]
"""Submitted, started, two nodes that start and complete, completed."""

Watcher: TypeAlias = Callable[..., list[str]]
"""Makes the command that watches a run."""


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadServer]:
    with live_server() as running:
        yield running


def read(name: str) -> Json:
    return json.loads((EXAMPLES / name).read_text(encoding="utf-8"))


async def run(server: RunningServer, spec: Json) -> Json:
    """Run a document to its end and read what became of it."""
    run_id = submit(server, spec)
    async with server.socket() as socket:
        updates = [update async for update in socket.results(WATCH, {"id": run_id, "after": 0})]
    assert updates[-1]["workflowUpdates"]["workflow"]["status"] in {"COMPLETED", "FAILED"}
    return server.execute(load("GetWorkflow"), id=run_id)["workflow"]


def nodes(workflow: Json) -> dict[str, Json]:
    return {node["id"]: node for node in workflow["nodes"]}


def test_every_document_has_an_output_to_expect() -> None:
    assert set(OUTPUTS) == set(DOCUMENTS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_fits_the_published_json_schema(name: str) -> None:
    schema = json.loads((REPOSITORY / "schema" / "workflow.schema.json").read_text(encoding="utf-8"))

    errors = list(Draft202012Validator(schema).iter_errors(read(name)))

    assert errors == []


@pytest.mark.anyio
@pytest.mark.parametrize("name", [name for name in DOCUMENTS if not NEEDING & set(re.split(r"\W", name))])
async def test_a_document_runs_as_it_is(server: RunningServer, name: str) -> None:
    workflow = await run(server, read(name))

    assert (workflow["status"], workflow["output"]) == ("COMPLETED", OUTPUTS[name])


@pytest.mark.anyio
async def test_the_http_document_gets_files_from_a_server_that_is_busy_at_first(server: RunningServer) -> None:
    path = "/workflows/fan-in.json"
    with static_server(EXAMPLES, unavailable_once=[path]) as base:
        workflow = await run(server, {**read("workflows/http.json"), "input": {"base": base}})

    assert workflow["output"] == OUTPUTS["workflows/http.json"]
    assert {name: node["attempt"] for name, node in nodes(workflow).items()} == {
        "document": 2,
        "missing": 1,
        "summary": 1,
    }


@pytest.mark.anyio
async def test_the_documents_of_pages_and_streams_get_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_APP_SECRET_API_TOKEN", "correct-horse-battery")
    with live_server() as server, static_server(EXAMPLES) as base:
        for name in ("workflows/http-pages.json", "workflows/http-stream.json"):
            workflow = await run(server, {**read(name), "input": {"base": base}})

            assert (workflow["status"], workflow["output"]) == ("COMPLETED", OUTPUTS[name])


@pytest.mark.anyio
async def test_the_mcp_document_calls_the_server_that_stands_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    require_npm()
    require_node_package("@modelcontextprotocol/server-everything")
    monkeypatch.setenv("GQL_APP_MCP_FILE", str(EXAMPLES / "mcp.json"))
    monkeypatch.setenv("GQL_APP_MCP_START_SECONDS", str(LONGEST_WAIT))
    monkeypatch.chdir(REPOSITORY)
    with live_server() as server:
        workflow = await run(server, read("workflows/mcp.json"))

    assert (workflow["status"], workflow["output"]) == ("COMPLETED", OUTPUTS["workflows/mcp.json"])


@pytest.mark.anyio
async def test_the_document_with_a_secret_runs_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_APP_SECRET_API_TOKEN", "correct-horse-battery")
    with live_server() as server:
        workflow = await run(server, read("workflows/secrets.json"))

    assert (workflow["status"], workflow["output"]) == ("COMPLETED", OUTPUTS["workflows/secrets.json"])
    assert "correct-horse" not in json.dumps(workflow)


@pytest.mark.anyio
async def test_the_document_that_runs_programs_runs_where_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_APP_SUBPROCESS_ALLOWED", "sort,grep")
    with live_server() as server:
        workflow = await run(server, read("workflows/subprocess.json"))

    assert (workflow["status"], workflow["output"]) == ("COMPLETED", OUTPUTS["workflows/subprocess.json"])


@pytest.mark.anyio
async def test_the_document_with_limits_runs_where_there_are_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_APP_LIMITS", '{"catalogue": {"rateLimit": {"count": 2, "perSeconds": 0.5}}}')
    with live_server() as server:
        run_id = submit(server, read("workflows/limits.json"))
        async with server.socket() as socket:
            updates = [update async for update in socket.results(load("WorkflowUpdates"), {"id": run_id, "after": 0})]
        workflow = server.execute(load("GetWorkflow"), id=run_id)["workflow"]

    events = [event for update in updates for event in update["workflowUpdates"]["events"]]
    waited = [event["nodeId"] for event in events if event["__typename"] == "NodeQueued"]
    assert (workflow["status"], workflow["output"]) == ("COMPLETED", OUTPUTS["workflows/limits.json"])
    assert waited == ["west", "east"]


@pytest.mark.anyio
async def test_the_research_agent_reads_in_the_library_and_its_report_is_shown_while_it_is_written() -> None:
    with live_server(tools=load_tools(["examples.library"])) as server:
        run_id = submit(server, read("workflows/research-agent.json"))
        async with server.socket() as socket:
            updates = [update async for update in socket.results(load("WorkflowUpdates"), {"id": run_id, "after": 0})]
        workflow = server.execute(load("GetWorkflow"), id=run_id)["workflow"]

    events = [event for update in updates for event in update["workflowUpdates"]["events"]]
    kinds = [event["__typename"] for event in events if event.get("nodeId") == "research"]
    assert (workflow["status"], workflow["output"]) == ("COMPLETED", OUTPUTS["workflows/research-agent.json"])
    assert (kinds.count("StepCompleted"), kinds.count("StepFailed")) == (6, 1)
    assert [event["__typename"] for event in events if event.get("nodeId") == "report"].count("NodeOutputChunk") > 1


@pytest.mark.anyio
async def test_the_retry_document_shows_a_retry_a_timeout_and_an_error_that_is_not_retried(
    server: RunningServer,
) -> None:
    found = nodes(await run(server, read("workflows/retry-and-timeout.json")))

    assert {name: node["attempt"] for name, node in found.items()} == {
        "flaky": 3,
        "slow": 2,
        "hopeless": 1,
        "report": 1,
    }
    assert (found["hopeless"]["status"], found["hopeless"]["retryState"]) == ("FAILED", "NON_RETRYABLE_ERROR")


@pytest.mark.anyio
async def test_the_conditional_document_takes_the_other_branch_for_a_small_amount(server: RunningServer) -> None:
    workflow = await run(server, {**read("workflows/conditional.json"), "input": {"amount": 20}})

    assert workflow["output"] == {"notice": "approval: SKIPPED, booking: COMPLETED"}


def test_the_yaml_document_is_the_json_document() -> None:
    from_yaml = yaml.safe_load((EXAMPLES / "workflows" / "hello.yaml").read_text(encoding="utf-8"))

    assert from_yaml == read("workflows/hello.json")


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_the_command_line_runs_both(suffix: str) -> None:
    ended = run_command([sys.executable, "-m", "gql_app", "run", f"examples/workflows/hello.{suffix}"])

    assert (ended.returncode, json.loads(ended.stdout)) == (0, "Hello, World!"), ended.stderr


def test_the_sample_that_graphiql_shows_is_the_example() -> None:
    shown = REPOSITORY / "gql_app" / "web" / "sample_workflow.json"

    assert shown.read_bytes() == (EXAMPLES / "sample_workflow.json").read_bytes()


def python_watcher(run_id: str, url: str, after: int = 0) -> list[str]:
    return [sys.executable, str(EXAMPLES / "watch.py"), run_id, "--url", url, "--after", str(after)]


def node_watcher(run_id: str, url: str, after: int = 0) -> list[str]:
    for package in ("graphql", "graphql-ws", "ws"):
        require_node_package(package)
    return [str(require_node()), str(EXAMPLES / "watch.mjs"), run_id, url, str(after)]


WATCHERS = pytest.mark.parametrize("watcher", [python_watcher, node_watcher], ids=["python", "node"])


def run_command(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=LONGEST_WAIT)


@contextmanager
def started(command: list[str], directory: Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def sequences(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"^ *(\d+)  \w", text, re.MULTILINE)]


@WATCHERS
def test_a_watcher_tells_what_is_streamed(watcher: Watcher) -> None:
    with live_server(tools=TOOLS) as server:
        run_id = submit(server, document({"id": "a", "tool": "think", "retry": {"initialIntervalSeconds": 0.01}}))
        ended = run_command(watcher(run_id, server.url))

    assert ended.returncode == 0, ended.stderr
    told = [line for line in ended.stdout.replace("'", '"').splitlines() if "NodeOutputChunk" in line]
    assert [line.split('"')[1] for line in told] == ["thought 1. ", "thought 2. ", "Done."]


@WATCHERS
def test_a_watcher_whose_connection_is_cut_misses_nothing_and_tells_nothing_twice(
    watcher: Watcher, tmp_path: Path
) -> None:
    with Gate() as gate, live_server(tools=[gate.tool]) as server, ExitStack() as stack:
        run_id = submit(server, document(gated("first"), gated("second", dependsOn=["first"])))
        process = stack.enter_context(started(watcher(run_id, server.url), tmp_path))
        assert process.stdout is not None
        assert process.stderr is not None
        before = ""
        while "AttemptStarted first" not in before:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            before += line
        assert cut_websockets(server) == 1
        complaint = process.stderr.readline()
        gate.open()
        after, _ = process.communicate(timeout=LONGEST_WAIT)

    assert "Not connected" in complaint
    assert sequences(before) == [1, 2, 3]
    assert sequences(before + after) == WHOLE_LOG
    assert after.splitlines()[-1] == "COMPLETED"
    assert process.returncode == 0


@WATCHERS
def test_a_watcher_goes_on_after_the_event_it_is_given(server: ThreadServer, watcher: Watcher) -> None:
    run_id = submit(server, document({"id": "a", "tool": "fail", "input": {"times": 9, "retryable": False}}))

    ended = run_command(watcher(run_id, server.url, 2))

    assert sequences(ended.stdout)[0] == 3
    assert "DeliberateFailure: Attempt 1 of 9" in ended.stdout
    assert (ended.returncode, ended.stdout.splitlines()[-1], ended.stderr) == (1, "FAILED", "")


@WATCHERS
def test_a_watcher_says_that_there_is_no_such_run(server: ThreadServer, watcher: Watcher) -> None:
    ended = run_command(watcher("nope", server.url))

    assert ended.returncode == 1
    assert "No workflow run 'nope'" in ended.stderr
