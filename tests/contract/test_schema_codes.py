"""Clients are told every code that an error may have."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.requirements import REPOSITORY

PACKAGE = REPOSITORY / "gql_app"
ELSEWHERE = {"schema/enums.py": "values of enums"}
NO_CODES = {"NOT_READY": "of REST alone", "OPTIONS": "a method", "DELETE": "a method"}

WRITTEN_AS_CODES = re.compile(r"(?!GQL_APP_)[A-Z]+(_[A-Z]+)+|[A-Z]{6,}|TIMEOUT")


def test_the_readme_of_the_schema_tells_every_code_and_no_other() -> None:
    readme = (REPOSITORY / "schema" / "README.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (`[A-Z_]+`(?: · `[A-Z_]+`)*) \|", readme, re.MULTILINE)
    told = {code for row in table for code in re.findall(r"[A-Z_]+", row)}

    assert told == set(codes()), "tell it in the table of codes in schema/README.md"


def codes() -> Iterator[str]:
    """Find what is written in the code as codes are: in capitals."""
    for path in sorted([*PACKAGE.glob("schema/**/*.py"), *PACKAGE.glob("web/**/*.py")]):
        if path.relative_to(PACKAGE).as_posix() not in ELSEWHERE:
            yield from _capitals(path)


def _capitals(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and text not in NO_CODES and WRITTEN_AS_CODES.fullmatch(text):
            yield text
