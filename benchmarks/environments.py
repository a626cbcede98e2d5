"""Environments of what we are compared with: each of its own, with exactly the versions that are named."""

import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

from benchmarks.figure import CannotMeasureError

DIRECTORY: Final = Path(__file__).resolve().parent
INSTALL_SECONDS: Final = 300


def prepare(name: str) -> Path:
    """Make the environment of `NAME_requirements.txt`, unless it is there; tell its Python.

    Raises `CannotMeasureError`.
    """
    environment, requirements = DIRECTORY / ".environments" / name, DIRECTORY / f"{name}_requirements.txt"
    python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    installed, required = environment / "installed.txt", requirements.read_text()
    if installed.is_file() and installed.read_text() == required:
        return python
    print(f"  making an environment with {name} …", file=sys.stderr, flush=True)
    venv.create(environment, clear=True, with_pip=True)
    install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "-r", str(requirements)]
    try:
        subprocess.run(install, check=True, timeout=INSTALL_SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise CannotMeasureError(f"{name} cannot be installed: {error}") from None
    installed.write_text(required)
    return python
