"""MCP servers of a service: on the command line, in the health, in runs."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from gql_app.core.values import Json
from tests.support.cli import gql_app
from tests.support.documents import WATCH, document, submit
from tests.support.mcp import stdio_server, until
from tests.support.requirements import REPOSITORY
from tests.support.server import LONGEST_WAIT, ProcessServer, server_process

HEALTH = "{ health { status checks { name status message } } }"
VALIDATE = """
query ($spec: WorkflowSpecInput!) {
  validateWorkflow(spec: $spec) { __typename ... on InvalidWorkflow { problems { code message hint } } }
}
"""
RUN = """
query ($id: ID!) {
  workflow(id: $id) { status output nodes { id attempt error { type message } } }
}
"""


def configure(directory: Path, **servers: Json) -> dict[str, str]:
    """Write the file that names servers, and give the settings that name the file."""
    file = directory / "mcp.json"
    file.write_text(json.dumps({"servers": servers}))
    return {"GQL_APP_MCP_FILE": str(file), "GQL_APP_MCP_START_SECONDS": str(LONGEST_WAIT)}


def broken() -> Json:
    return {"command": sys.executable, "arguments": ["-c", "raise SystemExit('no licence found')"]}


def checks(server: ProcessServer) -> dict[str, Json]:
    return {check["name"]: check for check in server.execute(HEALTH)["health"]["checks"]}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProcessServer]:
    settings = configure(tmp_path, test=stdio_server(tmp_path), broken=broken())
    with server_process(directory=REPOSITORY, **settings, GQL_APP_SHUTDOWN_GRACE_SECONDS="0") as running:
        yield running


async def finished(server: ProcessServer, run_id: str) -> Json:
    """Watch a run to its end and read what became of it."""
    async with server.socket() as socket:
        async for _ in socket.results(WATCH, {"id": run_id, "after": 0}):
            pass
    return server.execute(RUN, id=run_id)["workflow"]


@pytest.mark.anyio
async def test_a_run_calls_the_tools_and_the_health_tells_how_the_servers_are(server: ProcessServer) -> None:
    add = {"id": "add", "tool": "mcp.test.add", "input": {"a": 1, "b": 2}}
    again = {"id": "again", "tool": "mcp.test.add", "input": {"a": "${ nodes.add.output.sum }", "b": 4}}

    run = await finished(server, submit(server, document(add, again)))

    assert (run["status"], run["output"]) == ("COMPLETED", {"again": {"sum": 7}})
    told = checks(server)
    assert told["mcp.test"] == {"name": "mcp.test", "status": "OK", "message": None}
    assert told["mcp.broken"]["status"] == "DEGRADED"
    assert told["mcp.broken"]["message"].startswith(
        "It is not connected. It ended with exit code 1: no licence found. It is tried again in "
    )
    assert "  MCP         mcp.test: connected, 15 tools\n" in server.greeting
    assert "  MCP         mcp.broken: It is not connected. It ended with exit code 1" in server.greeting


def test_a_document_is_checked_by_what_the_servers_tell(server: ProcessServer) -> None:
    nodes = [
        {"id": "a", "tool": "mcp.test.add", "input": {"a": "one"}},
        {"id": "b", "tool": "mcp.test.ad", "input": {}},
        {"id": "c", "tool": "mcp.broken.work", "input": {}},
        {"id": "d", "tool": "text.template", "input": {"template": "${ nodes.e.output.total }"}},
        {"id": "e", "tool": "mcp.test.add", "input": {"a": 1, "b": 2}},
    ]

    problems = server.execute(VALIDATE, spec=document(*nodes))["validateWorkflow"]["problems"]

    hints = {problem["message"]: problem["hint"] for problem in problems}
    assert 'Expected integer, not "one".' in hints
    assert hints['There is no tool "mcp.test.ad".'] == "Did you mean `mcp.test.add`?"
    assert hints['There is no tool "mcp.broken.work".'].startswith(
        "The MCP server `broken`: It is not connected. It ended with exit code 1: no licence found."
    )


@pytest.mark.anyio
async def test_a_server_that_is_killed_costs_an_attempt_and_no_more(server: ProcessServer, tmp_path: Path) -> None:
    wait = {"id": "wait", "tool": "mcp.test.wait_for", "input": {"name": "go"}}
    run_id = submit(server, document(wait))
    await until((tmp_path / "go-called").exists)

    (tmp_path / "go").touch()
    os.kill(int((tmp_path / "go-called").read_text()), signal.SIGKILL)

    run = await finished(server, run_id)
    assert (run["status"], run["output"]) == ("COMPLETED", {"wait": "go"})


@pytest.mark.anyio
async def test_an_attempt_that_times_out_and_a_run_that_is_cancelled_are_cancelled_at_the_server(
    server: ProcessServer, tmp_path: Path
) -> None:
    slow = {
        "id": "slow",
        "tool": "mcp.test.hang",
        "input": {"name": "slow"},
        "retry": {"maximumAttempts": 1},
        "timeout": {"attemptSeconds": 0.5},
    }
    run = await finished(server, submit(server, document(slow)))
    assert run["nodes"][0]["error"]["type"] == "AttemptTimeout"
    await until((tmp_path / "slow-cancelled").exists)

    run_id = submit(server, document({"id": "stopped", "tool": "mcp.test.hang", "input": {"name": "stopped"}}))
    await until((tmp_path / "stopped-called").exists)
    server.execute("mutation ($id: ID!) { cancelWorkflow(id: $id) { __typename } }", id=run_id)
    assert (await finished(server, run_id))["status"] == "CANCELLED"
    await until((tmp_path / "stopped-cancelled").exists)


@pytest.mark.anyio
async def test_the_servers_end_with_the_service(server: ProcessServer, tmp_path: Path) -> None:
    submit(server, document({"id": "hang", "tool": "mcp.test.hang", "input": {}}))
    await until((tmp_path / "hang-called").exists)
    process = int((tmp_path / "hang-called").read_text())

    code = await anyio.to_thread.run_sync(server.stop)

    assert code == 0
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.anyio
async def test_a_service_that_is_killed_leaves_no_server_and_no_run_behind(tmp_path: Path) -> None:
    settings = configure(tmp_path, test=stdio_server(tmp_path))
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    with server_process("--store", store, directory=REPOSITORY, **settings) as first:
        run_id = submit(first, document({"id": "wait", "tool": "mcp.test.wait_for", "input": {"name": "go"}}))
        await until((tmp_path / "go-called").exists)
        process = int((tmp_path / "go-called").read_text())
        first.process.kill()
        first.process.wait()
    await until(lambda: not (Path("/proc") / str(process)).exists())

    # Now the run is taken over before the server is there.
    settings["GQL_APP_MCP_START_SECONDS"] = "0"
    (tmp_path / "go").touch()
    with server_process("--store", store, directory=REPOSITORY, **settings) as second:
        run = await finished(second, run_id)

    assert (run["status"], run["output"]) == ("COMPLETED", {"wait": "go"})
    assert run["nodes"][0]["attempt"] == 2


def test_the_command_line_lists_the_tools_and_runs_documents_with_them(tmp_path: Path) -> None:
    settings = configure(tmp_path, test=stdio_server(tmp_path), broken=broken())
    spec = tmp_path / "greet.json"
    spec.write_text(json.dumps(document({"id": "hi", "tool": "mcp.test.greet", "input": {"name": "Ada"}})))

    tools = gql_app("tools", cwd=tmp_path, **settings)
    ran = gql_app("run", str(spec), cwd=tmp_path, **settings)
    valid = gql_app("validate", str(spec), cwd=tmp_path, **settings)

    assert "mcp.test.add" in tools.out
    assert "Add two numbers." in tools.out
    assert tools.err.startswith("mcp.broken: It is not connected. It ended with exit code 1: no licence found")
    assert (ran.code, ran.output) == (0, {"hi": "Hello, Ada!"})
    assert valid.code == 0


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["tools"], ["run", "x.json"]])
def test_servers_that_are_not_named_properly_are_refused_at_the_start(tmp_path: Path, command: list[str]) -> None:
    settings = configure(tmp_path, files={"command": "x", "args": []})
    (tmp_path / "x.json").write_text(json.dumps(document({"id": "a", "tool": "echo"})))

    refused = gql_app(*command, cwd=tmp_path, **settings)

    assert refused.code in (1, 2)
    assert "server 'files': `args` is not known. It takes command, arguments, environment," in refused.err
