"""Installed packages: their metadata and their modules, in a directory that is on the path for one test."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


class Packages:
    """A directory as `pip install --target` would leave it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def install(self, name: str, entries: Mapping[str, str], **modules: str) -> None:
        """Install a package that names `entries` in the group `gql_app.tools`; `modules` are its files."""
        metadata = self.directory / f"{name.replace('-', '_')}-1.2.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.2\n")
        lines = [f"{key} = {value}" for key, value in entries.items()]
        (metadata / "entry_points.txt").write_text("\n".join(["[gql_app.tools]", *lines, ""]))
        for module, source in modules.items():
            (self.directory / f"{module}.py").write_text(f"from gql_app import tool\n{source}")
        importlib.invalidate_caches()


@contextmanager
def installed_packages(directory: Path) -> Iterator[Packages]:
    """Put a directory on the path, and forget in the end what was imported from it."""
    known = set(sys.modules)
    sys.path.insert(0, str(directory))
    try:
        yield Packages(directory)
    finally:
        sys.path.remove(str(directory))
        importlib.invalidate_caches()
        for name in set(sys.modules) - known:
            del sys.modules[name]
