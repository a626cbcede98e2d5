"""The size of modules and functions, which the linter does not measure."""

import ast
from pathlib import Path

from tests.support.requirements import REPOSITORY

LONGEST_MODULE = 300
LONGEST_FUNCTION = 40

# All rules of a run live together.
LONGER_MODULES = {"gql_app/core/machine.py"}


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in modules()}

    too_long = {name: length for name, length in lengths.items() if length > LONGEST_MODULE}

    assert lengths
    assert too_long.keys() <= LONGER_MODULES


def test_no_function_is_longer_than_a_screen() -> None:
    too_long = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length_of(node) > LONGEST_FUNCTION
    ]

    assert too_long == []


def modules() -> list[Path]:
    return sorted((REPOSITORY / "gql_app").rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def length_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1
