"""Tools that installed packages bring, by the entry-point group `gql_app.tools`; a broken one costs only itself."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Final

from gql_app.core.values import Json
from gql_app.ports import Tool
from gql_app.tools.registry import is_tool

GROUP: Final = "gql_app.tools"
MAXIMUM_TOOLS: Final = 1_000
"""How many tools one entry may bring: an iterable may have no end."""

_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """What one entry point brought: tools, or what is wrong with it."""

    origin: str
    tools: tuple[Tool, ...] = ()
    fault: str | None = None


def load_plugins() -> list[Plugin]:
    """Load what all entry points of the group name, in the order of their names."""
    return [_load(entry) for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value))]


def _load(entry: EntryPoint) -> Plugin:
    origin = f"the plug-in {entry.name!r} of {_package(entry)}"
    try:
        return Plugin(origin=origin, tools=tuple(_tools_of(entry.load())))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - an edge: what a plug-in raises costs only itself
        told = str(error) if isinstance(error, _NoTools) else f"{type(error).__name__}: {error}"
        return Plugin(origin=origin, fault=f"it names {entry.value}: {' '.join(told.split())[:_CHARACTERS]}")


def _package(entry: EntryPoint) -> str:
    return "an unknown package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


class _NoTools(Exception):
    """What an entry point names brings no tools; the message says why."""


def _tools_of(found: Json) -> Iterator[Tool]:
    """Take the tools of a module, a tool, an iterable of tools, or a function that gives one of these."""
    if is_tool(found):
        yield found
        return
    if callable(found):
        found = found()
    if is_tool(found):
        yield found
        return
    if isinstance(found, ModuleType):
        brought: Iterable[Json] = {id(value): value for value in vars(found).values() if is_tool(value)}.values()
    elif isinstance(found, Iterable):
        brought = found
    else:
        raise _NoTools(f"a {type(found).__name__}, which is neither a module nor a tool, nor brings tools.")
    count = 0
    for count, value in enumerate(brought, 1):
        if count > MAXIMUM_TOOLS:
            raise _NoTools(f"it brings more than {MAXIMUM_TOOLS} tools.")
        if not is_tool(value):
            raise _NoTools(f"a {type(value).__name__} is among its tools: make one of a function with @tool.")
        yield value
    if not count:
        raise _NoTools("it brings no tools.")
