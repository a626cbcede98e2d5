"""The paths that expressions mention: which are needed, and what of the data lies on them."""

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from gql_app.core.cel_syntax import Path
from gql_app.core.values import Json

Tree: TypeAlias = dict[str, "Tree | None"]
"""Paths arranged by their names; None is where one ends."""

MISSING: Final = object()


def minimal(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Sort the paths and leave out those that another one covers."""
    minimal: list[Path] = []
    for path in sorted(set(paths)):
        if not minimal or path[: len(minimal[-1])] != minimal[-1]:
            minimal.append(path)
    return tuple(minimal)


def grow(paths: Iterable[Path]) -> Tree:
    """Arrange minimal paths as a tree; None is where one ends."""
    root: Tree = {}
    for path in paths:
        tree = root
        for name in path[:-1]:
            branch = tree.setdefault(name, {})
            tree = branch if branch is not None else {}
        tree[path[-1]] = None
    return root


def prune(value: Json, tree: Tree | None) -> Json:
    """Keep what the tree mentions; what does not exist is left out, what is not a map is CEL's to complain about."""
    if tree is None or not isinstance(value, Mapping):
        # CEL knows `str` alone, and a status is an enum.
        return str(value) if isinstance(value, str) else value
    return {name: prune(value[name], branch) for name, branch in tree.items() if name in value}


def follow(value: Json, path: Path) -> Json:
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return MISSING
        value = value[name]
    return value
