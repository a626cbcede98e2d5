"""What is written: results to the standard output, everything about them to the standard error."""

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from gql_app.core.values import Json

_ESCAPED: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {9: " ", 10: " ", 13: " "}


def say(text: str = "") -> None:
    """Write a line of the result."""
    sys.stdout.write(f"{text}\n")


def tell(text: str) -> None:
    """Write a line about what is going on, at once."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def clean(text: str, longest: int = 500) -> str:
    """Make one line of a text that somebody else wrote, without anything that a terminal would obey."""
    line = " ".join(text.split("\n")).strip().translate(_ESCAPED)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def to_json(value: Json, stream: TextIO | None = None) -> str:
    """Write a value as JSON that people can read, in what the stream can take."""
    encoding = (stream or sys.stdout).encoding or "ascii"
    return json.dumps(value, indent=2, ensure_ascii=not encoding.lower().startswith("utf"), allow_nan=False)


def be_lenient() -> None:
    """Let characters that a stream cannot take be written as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def reserved_stdout() -> Iterator[TextIO]:
    """Keep the standard output for the result: give it, and send whatever else is written there to standard error.

    That holds for prints, and for what libraries and child processes write.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    try:
        with os.fdopen(os.dup(kept), "w", encoding=sys.stdout.encoding, errors="backslashreplace") as result:
            yield result
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
