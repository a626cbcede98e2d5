"""Directed graphs of names: cycles, layers and names that look alike."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Final, TypeAlias

Graph: TypeAlias = Mapping[str, Collection[str]]
"""Each name with the names it depends on; those that are no key of the graph are left aside."""

COMPARED_NAMES: Final = 1_000
"""Looking for similar names is slow: among so many they are sought, the rest is left aside."""


def find_cycles(graph: Graph, maximum: int) -> list[tuple[str, ...]]:
    """Find up to `maximum` different cycles: each begins with its first name in the graph and does not repeat it.

    A graph with a cycle gives at least one. Names that depend on themselves count.
    """
    order = {name: position for position, name in enumerate(graph)}
    cycles: dict[tuple[str, ...], None] = {}
    for path in _closed_paths(graph):
        start = min(range(len(path)), key=lambda position: order[path[position]])
        cycles[path[start:] + path[:start]] = None
        if len(cycles) >= maximum:
            break
    return list(cycles)


def layers_of(graph: Graph) -> tuple[tuple[str, ...], ...]:
    """Sort a graph without cycles into layers: every name stands right after the last layer it depends on."""
    level: dict[str, int] = {}
    dependents: dict[str, list[str]] = {name: [] for name in graph}
    missing = {name: len(set(needed) & graph.keys()) for name, needed in graph.items()}
    for name, needed in graph.items():
        for other in dict.fromkeys(needed):
            if other in dependents:
                dependents[other].append(name)
    ready = [name for name, count in missing.items() if count == 0]
    for name in ready:
        level.setdefault(name, 0)
        for dependent in dependents[name]:
            level[dependent] = max(level.get(dependent, 0), level[name] + 1)
            missing[dependent] -= 1
            if missing[dependent] == 0:
                ready.append(dependent)
    layers: list[list[str]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for name in graph:
        layers[level[name]].append(name)
    return tuple(map(tuple, layers))


def nearest_name(name: str, names: Iterable[str]) -> str | None:
    """Give the name that this one was perhaps meant to be."""
    candidates = [candidate for candidate, _ in zip(names, range(COMPARED_NAMES), strict=False)]
    lowered = {candidate.lower(): candidate for candidate in reversed(candidates)}
    matches = get_close_matches(name[:100].lower(), lowered, n=1, cutoff=0.6)
    return lowered[matches[0]] if matches else None


def _closed_paths(graph: Graph) -> Iterator[tuple[str, ...]]:
    """Walk the graph in depth and give the path that every edge back to the walk's own path closes."""
    finished: set[str] = set()
    for root in graph:
        if root in finished:
            continue
        path: dict[str, None] = {root: None}
        waiting = [(root, iter(graph[root]))]
        while waiting:
            name, rest = waiting[-1]
            for other in rest:
                if other in path:
                    names = tuple(path)
                    yield names[names.index(other) :]
                elif other in graph and other not in finished:
                    path[other] = None
                    waiting.append((other, iter(graph[other])))
                    break
            else:
                waiting.pop()
                del path[name]
                finished.add(name)
