"""`gql-app serve` as a process: what it says, and how it ends."""

import json
import re
import signal
import socket
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path

import anyio
import httpx
import pytest

from tests.support.documents import WATCH, document, echo, submit
from tests.support.server import LONGEST_WAIT, server_process, start

SLOW = {"id": "slow", "tool": "delay", "input": {"seconds": 3600}}


def test_it_says_where_everything_is_once_it_listens() -> None:
    with server_process() as server, server.client() as client:
        answer = client.get("/health")

        assert answer.status_code == HTTPStatus.OK
        assert f"{server.url}/graphql" in server.greeting
        assert "Beware" not in server.greeting


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(number: signal.Signals) -> None:
    with server_process() as server:
        code = server.stop(number)
        _, errors = server.process.communicate(timeout=LONGEST_WAIT)

    assert (code, errors) == (0, "")


@pytest.mark.anyio
async def test_an_open_subscription_does_not_keep_it_from_ending() -> None:
    with server_process(GQL_APP_SHUTDOWN_GRACE_SECONDS="0") as server:
        run_id = submit(server, document(SLOW))
        async with server.socket() as client:
            await client.subscribe(WATCH, {"id": run_id, "after": 0})
            await client.receive()
            code = await anyio.to_thread.run_sync(server.stop)
            closed, _ = await client.closed()
        _, errors = server.process.communicate(timeout=LONGEST_WAIT)

    assert closed == 1012
    assert (code, errors) == (0, "")


@pytest.mark.anyio
async def test_a_second_interrupt_ends_it_at_once() -> None:
    with server_process(GQL_APP_SHUTDOWN_GRACE_SECONDS="3600") as server:
        submit(server, document(SLOW))
        async with server.socket() as client:
            server.process.send_signal(signal.SIGINT)
            await client.closed()
        code = await anyio.to_thread.run_sync(server.stop, signal.SIGINT)

    assert code == 130


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start("--port", str(port))
        output, errors = process.communicate(timeout=LONGEST_WAIT)

    assert process.returncode == 1
    assert output == ""
    assert f"Port {port}" in errors
    assert "--port" in errors
    assert "Traceback" not in errors


def test_a_module_without_tools_is_named() -> None:
    process = start("--port", "0", "--tools", "json")
    _, errors = process.communicate(timeout=LONGEST_WAIT)

    assert process.returncode == 1
    assert "'json'" in errors
    assert "Traceback" not in errors


def test_a_trusted_document_that_is_wrong_is_named(tmp_path: Path) -> None:
    (tmp_path / "Broken.graphql").write_text("{ helth }")

    process = start("--port", "0", GQL_APP_TRUSTED_DOCUMENTS=str(tmp_path))
    _, errors = process.communicate(timeout=LONGEST_WAIT)

    assert process.returncode == 1
    assert "Broken.graphql" in errors
    assert "Cannot query field 'helth'" in errors
    assert "Traceback" not in errors


def test_any_asgi_server_can_serve_the_application() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "gql_app.asgi:app", "--port", "0", "--no-use-colors"],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        lines = iter(process.stderr)
        url = next(found.group() for line in lines if (found := re.search(r"http://\S+:\d+", line)))
        answer = httpx.get(f"{url}/health", trust_env=False)
        process.terminate()
        process.communicate(timeout=LONGEST_WAIT)

    assert answer.json()["status"] == "ok"


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["deaf", "borrow_a_thread", "block"])
async def test_a_tool_that_does_not_stop_cannot_keep_it_from_ending(name: str) -> None:
    with server_process(
        "--tools",
        "tests.support.deaf_tools",
        GQL_APP_SHUTDOWN_GRACE_SECONDS="0",
        GQL_APP_STOP_GRACE_SECONDS="0.1",
    ) as server:
        run_id = submit(server, document({"id": "stuck", "tool": name}))
        async with server.socket() as client:
            async for update in client.results(WATCH, {"id": run_id, "after": 0}):
                if any(event["__typename"] == "AttemptStarted" for event in update["workflowUpdates"]["events"]):
                    break
            code = await anyio.to_thread.run_sync(server.stop, signal.SIGTERM)

    assert code == 0


def test_its_log_has_a_line_of_json_for_every_request_and_run() -> None:
    with server_process("--log-level", "info") as server:
        with server.client() as client:
            answer = client.post("/workflows/", json=document(echo("a", 1)), headers={"x-request-id": "mine"})
            client.get("/health?token=hunter2", headers={"authorization": "Bearer hunter2"})
        server.process.send_signal(signal.SIGTERM)
        _, errors = server.process.communicate(timeout=LONGEST_WAIT)

    lines = [json.loads(line) for line in errors.splitlines()]
    asked = [(line["method"], line["path"], line["status"]) for line in lines if line["logger"] == "gql_app.access"]
    runs = [line for line in lines if line["logger"] == "gql_app.runs"]
    assert asked == [("POST", "/workflows/", 201), ("GET", "/health", 200)]
    assert {line["run_id"] for line in runs} == {answer.json()["run_id"]}
    assert [line.get("outcome") for line in runs] == [None, "COMPLETED"]
    assert [line["request_id"] for line in lines if line["message"].endswith("was submitted.")] == ["mine"]
    assert "uvicorn.error" in {line["logger"] for line in lines}
    assert "hunter2" not in errors


def test_a_port_in_use_for_the_metrics_is_named_with_its_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = start("--port", "0", GQL_APP_METRICS_PORT=port)

        out, err = process.communicate(timeout=LONGEST_WAIT)

    assert (process.returncode, out) == (1, "")
    assert f"Port {port} on 127.0.0.1 is in use" in err
    assert "GQL_APP_METRICS_PORT" in err
