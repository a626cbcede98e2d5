"""The tool `subprocess.run` with real programs: what it hands them, what it takes of them, and how it ends them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import uvloop

from gql_app import ToolError
from gql_app.core.errors import InvalidInputError, InvalidToolError
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.run import AttemptStatus, RunStatus
from gql_app.core.signals import CancelRequested
from gql_app.core.spec import TimeoutPolicy
from gql_app.core.values import Json
from gql_app.sandbox.sandbox import Sandbox
from gql_app.settings import Settings
from gql_app.tools.builtin import builtin_tools
from gql_app.tools.subprocess_run import SubprocessRun
from tests.support.builders import ONCE, node
from tests.support.engine import engine, node_of
from tests.support.processes import children, ends
from tests.support.requirements import REPOSITORY
from tests.support.server import LONGEST_WAIT
from tests.support.tools import CONTEXT

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux finds every process that a program has started"),
]

STUBBORN = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
print(os.getpid(), flush=True)
while True:
    signal.pause()
"""
"""Three processes that ignore SIGTERM, each in a session of its own; each tells its id."""


class Shown:
    """What was streamed, and whoever waits for enough of it."""

    def __init__(self) -> None:
        self.text = ""
        self.beats = 0
        self._more = asyncio.Event()

    def emit(self, text: str) -> None:
        self.text += text
        self._more.set()

    def log(self, *rest: Json) -> None:
        raise AssertionError(rest)

    progress = use = log

    def beat(self) -> None:
        self.beats += 1

    async def lines(self, count: int) -> Sequence[str]:
        async with asyncio.timeout(LONGEST_WAIT):
            while self.text.count("\n") < count:
                self._more.clear()
                await self._more.wait()
        return self.text.splitlines()


def python(**settings: Json) -> SubprocessRun:
    return SubprocessRun(Settings(subprocess_allowed=(sys.executable,), **settings))


def code(text: str, *arguments: str, **options: Json) -> Json:
    return {"program": sys.executable, "arguments": ["-c", text, *arguments], **options}


async def perform(tool: SubprocessRun, request: Json, shown: Shown | None = None) -> Json:
    context = CONTEXT if shown is None else msgspec.structs.replace(CONTEXT, reports=shown, heartbeat=shown.beat)
    return await tool.call(tool.parse(request), context)


async def failure(tool: SubprocessRun, request: Json) -> ToolError:
    with pytest.raises(ToolError) as caught:
        await perform(tool, request)
    return caught.value


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let new directories be made where no other test makes any."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))


def leftovers() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("gql-app-*"))


# What a program is handed, and what it gives


async def test_a_program_is_handed_its_arguments_as_they_are() -> None:
    arguments = ["; rm -rf /", "$(id)", "`id`", "a b", "", "'\"", "*", "--", "ü\n"]

    result = await perform(python(), code("import json, sys; print(json.dumps(sys.argv[1:]))", *arguments))

    assert json.loads(result["stdout"]) == arguments
    assert (result["exitCode"], result["stderr"], result["truncated"], result["replaced"]) == (0, "", False, False)


async def test_a_program_knows_nothing_of_our_environment_and_has_a_directory_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GQL_APP_SECRET_TOKEN", "s3cr3t")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    program = "import json, os; print(json.dumps([dict(os.environ), os.getcwd(), os.listdir()]))"

    result = await perform(python(), code(program, environment={"TOPIC": "graphql", "LANG": "C"}))

    environment, directory, listed = json.loads(result["stdout"])
    environment.pop("LC_CTYPE", None)  # Python's own doing
    assert set(environment) == {"PATH", "LANG", "HOME", "TMPDIR", "TOPIC"}
    assert (environment["LANG"], environment["TOPIC"]) == ("C", "graphql")
    assert environment["HOME"] == environment["TMPDIR"] == directory
    assert listed == leftovers() == []


async def test_a_program_has_no_file_open_but_its_three() -> None:
    program = "import os; print([f for f in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{f}')])"

    result = await perform(python(), code(program))

    assert result["stdout"] == "['0', '1', '2']\n"


async def test_a_program_may_read_more_than_a_pipe_holds_and_write_meanwhile() -> None:
    text = "0123456789abcde\n" * 60_000
    program = "import sys\nfor line in sys.stdin: sys.stdout.write(line)"

    result = await perform(python(subprocess_output_bytes=1 << 20), code(program, input=text))

    assert result["stdout"] == text


@pytest.mark.parametrize("program", ["pass", "import os; os.close(0)", "import sys; sys.stdin.read(10)"])
async def test_a_program_need_not_read_what_it_is_handed(program: str) -> None:
    result = await perform(python(), code(program, input="x" * 1_000_000))

    assert result["exitCode"] == 0


async def test_what_is_not_utf8_is_replaced_and_that_is_said() -> None:
    result = await perform(python(), code(r"import sys; sys.stdout.buffer.write(b'a\xff\xc3\xbcb\xe2\x82')"))

    assert result["stdout"] == "a\ufffdüb\ufffd"
    assert result["replaced"]


async def test_what_is_streamed_is_what_comes_out_and_every_piece_is_a_sign_of_life() -> None:
    shown = Shown()

    result = await perform(python(), code("for n in range(3): print(n, flush=True)"), shown)

    assert shown.text == result["stdout"] == "0\n1\n2\n"
    assert shown.beats > 0


async def test_a_character_that_comes_in_pieces_is_streamed_whole() -> None:
    shown = Shown()
    program = r"import os; os.write(1, b'\xe2\x82'); os.fsync; os.write(2, b'.'); os.write(1, b'\xac')"

    result = await perform(python(), code(program), shown)

    assert shown.text == result["stdout"] == "€"


# How it fails


async def test_an_exit_code_that_is_not_expected_is_a_failure_that_may_be_retried() -> None:
    request = code("import sys; print('out'); sys.exit('first\\nIt is broken.')")

    error = await failure(python(), request)

    assert (error.type, error.retryable) == ("ProcessFailed", True)
    assert str(error) == f"{Path(sys.executable).name} exited with 1: It is broken."


async def test_exit_codes_can_be_expected() -> None:
    tool = python()

    result = await perform(tool, code("raise SystemExit(3)", expectedExitCodes=[0, 3]))

    assert result["exitCode"] == 3
    assert (await failure(tool, code("pass", expectedExitCodes=[3]))).type == "ProcessFailed"


async def test_a_program_that_a_signal_ended_says_which() -> None:
    error = await failure(python(), code("import os; os.kill(os.getpid(), 11)", expectedExitCodes=[11]))

    assert str(error) == f"{Path(sys.executable).name} was ended by SIGSEGV."


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_a_program_that_floods_us_is_ended(stream: str) -> None:
    program = f"import sys\nwhile True: sys.{stream}.write('x' * 1000)"

    error = await failure(python(subprocess_output_bytes=10_000), code(program))

    assert (error.type, error.retryable) == ("ProcessOutputTooLarge", False)
    assert "more than 10000 bytes" in str(error)


async def test_the_beginning_of_a_large_output_can_be_taken() -> None:
    program = "import sys; sys.stdout.write('ü' * 100_000); sys.stdout.flush(); sys.stderr.write('e')"
    shown = Shown()

    result = await perform(python(subprocess_output_bytes=10_001), code(program, truncateOutput=True), shown)

    assert result["truncated"]
    assert not result["replaced"]
    assert result["stdout"] == shown.text == "ü" * 5_000


async def test_a_program_that_takes_too_much_memory_gets_none() -> None:
    program = "x = bytearray(1 << 30)"

    error = await failure(python(subprocess_memory_bytes=512 << 20), code(program))

    assert error.type == "ProcessFailed"
    assert str(error).endswith("exited with 1: MemoryError")


@pytest.mark.parametrize("program", ["bash", "/bin/bash", "python", "../bin/python", ""])
async def test_no_other_program_is_run(program: str) -> None:
    error = await failure(python(), {"program": program, "arguments": ["-c", "pass"]})

    assert isinstance(error, InvalidInputError)
    assert f"{program!r} may not be run here; these may: {sys.executable}." in str(error)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"arguments": ["a\0b"]}, "NUL"),
        ({"environment": {"A": "s3cr3t\0"}}, "the value of 'A' has a NUL character"),
        ({"environment": {"A B": "s3cr3t"}}, "'A B' is not the name of a variable"),
        ({"environment": {"LD_PRELOAD": "s3cr3t"}}, "'LD_PRELOAD' cannot be set: it decides which code is run"),
        ({"environment": {"PATH": "s3cr3t"}}, "'PATH' cannot be set"),
        ({"expectedExitCodes": [256]}, "expectedExitCodes"),
        ({"shell": True}, "shell"),
    ],
)
def test_an_input_that_cannot_be_meant_is_refused_without_telling_values(options: Json, told: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        python().parse({"program": sys.executable, **options})

    assert told in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


async def test_arguments_that_no_program_can_take_are_an_invalid_input() -> None:
    error = await failure(python(), code("pass", "x" * 3_000_000))

    assert isinstance(error, InvalidInputError)


async def test_a_program_that_has_gone_since_the_start_cannot_be_started(tmp_path: Path) -> None:
    program = tmp_path / "tool"
    program.symlink_to(sys.executable)
    tool = SubprocessRun(Settings(subprocess_allowed=(str(program),)))
    program.unlink()

    error = await failure(tool, {"program": str(program)})

    assert (error.type, error.retryable) == ("ProcessNotStarted", False)
    assert "No such file or directory" in str(error)
    assert leftovers() == []


# Where it may be run


async def test_a_program_runs_below_the_directories_that_are_set(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in" / "deep", tmp_path / "out"
    inside.mkdir(parents=True)
    outside.mkdir()
    (inside / "escape").symlink_to(outside)
    tool, where = python(subprocess_directories=(str(tmp_path / "in"),)), "import os; print(os.getcwd())"

    result = await perform(tool, code(where, workingDirectory=str(inside)))

    assert result["stdout"] == f"{inside}\n"
    assert inside.exists()
    for name in (outside, inside / ".." / ".." / "out", inside / "escape", inside / "no such", "deep"):
        assert isinstance(await failure(tool, code(where, workingDirectory=str(name))), InvalidInputError)


async def test_without_directories_there_are_only_new_ones() -> None:
    error = await failure(python(), code("pass", workingDirectory="/tmp"))

    assert "GQL_APP_SUBPROCESS_DIRECTORIES names (none is set)" in str(error)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"subprocess_allowed": ("no such program",)}, "'no such program', which is not in the PATH"),
        ({"subprocess_allowed": ("/etc/passwd",)}, "'/etc/passwd', which is not a program that can be run"),
        ({"subprocess_allowed": ("bin/sh",)}, "'bin/sh': write an absolute path"),
        ({"subprocess_allowed": ("sh",), "subprocess_directories": ("tmp",)}, "'tmp', which is not the absolute path"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_at_the_start(settings: Json, told: str) -> None:
    with pytest.raises(InvalidToolError, match=told):
        SubprocessRun(Settings(**settings))


def test_the_tool_is_there_only_where_it_may_run_something() -> None:
    def names(**settings: Json) -> list[str]:
        made = Settings(**settings)
        return [tool.definition.name for tool in builtin_tools(made, Sandbox(made))]

    assert "subprocess.run" not in names()
    assert "subprocess.run" in names(subprocess_allowed=("sh",))


def test_the_schema_tells_which_programs_there_are() -> None:
    definition = SubprocessRun(Settings(subprocess_allowed=("sh", sys.executable))).definition

    assert set(definition.input_schema["properties"]["program"]["enum"]) >= {"sh", sys.executable}


# How it is ended


async def ended_in(tool: SubprocessRun, program: str, count: int) -> list[int]:
    """Cancel a call once its program has told so many ids of processes; give the ids."""
    shown = Shown()
    call = asyncio.ensure_future(perform(tool, code(program), shown))
    pids = [int(line) for line in await shown.lines(count)]
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    return pids


async def test_everything_that_a_program_started_is_ended_with_it_even_if_it_ignores_sigterm() -> None:
    before = children()

    pids = await ended_in(python(subprocess_grace_seconds=0.1), STUBBORN, 3)

    assert len(set(pids)) == 3
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert children() == before
    assert leftovers() == []


async def test_a_program_that_starts_many_others_is_ended_with_all_of_them() -> None:
    before, program = (
        children(),
        "import os, signal\nfor _ in range(7): os.fork()\nprint(os.getpid(), flush=True); signal.pause()",
    )

    pids = await ended_in(python(subprocess_grace_seconds=60.0), program, 128)

    assert len(set(pids)) == 128
    assert children() == before
    assert all(ends(pid) for pid in pids)


async def test_a_program_that_is_asked_to_stop_may_come_to_its_end() -> None:
    with tempfile.NamedTemporaryFile() as note:
        program = f"""
import os, signal, sys
def stop(*_):
    # More than a pipe holds: somebody must still read it.
    for _ in range(100): os.write(1, b"x" * 10_000)
    open({note.name!r}, "w").write("stopped"); sys.exit()
signal.signal(signal.SIGTERM, stop)
os.write(1, b"%d\\n" % os.getpid())
while True: signal.pause()
"""

        await ended_in(python(subprocess_grace_seconds=60.0), program, 1)

        assert note.read() == b"stopped"


async def test_what_a_program_leaves_running_when_it_ends_is_ended() -> None:
    program = """
import os, signal
if os.fork() == 0:
    os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.getpid(), flush=True)
    while True: signal.pause()
os.read(0, 1)
"""

    result = await perform(python(), code(program, input="go"))

    # It ended maybe before its child could tell; in any case nobody holds its output open, and nobody is there.
    for pid in map(int, result["stdout"].split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_supervisor_that_is_killed_takes_its_program_with_it() -> None:
    before, shown = children(), Shown()
    program = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    call = asyncio.ensure_future(perform(python(), code(program), shown))
    (pid,) = map(int, await shown.lines(1))
    (supervisor,) = set(children()) - set(before)

    os.kill(supervisor, signal.SIGKILL)
    with pytest.raises(ToolError) as caught:
        await call

    assert caught.value.type == "ProcessLost"
    assert ends(pid)


async def test_a_supervisor_that_does_not_answer_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gql_app.tools.subprocess_process.PATIENCE_SECONDS", 0.1)
    before, shown = children(), Shown()
    program = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    call = asyncio.ensure_future(perform(python(subprocess_grace_seconds=0.1), code(program), shown))
    (pid,) = map(int, await shown.lines(1))
    (supervisor,) = set(children()) - set(before)
    os.kill(supervisor, signal.SIGSTOP)

    call.cancel()
    await asyncio.wait([call])

    assert call.cancelled()
    assert ends(pid)
    assert children() == before


def test_everything_dies_with_a_service_that_is_killed() -> None:
    service = """
import asyncio, sys
from tests.integration.test_tool_subprocess import STUBBORN, code, perform, python
class Out:
    def emit(self, text): print(text, end="", flush=True)
async def main():
    out = Out(); out.beat = lambda: None
    await perform(python(), code(STUBBORN), out)
asyncio.run(main())
"""
    command = [sys.executable, "-c", service]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env=os.environ) as process:
        assert process.stdout is not None
        pids = [int(process.stdout.readline()) for _ in range(3)]
        process.kill()

    assert all(ends(pid) for pid in pids)


async def test_calls_leave_no_zombies_behind() -> None:
    before, tool = children(), python()

    await asyncio.gather(*(perform(tool, code("print(1)")) for _ in range(4)))
    await asyncio.gather(*(failure(tool, code("raise SystemExit(1)")) for _ in range(4)))

    assert children() == before
    assert leftovers() == []


def test_it_is_the_same_on_the_loop_that_a_server_has() -> None:
    async def story() -> None:
        before, tool = children(), python(subprocess_grace_seconds=0.1)
        echo = code("import sys; sys.stdout.write(sys.stdin.read())", input="x" * 100_000)

        assert (await perform(tool, echo))["stdout"] == "x" * 100_000
        assert (await failure(tool, code("while True: print('x' * 1000)"))).type == "ProcessOutputTooLarge"
        assert (await failure(tool, code("raise SystemExit(1)", input="x" * 1_000_000))).type == "ProcessFailed"
        pids = await ended_in(tool, STUBBORN, 3)

        assert all(ends(pid) for pid in pids)
        assert children() == before

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())


# In a run


async def test_a_program_that_takes_too_long_is_timed_out_and_ended() -> None:
    async with engine(python(subprocess_grace_seconds=0.1)) as e:
        slow = node(
            "a",
            tool="subprocess.run",
            input=code(STUBBORN),
            retry=ONCE,
            timeout=TimeoutPolicy(attempt_seconds=1.0),
        )
        run = await e.perform(slow)
        await e.no_leftovers()

        assert [attempt.status for attempt in node_of(run, "a").attempts] == [AttemptStatus.TIMED_OUT]
        assert leftovers() == []


async def test_a_run_that_is_cancelled_ends_its_program() -> None:
    before = children()
    async with engine(python(subprocess_grace_seconds=0.1)) as e:
        run_id = await e.submit(node("a", tool="subprocess.run", input=code(STUBBORN)))
        await e.until(run_id, lambda run: node_of(run, "a").streamed_bytes > 0)
        await e.executor.signal(DEFAULT_NAMESPACE, run_id, CancelRequested())
        run = await e.finished(run_id)

        assert run.status is RunStatus.CANCELLED
        assert [attempt.status for attempt in node_of(run, "a").attempts] == [AttemptStatus.CANCELLED]
    assert children() == before


async def test_a_service_that_shuts_down_ends_its_programs() -> None:
    before = children()
    async with engine(python(subprocess_grace_seconds=0.1), shutdown_grace_seconds=0.0) as e:
        run_id = await e.submit(node("a", tool="subprocess.run", input=code(STUBBORN)))
        await e.until(run_id, lambda run: node_of(run, "a").streamed_bytes > 0)

    assert children() == before
    assert leftovers() == []
