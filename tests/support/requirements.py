"""What a test needs of the machine: it is skipped where that is missing, or fails where everything is required."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

_CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def require_chromium() -> Path:
    """Give the browser to drive: `GQL_APP_CHROMIUM`, or the first Chromium on the path."""
    named = os.environ.get("GQL_APP_CHROMIUM")
    if named is not None and not Path(named).is_file():
        pytest.fail(f"GQL_APP_CHROMIUM names {named!r}, which is not a file.")
    found = named or _first_on_path(*_CHROMIUM_NAMES)
    return Path(found) if found else _missing("Chromium is not installed; on Debian: apt-get install chromium")


def require_node() -> Path:
    """Give the Node.js to run scripts with."""
    found = _first_on_path("node", "nodejs")
    return Path(found) if found else _missing("Node.js is not installed; on Debian: apt-get install nodejs npm")


def require_npm() -> Path:
    """Give what runs the scripts of package.json."""
    require_node()
    found = _first_on_path("npm")
    return Path(found) if found else _missing("npm is not installed; on Debian: apt-get install npm")


def require_node_package(name: str) -> Path:
    """Give the directory of a package that package.json names. Its caller needs Node.js too."""
    package = REPOSITORY / "node_modules" / name
    if not (package / "package.json").is_file():
        _missing(f"The Node.js package {name!r} is not installed; run: npm ci")
    return package


def require_curl() -> Path:
    """Give the `curl` that the README's commands are run with."""
    found = _first_on_path("curl")
    return Path(found) if found else _missing("curl is not installed; on Debian: apt-get install curl")


def require_postgres() -> Path:
    """Give the directory of the programs of a Postgres server: `GQL_APP_POSTGRES`, or where Debian has it."""
    named = os.environ.get("GQL_APP_POSTGRES")
    if named is not None:
        return Path(named)
    if on_path := _first_on_path("initdb"):
        return Path(on_path).resolve().parent
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    newest = max(versions, key=lambda path: int(path.parent.name), default=None)
    return newest or _missing("Postgres is not installed; on Debian: apt-get install postgresql")


def _first_on_path(*names: str) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)


def _missing(reason: str) -> NoReturn:
    """Skip the test, or fail it where `GQL_APP_REQUIRE_ALL=1` says that nothing may be skipped."""
    if os.environ.get("GQL_APP_REQUIRE_ALL") == "1":
        pytest.fail(f"{reason} (GQL_APP_REQUIRE_ALL=1 turns skips into failures)")
    pytest.skip(reason)
