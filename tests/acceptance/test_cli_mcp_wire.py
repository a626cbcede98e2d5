"""What `gql-app mcp` does with what is no message, and how it ends."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from gql_app.core.values import Json
from tests.support.cli import command, environment
from tests.support.gate import Gate, gated
from tests.support.server import LONGEST_WAIT, ThreadServer, live_server

NOWHERE = "http://127.0.0.1:1"
HELLO: Json = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "tester", "version": "1"},
}


class Peer:
    """Talks to `gql-app mcp` line by line."""

    def __init__(self, process: "subprocess.Popen[bytes]", stdin: IO[bytes] | None, stdout: IO[bytes] | None) -> None:
        assert stdin is not None
        assert stdout is not None
        assert process.stderr is not None
        self.process = process
        self._in, self._out, self._err = stdin, stdout, process.stderr

    def write(self, *lines: bytes) -> None:
        for line in lines:
            self._in.write(line + b"\n")
        self._in.flush()

    def send(self, method: str, id: int | None = None, **params: Json) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        self.write(json.dumps(message if id is None else {**message, "id": id}).encode())

    def receive(self) -> Json:
        return json.loads(self._out.readline())

    def greet(self) -> None:
        self.send("initialize", 0, **HELLO)
        assert self.receive()["result"]["serverInfo"]["name"] == "gql_app"
        self.send("notifications/initialized")

    def call(self, id: int, tool: str, **arguments: Json) -> None:
        self.send("tools/call", id, name=tool, arguments=arguments)

    def close(self) -> None:
        self._in.close()

    def stop_reading(self) -> None:
        self._out.close()

    def end(self) -> tuple[int, list[Json], str]:
        """Wait for the end: the exit code, what else was answered, and what was complained about."""
        rest = [] if self._out.closed else [json.loads(line) for line in self._out.read().splitlines()]
        complaints = self._err.read().decode()
        return self.process.wait(LONGEST_WAIT), rest, complaints


@contextmanager
def peer(directory: Path, url: str = NOWHERE, *, redirection: str = "", blocking: bool = True) -> Iterator[Peer]:
    """Start it, with or without pipes that block, and with what a shell may do to its streams."""
    source, into = os.pipe()
    out, sink = os.pipe()
    os.set_blocking(source, blocking)
    os.set_blocking(sink, blocking)
    kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    with (
        os.fdopen(into, "wb") as stdin,
        os.fdopen(out, "rb") as stdout,
        subprocess.Popen(
            ["sh", "-c", f'exec "$@" {redirection}', "sh", *command("mcp", "--url", url)],
            cwd=directory,
            env={**environment(), **kept},
            stdin=source,
            stdout=sink,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        os.close(source)
        os.close(sink)
        try:
            yield Peer(process, stdin, stdout)
        finally:
            process.kill()


@pytest.fixture
def gate() -> Iterator[Gate]:
    with Gate() as gate:
        yield gate


@pytest.fixture
def server(gate: Gate) -> Iterator[ThreadServer]:
    with live_server(tools=[gate.tool]) as running:
        yield running
        gate.open()


def watch(peer: Peer, id: int) -> str:
    """Have a run watched that does not end, and wait until it is."""
    peer.call(id, "submit_workflow", document={"name": "waits", "nodes": [gated()]})
    run_id = str(peer.receive()["result"]["structuredContent"]["workflow"]["id"])
    arguments = {"id": run_id, "after": 0, "seconds": 300}
    peer.send("tools/call", id + 1, name="watch_workflow", arguments=arguments, _meta={"progressToken": "p"})
    assert peer.receive()["method"] == "notifications/progress"
    return run_id


GARBAGE = [
    (b"garbage", None, -32700),
    (b"\xff\xfe\x00", None, -32700),
    (b'{"jsonrpc": "2.0", "id": 7, "method": 5}', 7, -32600),
    (b'{"id": "x"}', "x", -32600),
    (b"[]", None, -32600),
    (b"17", None, -32600),
    (b"[" * 100_000, None, -32700),
]


def test_what_is_no_message_is_refused_and_the_next_one_is_answered(tmp_path: Path) -> None:
    with peer(tmp_path) as talker:
        talker.greet()
        refused = []
        for line, _, _ in GARBAGE:
            talker.write(b"", line)
            refused.append(talker.receive())
        talker.write(b"x" * (17 << 20))
        too_long = talker.receive()
        talker.send("ping", 1)
        answered = talker.receive()
        talker.close()
        code, rest, complaints = talker.end()

    assert [(told["id"], told["error"]["code"]) for told in refused] == [(asked, error) for _, asked, error in GARBAGE]
    assert "at most 16777216 bytes" in too_long["error"]["message"]
    assert answered["result"] == {}
    assert (code, rest) == (0, [])
    assert complaints.count("passed over") == len(GARBAGE) + 1
    assert "Traceback" not in complaints


@pytest.mark.parametrize(
    ("method", "params"),
    [("unicorns/list", {}), ("tools/call", {"name": "submit_workflow", "arguments": []}), ("tools/call", {})],
)
def test_a_request_that_is_wrong_is_an_error_of_the_protocol(tmp_path: Path, method: str, params: Json) -> None:
    with peer(tmp_path) as talker:
        talker.greet()
        talker.send(method, 1, **params)
        told = talker.receive()
        talker.send("ping", 2)
        answered = talker.receive()

    assert told["error"]["code"] in {-32601, -32602}
    assert answered["id"] == 2


def test_a_number_that_is_none_is_refused_and_does_no_harm(server: ThreadServer, tmp_path: Path) -> None:
    with peer(tmp_path, server.url) as talker:
        talker.greet()
        document = {"name": "a", "nodes": [{"id": "a", "tool": "echo", "input": {"value": float("nan")}}]}
        talker.call(1, "submit_workflow", document=document)
        told = talker.receive()

    assert told["result"]["isError"]
    assert "/nodes/0/input/value" in told["result"]["content"][0]["text"]


def test_the_end_of_the_input_ends_it_once_quick_calls_are_answered(server: ThreadServer, tmp_path: Path) -> None:
    with peer(tmp_path, server.url) as talker:
        talker.greet()
        talker.call(1, "list_tools")
        talker.close()
        code, rest, complaints = talker.end()

    assert (code, complaints) == (0, "")
    assert [told["id"] for told in rest] == [1]


def test_the_end_of_the_input_ends_a_watch_and_not_the_run(server: ThreadServer, tmp_path: Path) -> None:
    with peer(tmp_path, server.url) as talker:
        talker.greet()
        run_id = watch(talker, 1)
        talker.close()
        code, _, complaints = talker.end()

    assert (code, complaints) == (0, "")
    status = server.execute("query ($id: ID!) { workflow(id: $id) { status } }", id=run_id)
    assert status == {"workflow": {"status": "RUNNING"}}


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("busy", [False, True], ids=["waiting", "watching"])
def test_a_signal_ends_it_quietly(
    server: ThreadServer, tmp_path: Path, number: signal.Signals, expected: int, busy: bool
) -> None:
    with peer(tmp_path, server.url) as talker:
        talker.greet()
        if busy:
            watch(talker, 1)
        talker.process.send_signal(number)
        code, _, complaints = talker.end()

    assert (code, complaints) == (expected, "")


def test_who_does_not_read_ends_it_quietly(tmp_path: Path) -> None:
    with peer(tmp_path) as talker:
        talker.greet()
        talker.stop_reading()
        talker.send("ping", 1)
        code, _, complaints = talker.end()

    assert (code, complaints) == (141, "")


def test_messages_may_come_from_a_file(tmp_path: Path) -> None:
    messages = tmp_path / "messages"
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO}
    messages.write_text(json.dumps(hello))

    with messages.open() as file:
        done = subprocess.run(
            command("mcp"), stdin=file, capture_output=True, timeout=LONGEST_WAIT, check=False, cwd=Path.cwd()
        )

    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["result"]["serverInfo"]["name"] == "gql_app"


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_a_stream_that_is_closed_from_the_beginning_is_told(tmp_path: Path, closed: str) -> None:
    with peer(tmp_path, redirection=closed) as talker:
        code, _, complaints = talker.end()

    assert code == 1
    assert complaints == ("gql-app: The assistant talks over standard input and output, and one of them is closed.\n")


def test_streams_that_do_not_block_are_waited_for(tmp_path: Path) -> None:
    with peer(tmp_path, blocking=False) as talker:
        talker.greet()
        for number in range(1, 21):
            talker.send("tools/list", number)
        told = [talker.receive()["id"] for _ in range(20)]
        talker.close()
        code, _, complaints = talker.end()

    assert sorted(told) == list(range(1, 21))
    assert (code, complaints) == (0, "")


def test_a_person_who_starts_it_is_told_what_it_waits_for(tmp_path: Path) -> None:
    keyboard, terminal = pty.openpty()
    with subprocess.Popen(
        command("mcp", "--url", NOWHERE), cwd=tmp_path, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        hint = process.stderr.readline().decode()
        os.write(keyboard, b"help\n")
        passed_over = process.stderr.readline().decode()
        process.send_signal(signal.SIGINT)
        code = process.wait(LONGEST_WAIT)
    os.close(keyboard)
    os.close(terminal)

    assert f"waits for an assistant that speaks MCP to it, about {NOWHERE}. Ctrl-C ends it." in hint
    assert "passed over" in passed_over
    assert code == 130


def test_an_address_that_is_none_is_told_at_once(tmp_path: Path) -> None:
    with peer(tmp_path, "nonsense") as talker:
        code, rest, complaints = talker.end()

    assert (code, rest) == (2, [])
    assert "See --url and --token" in complaints


@pytest.mark.parametrize("missing", ["mcp", "mcp_types"])
def test_what_is_not_installed_is_told_with_the_command_that_installs_it(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; from gql_app.cli.main import main; sys.exit(main(['mcp']))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "gql-app: gql-app mcp needs what is not installed: pip install 'gql-app[mcp]'.\n"
