"""Reads documents and inputs: JSON or YAML, from files, the standard input or the command line."""

import re
import sys
from pathlib import Path
from typing import Final

import msgspec

from gql_app.cli.failures import CommandError, ExitCode
from gql_app.cli.json_text import parse_json
from gql_app.cli.text_errors import TextError
from gql_app.cli.yaml_text import parse_yaml
from gql_app.core.values import Json

STANDARD_INPUT: Final = "-"
MAXIMUM_BYTES: Final = 64 << 20
"""How much is read of a file."""

_BEGINS_LIKE_JSON: Final = re.compile(r"\s*[\[{\"]")


class DocumentError(CommandError):
    """A file cannot be read, or is neither JSON nor YAML."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.INVALID)


def read_document(path: str) -> Json:
    """Read a document from a file, or `-`. Raises `DocumentError`, which names the file and the line."""
    name = "standard input" if path == STANDARD_INPUT else path
    text = _decode(_read(path, name), name)
    suffix = Path(path).suffix.lower()
    if suffix not in {".json", ".yaml", ".yml"}:
        return parse_document(text, name)
    return _parse(text, name, is_json=suffix == ".json")


def parse_document(text: str, name: str) -> Json:
    """Read a text that looks like JSON as that, and any other as YAML. Raises `DocumentError` with the line."""
    return _parse(text, name, is_json=_BEGINS_LIKE_JSON.match(text) is not None)


def read_input(text: str | None) -> Json:
    """Read the value of `--input`: JSON, or `@` and the name of a file. `UNSET` stands for none."""
    if text is None:
        return msgspec.UNSET
    if text.startswith("@"):
        return read_document(text[1:])
    return _parse(text, "--input", is_json=True)


def _parse(text: str, name: str, *, is_json: bool) -> Json:
    kind = "JSON" if is_json else "YAML"
    try:
        return parse_json(text) if is_json else parse_yaml(text)
    except TextError as error:
        raise DocumentError(f"{name}:{error.line}: {error}") from None
    except RecursionError:
        raise DocumentError(f"{name}: the {kind} is nested too deeply.") from None


def _read(path: str, name: str) -> bytes:
    try:
        if path == STANDARD_INPUT:
            if sys.stdin is None:
                raise DocumentError("standard input: it is closed. Name a file.")
            data = sys.stdin.buffer.read(MAXIMUM_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        raise DocumentError(f"{name}: {error.strerror or error}. Name a file, or - for standard input.") from None
    except ValueError:
        raise DocumentError(f"{name!r} is not the name of a file.") from None
    if len(data) > MAXIMUM_BYTES:
        raise DocumentError(f"{name}: the file has more than {MAXIMUM_BYTES} bytes.")
    return data


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"0x{data[error.start]:02x}"
        raise DocumentError(f"{name}:{line}: the text is not UTF-8: byte {byte} cannot stand there.") from None
