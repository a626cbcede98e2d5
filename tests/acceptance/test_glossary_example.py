"""The example of a tool with a test of its own: it runs in plain pytest, and the README shows it as it is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.readme import Block, blocks
from tests.support.requirements import REPOSITORY

EXAMPLES = REPOSITORY / "examples"
SHOWN = [
    block for block in blocks((REPOSITORY / "README.md").read_text(encoding="utf-8")) if block.note.startswith("from: ")
]


def test_the_tests_of_the_example_pass_without_plug_ins_or_settings_and_without_a_warning(tmp_path: Path) -> None:
    for name in ("glossary.py", "test_glossary.py"):
        shutil.copy(EXAMPLES / name, tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "test_glossary.py"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(REPOSITORY)}

    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.splitlines()[-1].startswith("3 passed")


@pytest.mark.parametrize("block", SHOWN, ids=lambda block: f"line {block.line}")
def test_what_the_readme_shows_of_an_example_stands_in_it(block: Block) -> None:
    path = block.note.removeprefix("from: ")

    assert block.text in (REPOSITORY / path).read_text(encoding="utf-8")


def test_the_readme_shows_the_tool_and_its_tests() -> None:
    assert [block.note for block in SHOWN] == [
        "from: examples/glossary.py",
        "from: examples/test_glossary.py",
        "from: examples/test_glossary.py",
    ]
