"""`gql-app db`, `export` and `import`, as processes."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import LONGEST_WAIT, command, environment, gql_app
from tests.support.server import server_process

DOCUMENT = {"name": "hello", "nodes": [{"id": "a", "tool": "echo", "input": {"value": "x" * 3_000}}]}
FIRST, SECOND = "sqlite:///first.db", "sqlite:///second.db"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a store that has a run, and with nobody who uses it."""
    (tmp_path / "hello.json").write_text(json.dumps(DOCUMENT))
    with server_process("--store", f"sqlite:///{tmp_path}/first.db") as server:
        done = gql_app("submit", "hello.json", "--watch", cwd=tmp_path, GQL_APP_URL=server.url)
        assert done.code == 0, done.err
        server.stop()
    return tmp_path


def test_runs_go_from_one_store_to_another_through_a_pipe(place: Path) -> None:
    words = command("export", "--store", FIRST)
    with subprocess.Popen(
        words, cwd=place, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as source:
        imported = subprocess.run(
            command("import", "--store", SECOND, "-"),
            cwd=place,
            env=environment(),
            stdin=source.stdout,
            capture_output=True,
            text=True,
            timeout=LONGEST_WAIT,
            check=False,
        )
        assert source.wait(LONGEST_WAIT) == 0

    assert (imported.returncode, imported.stdout) == (0, "1 run imported; 0 were there already.\n"), imported.stderr
    status = gql_app("db", "status", "--json", "--store", SECOND, cwd=place).output
    assert status["runs"] == {"COMPLETED": 1}


def test_a_file_that_is_cut_off_is_told_with_what_was_imported(place: Path) -> None:
    exported = gql_app("export", cwd=place, GQL_APP_STORE=FIRST)
    (place / "runs.jsonl").write_text("".join(exported.out.splitlines(keepends=True)[:-1]))

    imported = gql_app("import", "runs.jsonl", "--store", SECOND, cwd=place)

    assert exported.err == "1 run exported.\n"
    assert (imported.code, imported.out) == (1, "1 run imported; 0 were there already.\n")
    assert "cut off after line" in imported.err


def test_what_is_not_there_is_told(place: Path) -> None:
    nothing = gql_app("import", "nowhere.jsonl", "--store", SECOND, cwd=place)
    no_store = gql_app("export", "--store", "sqlite:///third.db", cwd=place)
    no_run = gql_app("export", "--store", FIRST, "--run", "nope", cwd=place)
    no_directory = gql_app("db", "upgrade", "--store", "sqlite:///nowhere/runs.db", cwd=place)

    assert (nothing.code, nothing.err) == (2, "gql-app: nowhere.jsonl: No such file or directory.\n")
    assert (no_store.code, no_store.out) == (1, "")
    assert "There is no store sqlite:///" in no_store.err
    assert no_run.code == 1
    assert "No workflow run 'nope'" in no_run.err
    assert "make it first" in no_directory.err
    assert not (place / "third.db").exists()


def test_while_a_server_uses_a_file_it_can_be_exported_but_not_changed(place: Path) -> None:
    exported = gql_app("export", "--store", FIRST, cwd=place)
    with server_process("--store", f"sqlite:///{place}/first.db") as server:
        live = gql_app("export", "--store", FIRST, cwd=place)
        status = gql_app("db", "status", "--store", FIRST, cwd=place)
        refused = [
            gql_app(*words, "--store", FIRST, cwd=place, stdin=exported.out)
            for words in (("db", "upgrade"), ("db", "vacuum"), ("import", "-"))
        ]

    assert live.out == exported.out
    assert re.search(rf"^Executor +process {server.process.pid} on .* \(epoch \d+\)$", status.out, re.MULTILINE)
    assert [done.code for done in refused] == [1, 1, 1]
    assert all(f"is in use by process {server.process.pid} on" in done.err for done in refused)
