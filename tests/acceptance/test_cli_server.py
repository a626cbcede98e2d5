"""The commands that talk to a server."""

import json
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gql_app.cli.main import main
from gql_app.core.values import Json
from tests.support.cli import (
    LONGEST_WAIT,
    Finished,
    node,
    read_until,
    started,
    write_document,
)
from tests.support.requirements import REPOSITORY
from tests.support.server import ThreadServer, live_server

GqlApp = Callable[..., Finished]
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}\n")
HANG: Json = {"mode": "hang"}


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadServer]:
    with live_server() as running:
        yield running


@pytest.fixture
def gql_app(
    server: ThreadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> GqlApp:
    """Carry out a command in this process, with the server's address in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GQL_APP_URL", server.url)

    def carry_out(*arguments: str) -> Finished:
        code = main(arguments)
        captured = capsys.readouterr()
        return Finished(int(code), captured.out, captured.err)

    return carry_out


def test_a_run_is_submitted_and_watched_to_its_output(gql_app: GqlApp, tmp_path: Path) -> None:
    document = write_document(tmp_path, node("a", "echo", {"value": "${ input }"}))

    submitted = gql_app("submit", document, "--input", "[1]")
    watched = gql_app("watch", submitted.out.strip())

    assert submitted.code == 0
    assert ID.fullmatch(submitted.out)
    assert (watched.code, watched.output) == (0, {"a": [1]})
    assert [line.split(maxsplit=1) for line in watched.lines] == [
        ["(test)", "submitted"],
        ["(test)", "started"],
        ["a", "attempt 1 started"],
        ["a", "completed (attempt 1)"],
        ["(test)", "completed"],
    ]


def test_a_submission_can_be_watched_at_once(gql_app: GqlApp, tmp_path: Path) -> None:
    document = write_document(tmp_path, node("a", "echo", {"value": 1}))

    done = gql_app("submit", document, "--watch")

    assert (done.code, done.output) == (0, {"a": 1})
    assert ID.search(f"{done.lines[0].split()[1]}\n")


def test_watching_goes_on_after_an_event(gql_app: GqlApp, tmp_path: Path) -> None:
    run_id = gql_app("submit", write_document(tmp_path, node("a", "echo")), "--watch").lines[0].split()[1]

    done = gql_app("watch", run_id, "--after", "4")

    assert [line.split(maxsplit=1)[1] for line in done.lines] == ["completed"]


def test_an_idempotency_key_finds_the_run(gql_app: GqlApp, tmp_path: Path) -> None:
    document = write_document(tmp_path, node("a", "echo"))
    other = write_document(tmp_path, node("b", "echo"), name="other.json")

    first, again = (gql_app("submit", document, "--idempotency-key", "monday") for _ in range(2))
    conflict = gql_app("submit", other, "--idempotency-key", "monday")

    assert first.out == again.out
    assert conflict.code == 1
    assert "'monday' was used" in conflict.err


def test_a_run_that_fails_is_told_and_retried(gql_app: GqlApp, tmp_path: Path) -> None:
    failing = node("b", "fail", {"times": 9, "type": "Boom", "retryable": False})
    document = write_document(tmp_path, node("a", "echo"), failing)

    done = gql_app("submit", document, "--watch")
    run_id = done.lines[0].split()[1]
    retried = gql_app("retry", run_id)
    watched = gql_app("watch", retried.out.strip())

    assert (done.code, done.out) == (1, "")
    assert done.lines[-1].startswith("  b: Boom: ")
    assert done.lines[-1].endswith(" (NON_RETRYABLE_ERROR after 1 attempt)")
    assert retried.code == 0
    assert watched.code == 1
    assert any("completed in the run before" in line for line in watched.lines)


def test_watching_tells_what_running_here_tells(gql_app: GqlApp, tmp_path: Path) -> None:
    failing = {"times": 9, "type": "Boom", "message": "It broke."}
    document = write_document(
        tmp_path,
        node("first", "echo"),
        node("off", "echo", dependsOn=["first"], when="${ false }"),
        node("behind", "echo", {"value": "${ nodes.off.output }"}),
        node("broken", "fail", failing, dependsOn=["behind"], retry={"maximumAttempts": 1}),
        node("never", "echo", dependsOn=["broken"]),
        maximumConcurrency=1,
    )

    here = gql_app("run", document)
    there = gql_app("watch", gql_app("submit", document).out.strip())

    assert [line.split(maxsplit=1)[1] for line in there.lines[-5:]] == [
        "stopping, will be FAILED because of broken",
        "skipped: the workflow is stopping",
        "failed because of broken",
        there.lines[-2].split(maxsplit=1)[1],
        "Boom: It broke. (MAXIMUM_ATTEMPTS_REACHED after 1 attempt)",
    ]
    assert "behind            skipped: it reads the output of a node that has none (off)" in there.lines
    assert there.lines[:-2] == here.lines[:-2]


def test_watching_tells_for_which_slot_a_node_waits(gql_app: GqlApp, tmp_path: Path) -> None:
    document = write_document(tmp_path, node("a", "echo"), node("b", "echo"), maximumConcurrency=1)

    watched = gql_app("watch", gql_app("submit", document).out.strip())

    assert any(line.endswith("waits for a slot of the workflow (maximumConcurrency)") for line in watched.lines)


def test_a_run_is_shown_and_cancelled(gql_app: GqlApp, tmp_path: Path) -> None:
    document = write_document(tmp_path, node("a", "fail", HANG), node("b", "echo", dependsOn=["a"]))
    run_id = gql_app("submit", document).out.strip()

    shown = gql_app("show", run_id)
    cancelled = gql_app("cancel", run_id, "--reason", "wrong input")
    watched = gql_app("watch", run_id)
    again = gql_app("cancel", run_id)

    assert shown.code == 0
    assert "b" in shown.out
    assert "waits for a" in shown.out
    assert cancelled.code == 0
    assert cancelled.out.startswith(run_id)
    assert watched.code == 1
    assert watched.lines[-1] == f"Run {run_id} is CANCELLED: wrong input"
    assert any(line.endswith("stopping, will be CANCELLED: wrong input") for line in watched.lines)
    assert (again.code, "already finished: CANCELLED" in again.err) == (1, True)
    assert json.loads(gql_app("show", run_id, "--json").out)["status"] == "CANCELLED"


def test_runs_are_listed_page_after_page(gql_app: GqlApp, tmp_path: Path) -> None:
    document = write_document(tmp_path, node("a", "echo"), name="many.json", labels={"team": "list"})
    ids = [gql_app("submit", document).out.strip() for _ in range(103)]

    listed = gql_app("list", "--label", "team=list", "--first", "102", "--json")
    table = gql_app("list", "--label", "team=list", "--first", "2")
    none = gql_app("list", "--label", "team=nobody")

    assert [run["id"] for run in listed.output] == ids[:0:-1]
    assert [line.split()[0] for line in table.out.splitlines()] == ["ID", *ids[:-3:-1]]
    assert (none.code, none.out, none.err) == (0, "", "There are no such runs.\n")


def test_runs_are_listed_by_status_and_name(gql_app: GqlApp, tmp_path: Path) -> None:
    document = write_document(tmp_path, node("a", "fail", HANG))
    renamed = tmp_path / document
    renamed.write_text(renamed.read_text().replace('"name": "test"', '"name": "by name"'))
    run_id = gql_app("submit", document).out.strip()

    found = gql_app("list", "--name", "by name", "--status", "running", "--status", "pending", "--json")
    gql_app("cancel", run_id)

    assert [run["id"] for run in found.output] == [run_id]


def test_an_invalid_document_is_refused_with_every_problem(
    gql_app: GqlApp, server: ThreadServer, tmp_path: Path
) -> None:
    document = write_document(tmp_path, node("a", "ecko"), node("b", "echo", {"value": "${ nodes.zz.output }"}))

    answers = [gql_app("submit", document), gql_app("validate", document, "--url", server.url)]

    for answer in answers:
        assert (answer.code, answer.out) == (2, "")
        assert "UNKNOWN_TOOL at /nodes/0/tool" in answer.err
        assert "UNKNOWN_NODE at /nodes/1/input/value" in answer.err


def test_the_tools_of_the_server_are_those_of_this_process(gql_app: GqlApp, server: ThreadServer) -> None:
    here, there = gql_app("tools", "--json"), gql_app("tools", "--url", server.url, "--json")

    names = [tool["name"] for tool in here.output]
    assert [tool["name"] for tool in there.output] == names
    assert names == sorted(names)


def test_the_tools_are_told_in_lines_that_fit(
    gql_app: GqlApp, server: ThreadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    names = [tool["name"] for tool in gql_app("tools", "--json").output]

    lines = gql_app("tools").out.splitlines()

    assert [line.split()[0] for line in lines if not line.startswith(" ")] == names
    assert max(map(len, lines)) <= 100
    assert "                 {template, values?}" in lines


@pytest.mark.parametrize("command", ["watch", "show", "cancel", "retry"])
def test_a_run_that_is_not_there_is_told_in_one_line(gql_app: GqlApp, command: str) -> None:
    done = gql_app(command, "nope")

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("gql-app: ")
    assert "'nope'" in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["list"], ["watch", "x"], ["submit", "test.json"], ["tools"]])
def test_nobody_there_is_told_in_one_line(gql_app: GqlApp, tmp_path: Path, arguments: list[str]) -> None:
    write_document(tmp_path, node("a", "echo"))
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    done = gql_app(*arguments, "--url", url)

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"gql-app: Cannot reach {url}: ")
    assert len(done.err.splitlines()) == 1


def test_an_address_that_is_none_is_refused(gql_app: GqlApp) -> None:
    done = gql_app("list", "--url", "localhost:8000")

    assert done.code == 2
    assert "'localhost:8000' is not the URL of a server" in done.err


def test_ctrl_c_ends_the_watching_and_not_the_run(gql_app: GqlApp, server: ThreadServer, tmp_path: Path) -> None:
    run_id = gql_app("submit", write_document(tmp_path, node("a", "fail", HANG))).out.strip()

    with started("watch", run_id, cwd=tmp_path, GQL_APP_URL=server.url) as process:
        read_until(process, "attempt 1 started")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LONGEST_WAIT)
    shown = gql_app("show", run_id, "--json")
    gql_app("cancel", run_id)

    assert (process.returncode, out) == (130, "")
    assert err == f"The run goes on. To stop it: gql-app cancel {run_id} --url {server.url}\n"
    assert shown.output["status"] == "RUNNING"


def test_a_document_is_validated_with_the_order_of_its_nodes(gql_app: GqlApp, server: ThreadServer) -> None:
    document = str(REPOSITORY / "examples/sample_workflow.json")

    here, there = gql_app("validate", document), gql_app("validate", document, "--url", server.url)

    assert here == there
    assert (here.code, here.out) == (0, "sample is valid: 3 nodes in 2 layers.\n  1. past, future\n  2. report\n")


def test_the_published_schema_is_written_and_checked(gql_app: GqlApp, tmp_path: Path) -> None:
    before = gql_app("schema", "export", "published", "--check")
    written = gql_app("schema", "export", "published")
    after = gql_app("schema", "export", "published", "--check")
    (tmp_path / "published/schema.graphql").write_text("")
    changed = gql_app("schema", "export", "published", "--check")

    assert (before.code, written.code, after.code, changed.code) == (1, 0, 0, 1)
    assert str(Path("published/schema.graphql")) in written.out
    assert changed.err.splitlines()[0].startswith("schema.graphql ")
