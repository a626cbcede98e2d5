"""What the wheel promises to those who install it."""

import subprocess
import sys
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

from tests.support.requirements import REPOSITORY


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    [built] = directory.glob("*.whl")
    return built


def test_the_wheel_holds_one_import_package_and_nothing_else(wheel: Path) -> None:
    top_level = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}

    assert top_level == {"gql_app", f"gql_app-{project_version()}.dist-info"}


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    files = {path for path in (REPOSITORY / "gql_app").rglob("*") if path.is_file() and path.suffix != ".pyc"}

    missing = {path.relative_to(REPOSITORY).as_posix() for path in files} - set(zipfile.ZipFile(wheel).namelist())

    assert REPOSITORY / "gql_app/py.typed" in files
    assert missing == set()


def test_the_wheel_names_its_licence_and_its_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        information = f"gql_app-{project_version()}.dist-info"
        metadata = HeaderParser().parsestr(archive.read(f"{information}/METADATA").decode())
        entry_points = archive.read(f"{information}/entry_points.txt").decode()

    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "gql-app = gql_app.cli.main:main" in entry_points


def project_version() -> str:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert isinstance(version, str)
    return version
