"""Reads the examples out of README.md and runs them as a reader would, one after the other in one shell."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SEPARATOR: Final = "\x1e"

_FENCE: Final = re.compile(
    r"^(?:<!-- (?P<note>[^>\n]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_HEREDOC: Final = re.compile(r"<<'(\w+)'$")
# What differs from one time to the next, and what it is compared as.
_VOLATILE: Final = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"gqlapp_[0-9a-f]{12}_[a-z2-7]{52}"), "KEY"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "KEY_ID"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"\b\d\d:\d\d:\d\d\.\d+Z"), "TIME"),
    (re.compile(r"\b\d+\.\d+ s\b"), "SECONDS s"),
    (re.compile(r'"uptime_seconds":[\d.]+'), '"uptime_seconds":SECONDS'),
    (re.compile(r"\bprocess \d+ on \S+"), "process ID on HOST"),
    (re.compile(r"\b\d+(\.\d+)? [KMG]iB\b"), "SIZE"),
    (re.compile(r"\bSQLite \d+(\.\d+)+"), "SQLite VERSION"),
    (re.compile(r"[ \t]+"), " "),
)


@dataclass
class Block:
    """A fenced block: its language, the comment before it, and the line it begins at."""

    language: str
    note: str
    text: str
    line: int
    span: tuple[int, int]


@dataclass
class Command:
    """A command with the output that is shown below it."""

    text: str
    line: int
    output: list[str] = field(default_factory=list)


def blocks(text: str) -> list[Block]:
    """Find all fenced blocks."""
    return [
        Block(
            language=found["language"],
            note=found["note"] or "",
            text=found["text"],
            line=text.count("\n", 0, found.start("text")),
            span=found.span("text"),
        )
        for found in _FENCE.finditer(text)
    ]


def commands(block: Block) -> list[Command]:
    """Read the commands of a `console` block, with heredocs and continued lines."""
    told: list[Command] = []
    lines = iter(enumerate(block.text.splitlines(), start=block.line + 1))
    for number, line in lines:
        if line.startswith("$ "):
            told.append(Command("\n".join([line[2:], *_rest(line, lines)]), number))
        else:
            told[-1].output.append(line)
    return told


def _rest(line: str, lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    """Take the further lines of a command."""
    if found := _HEREDOC.search(line):
        for _, further in lines:
            yield further
            if further == found[1]:
                return
    while line.endswith("\\"):
        _, line = next(lines)
        yield line


def normalised(text: str) -> str:
    """Write what differs from one time to the next as one word."""
    for pattern, word in _VOLATILE:
        text = pattern.sub(word, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def run_in_one_shell(
    commands: Sequence[str], directory: Path, environment: Mapping[str, str], seconds: float
) -> list[str]:
    """Run the commands in one shell and give each one's output, both streams as they come."""
    script = "\n".join(f"{command}\nprintf '{SEPARATOR}'" for command in commands)
    ended = subprocess.run(
        ["bash", "-c", script],
        cwd=directory,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    return ended.stdout.split(SEPARATOR)[:-1]


def pretty(value: object) -> str:
    """Write JSON as GraphiQL does."""
    return json.dumps(value, indent=2, ensure_ascii=False)
