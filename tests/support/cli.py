"""The command line in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gql_app.core.values import Json

LONGEST_WAIT = 60.0
"""Nothing here takes long; a wait that ends here is a failure, however slow the machine."""

TOOLS = '''
"""Tools that behave badly."""

import asyncio
import subprocess
import sys
import time

from gql_app import tool


@tool
async def loud(text: str) -> str:
    """Write to the standard output in every way there is."""
    print(f"print {text}")
    subprocess.run([sys.executable, "-c", f"print('child {text}')"], check=True)
    return text


@tool
async def patient() -> None:
    """Wait until it is cancelled, and say so."""
    print("patient waits")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        print("patient was cancelled")
        raise


@tool
async def deaf() -> None:
    """Swallow every cancellation."""
    print("deaf waits")
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass


@tool
def stuck() -> None:
    """Occupy a thread that nobody can stop."""
    time.sleep(3600)


@tool
async def pooled() -> None:
    """Occupy a thread of the loop's own pool."""
    await asyncio.to_thread(time.sleep, 3600)
'''


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def output(self) -> Json:
        """What it wrote as JSON."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """What it told, without the times."""
        return [line.partition("Z  ")[2] or line for line in self.err.splitlines()]


def environment(**settings: str) -> dict[str, str]:
    """Give the environment without what it says about the product."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GQL_APP_", "PYTHON"))}
    return {**kept, **settings}


def command(*arguments: str) -> list[str]:
    """Give the words that start the command line."""
    return [sys.executable, "-m", "gql_app", *arguments]


def gql_app(*arguments: str, cwd: Path, stdin: str | bytes = b"", **settings: str) -> Finished:
    """Carry out a command to its end."""
    done = subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(**settings),
        input=stdin if isinstance(stdin, bytes) else stdin.encode(),
        capture_output=True,
        timeout=LONGEST_WAIT,
        check=False,
    )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


@contextmanager
def started(*arguments: str, cwd: Path, **settings: str) -> Iterator["subprocess.Popen[str]"]:
    """Start a command; it does not outlive the block."""
    with subprocess.Popen(
        command(*arguments),
        cwd=cwd,
        env=environment(**settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    """Read what a command tells up to a line that has this text."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"It ended without telling {text!r}: {''.join(lines)!r}")


def write_document(directory: Path, *nodes: Json, name: str = "test.json", **fields: Json) -> str:
    """Write a document and tell its name."""
    (directory / name).write_text(json.dumps({"name": "test", "nodes": nodes, **fields}))
    return name


def write_tools(directory: Path) -> str:
    """Write a module of tools and tell its name."""
    (directory / "bad_tools.py").write_text(TOOLS)
    return "bad_tools"


def node(name: str, tool: str, input: Json = None, **fields: Json) -> Json:
    """Write a node of a document."""
    return {"id": name, "tool": tool, "input": input or {}, **fields}
