"""`gql-app run` in a process of its own: output, exit codes, signals."""

import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import (
    LONGEST_WAIT,
    command,
    environment,
    gql_app,
    node,
    read_until,
    started,
    write_document,
    write_tools,
)
from tests.support.requirements import REPOSITORY

ONCE = {"maximumAttempts": 1}


def test_a_document_runs_to_its_output(tmp_path: Path) -> None:
    document = write_document(
        tmp_path,
        node("a", "echo", {"value": "${ input.x }"}),
        node("b", "echo", {"value": "${ nodes.a.output + '!' }"}),
        output="${ nodes.b.output }",
        input={"x": "no"},
    )

    done = gql_app("run", document, "--input", '{"x": "größer"}', cwd=tmp_path)

    assert (done.code, done.output) == (0, "größer!")
    assert [line.split(maxsplit=1) for line in done.lines] == [
        ["(test)", "submitted"],
        ["(test)", "started"],
        ["a", "attempt 1 started"],
        ["a", "completed (attempt 1)"],
        ["b", "attempt 1 started"],
        ["b", "completed (attempt 1)"],
        ["(test)", "completed"],
    ]


def test_the_sample_document_runs() -> None:
    done = gql_app("run", "examples/sample_workflow.json", cwd=REPOSITORY)

    assert done.code == 0
    assert isinstance(done.output, str)


def test_yaml_comes_in_through_a_pipe(tmp_path: Path) -> None:
    done = gql_app("run", "-", cwd=tmp_path, stdin="name: t\nnodes:\n- {id: a, tool: echo, input: {value: 1}}\n")

    assert (done.code, done.output) == (0, {"a": 1})


def test_an_input_comes_from_a_file(tmp_path: Path) -> None:
    document = write_document(tmp_path, node("a", "echo", {"value": "${ input }"}))
    (tmp_path / "input.json").write_text("[1, 2]")

    done = gql_app("run", document, "--input", "@input.json", cwd=tmp_path)

    assert done.output == {"a": [1, 2]}


def test_only_the_output_goes_to_the_standard_output(tmp_path: Path) -> None:
    tools = write_tools(tmp_path)
    document = write_document(tmp_path, node("a", "loud", {"text": "hello"}))

    done = gql_app("run", document, "--tools", tools, cwd=tmp_path)

    assert (done.code, done.output) == (0, {"a": "hello"})
    assert "print hello" in done.lines
    assert "child hello" in done.lines


def test_a_failed_run_tells_the_error_and_why_it_was_not_tried_again(tmp_path: Path) -> None:
    broken = node("broken", "fail", {"times": 9, "type": "Boom", "message": "it broke"}, retry=ONCE)
    document = write_document(tmp_path, broken)

    done = gql_app("run", document, cwd=tmp_path)

    assert (done.code, done.out) == (1, "")
    assert done.lines[-2].endswith(" is FAILED because of broken")
    assert done.lines[-1] == "  broken: Boom: it broke (MAXIMUM_ATTEMPTS_REACHED after 1 attempt)"
    assert done.err.count("it broke") == 2


def test_an_invalid_document_is_refused_with_every_problem(tmp_path: Path) -> None:
    document = write_document(
        tmp_path, node("a", "ecko"), node("a", "echo", {"value": "${ nodes.zz.output }"}), timeoutSeconds="1"
    )

    done = gql_app("run", document, cwd=tmp_path)

    assert (done.code, done.out) == (2, "")
    assert {line.partition(":")[0] for line in done.err.splitlines() if not line.startswith(" ")} == {
        "UNKNOWN_TOOL at /nodes/0/tool",
        "DUPLICATE_NODE at /nodes/1/id",
        "UNKNOWN_NODE at /nodes/1/input/value",
        "INVALID_FIELD at /timeoutSeconds",
    }
    assert "Did you mean `echo`?" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["missing.json"], 2, "missing.json: No such file or directory"),
        (["test.json", "--input", "{"], 2, "--input:1: this is not JSON"),
        (["test.json", "--tools", "no_such_module"], 1, "no module 'no_such_module'"),
        (["test.json", "--tools", "broken_module"], 1, "ZeroDivisionError"),
    ],
)
def test_what_is_wrong_with_a_command_is_told_in_one_line(
    tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    write_document(tmp_path, node("a", "echo"))
    (tmp_path / "broken_module.py").write_text("1 / 0\n")

    done = gql_app("run", *arguments, cwd=tmp_path)

    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("gql-app: ")
    assert told in done.err
    assert len(done.err.splitlines()) == 1


def test_a_setting_that_is_not_valid_is_named(tmp_path: Path) -> None:
    document = write_document(tmp_path, node("a", "echo"))

    done = gql_app("run", document, cwd=tmp_path, GQL_APP_MAXIMUM_NODES="many")

    assert done.code == 2
    assert done.err.startswith("gql-app: GQL_APP_MAXIMUM_NODES is 'many': ")


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    document = write_document(tmp_path, node("a", "echo"), node("b", "echo"))

    done = gql_app("run", document, cwd=tmp_path, GQL_APP_MAXIMUM_NODES="1")

    assert done.code == 2
    assert "LIMIT_EXCEEDED at /nodes" in done.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_tools_and_the_run(tmp_path: Path, number: signal.Signals, code: int) -> None:
    document = write_document(tmp_path, node("a", "patient"), node("b", "echo", dependsOn=["a"]))

    with started("run", document, "--tools", write_tools(tmp_path), cwd=tmp_path) as process:
        read_until(process, "patient waits")
        process.send_signal(number)
        out, err = process.communicate(timeout=LONGEST_WAIT)

    assert (process.returncode, out) == (code, "")
    assert "patient was cancelled" in err
    assert err.splitlines()[-1].endswith(" is CANCELLED: Interrupted.")


def test_a_second_signal_leaves_at_once(tmp_path: Path) -> None:
    document = write_document(tmp_path, node("a", "deaf"))
    tools = write_tools(tmp_path)

    with started("run", document, "--tools", tools, cwd=tmp_path, GQL_APP_STOP_GRACE_SECONDS="3600") as process:
        read_until(process, "deaf waits")
        process.send_signal(signal.SIGINT)
        read_until(process, "once more leaves at once")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LONGEST_WAIT)

    assert (process.returncode, out) == (130, "")
    assert "CANCELLED" not in err


@pytest.mark.parametrize("tool", ["deaf", "stuck", "pooled"])
def test_a_tool_that_cannot_be_stopped_does_not_keep_the_command_from_ending(tmp_path: Path, tool: str) -> None:
    document = write_document(tmp_path, node("a", tool, timeout={"attemptSeconds": 0.05}, retry=ONCE))

    done = gql_app("run", document, "--tools", write_tools(tmp_path), cwd=tmp_path)

    assert done.code == 1
    assert "AttemptTimeout" in done.err


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    document = write_document(tmp_path, node("a", "echo", {"value": "x" * 200_000}))

    with started("run", document, cwd=tmp_path) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=LONGEST_WAIT)

    assert process.returncode == 141
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


def run_on_a_terminal(directory: Path, document: str, **settings: str) -> tuple[int, str, str]:
    """Run a document with a terminal for what is told; tell the exit code, the output and what the terminal got."""
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        command("run", document),
        cwd=directory,
        env=environment(**{"TERM": "xterm", "COLUMNS": "100", "LINES": "12", **settings}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        shown = b""
        try:
            while data := os.read(controller, 65_536):
                shown += data
        except OSError:
            pass  # This is how a terminal ends.
        out, _ = process.communicate(timeout=LONGEST_WAIT)
    os.close(controller)
    return process.returncode, out.decode(), shown.decode()


def test_a_terminal_shows_a_line_per_node_that_changes(tmp_path: Path) -> None:
    document = write_document(tmp_path, node("first", "echo"), node("second", "echo", dependsOn=["first"]))

    code, out, shown = run_on_a_terminal(tmp_path, document)

    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).replace("\r", "").splitlines()[-3:]
    assert (code, json.loads(out)) == (0, {"second": None})
    assert [line.split()[:3] for line in last] == [
        ["test", "COMPLETED", "2/2"],
        ["first", "COMPLETED", "1/3"],
        ["second", "COMPLETED", "1/3"],
    ]
    assert "\x1b[32m" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_a_terminal_of_people_who_want_no_colour_shows_none(tmp_path: Path) -> None:
    document = write_document(tmp_path, node("first", "echo"))

    _, _, shown = run_on_a_terminal(tmp_path, document, NO_COLOR="1")

    assert "COMPLETED" in shown
    assert re.search(r"\x1b\[[0-9;]*3[0-7]", shown) is None


def test_a_dumb_terminal_gets_plain_lines(tmp_path: Path) -> None:
    document = write_document(tmp_path, node("first", "echo"))

    _, _, shown = run_on_a_terminal(tmp_path, document, TERM="dumb")

    assert "first             completed (attempt 1)" in shown
    assert "\x1b" not in shown
