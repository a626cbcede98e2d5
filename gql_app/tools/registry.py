"""Where tools are found: by name, and in the modules that bring them."""

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType, TracebackType
from typing import Self

from gql_app.core.errors import InvalidToolError
from gql_app.core.ids import Namespace
from gql_app.core.plan import ToolDefinition
from gql_app.core.values import Json
from gql_app.ports import Tool, ToolSource


class ToolRegistry:
    """The tools of a service. `async with` it: leaving closes every tool that has an `aclose`.

    Sources bring more, and may change what they bring at any time.
    """

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._own: dict[str, Tool] = {}
        self._origins: dict[str, str] = {}
        self._sources: dict[str, ToolSource] = {}
        self._faults: list[str] = []
        self._parts: dict[str, Callable[[], str | None]] = {}
        self._tools: Mapping[str, Tool] = self._own
        self._views: dict[frozenset[str], Mapping[str, ToolDefinition]] = {}
        for tool in tools:
            self._add(tool)

    def bring(self, tools: Iterable[Tool], *, origin: str, fault: str | None = None) -> None:
        """Take in what a plug-in brought, but for what cannot be taken; `faults` tells what that is."""
        if fault is not None:
            self._faults.append(f"{origin}: {fault}")
        for tool in tools:
            try:
                self._add(tool)
            except InvalidToolError as error:
                self._faults.append(f"{origin}: {error}")
            else:
                self._origins.setdefault(tool.definition.name, origin)
        self._gather()

    def add(self, tool: Tool) -> None:
        """Take in a tool that finds others here. Raises `InvalidToolError`."""
        self._add(tool)
        self._gather()

    def publish(self, source: ToolSource) -> None:
        """Offer the tools of a source as they are now; it publishes itself again whenever they have changed."""
        self._sources[source.prefix] = source
        self._gather()

    @property
    def faults(self) -> Sequence[str]:
        """What is wrong with plug-ins."""
        return tuple(self._faults)

    def include_part(self, name: str, examine: Callable[[], str | None]) -> None:
        """Count something among the parts: `examine` says what is wrong with it, if anything is."""
        self._parts[name] = examine

    def parts(self) -> Mapping[str, Callable[[], str | None]]:
        """Tell what can be wrong with tools, for the health: plug-ins, if something is, and what was included."""
        return {"tools": self._problem, **self._parts} if self._faults else self._parts

    def _problem(self) -> str:
        more = f", and {len(self._faults) - 1} more, which the log names" if len(self._faults) > 1 else ""
        return f"Not all tools could be loaded: {self._faults[0].rstrip('.')}{more}."

    def origin(self, name: str) -> str | None:
        """Say which plug-in brought a tool, if one did."""
        return self._origins.get(name)

    def find(self, name: str) -> Tool | None:
        """Find a tool."""
        tool = self._tools.get(name)
        if tool is None:
            source = self._source_of(name)
            return None if source is None else source.stand_in(name)
        return tool

    def definitions(self, namespace: Namespace | None = None) -> Mapping[str, ToolDefinition]:
        """Tell all definitions by name, sorted by it, or only those of the tools that a namespace may use."""
        hidden = frozenset(
            prefix for prefix, source in self._sources.items() if namespace is not None and not source.is_for(namespace)
        )
        view = self._views.get(hidden)
        if view is None:
            by_name = sorted((name, tool.definition) for name, tool in self._tools.items() if self._shows(name, hidden))
            view = self._views[hidden] = MappingProxyType(dict(by_name))
        return view

    def why_missing(self, name: str, namespace: Namespace) -> str | None:
        """Say why a tool is not there for a namespace, if there is more to say than that."""
        source = self._source_of(name)
        return source.why_missing(name) if source is not None and source.is_for(namespace) else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every tool that can be, also if one of them fails to."""
        async with AsyncExitStack() as stack:
            for tool in self._own.values():
                close = getattr(tool, "aclose", None)
                if close is not None:
                    stack.push_async_callback(close)

    def _gather(self) -> None:
        brought = (item for source in self._sources.values() for item in source.tools().items())
        self._tools = {**dict(brought), **self._own}
        self._views = {}

    def _source_of(self, name: str) -> ToolSource | None:
        return next((source for prefix, source in self._sources.items() if name.startswith(prefix)), None)

    def _shows(self, name: str, hidden: frozenset[str]) -> bool:
        return name in self._own or not any(name.startswith(prefix) for prefix in hidden)

    def _add(self, tool: Tool) -> None:
        if not is_tool(tool):
            raise InvalidToolError(f"{tool!r} is not a tool: make one of a function with @tool.")
        known = self._own.setdefault(tool.definition.name, tool)
        if known is not tool:
            raise InvalidToolError(
                f"There are two tools named {tool.definition.name!r}: {known!r} and {tool!r}. Give one of them another"
                " name with @tool(name=…)."
            )


def is_tool(value: Json) -> bool:
    """Tell whether something is a tool. Nothing of it is touched unless it has a `definition`."""
    if isinstance(value, type) or inspect.getattr_static(value, "definition", None) is None:
        return False
    return isinstance(value.definition, ToolDefinition)


def load_tools(modules: Iterable[str]) -> list[Tool]:
    """Import modules, also from the current directory, and collect the tools found there, each once.

    Raises `InvalidToolError` for a module that cannot be imported or brings no tool.
    """
    tools: dict[int, Tool] = {}
    for name in modules:
        found = [value for value in vars(_load(name)).values() if is_tool(value)]
        if not found:
            raise InvalidToolError(
                f"Module {name!r} has no tools: put @tool above a function there, or leave the module out."
            )
        tools.update((id(tool), tool) for tool in found)
    return list(tools.values())


def _load(name: str) -> ModuleType:
    if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
        raise InvalidToolError(
            f"{name!r} is not the name of a module: write `my_tools` for my_tools.py,"
            " `package.tools` for package/tools.py."
        )
    directory = str(Path.cwd())
    # As `python -m` has it; a process that runs a tool is handed this path, too.
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        return import_module(name)
    except InvalidToolError as error:
        raise InvalidToolError(f"Cannot load tools from module {name!r}: {error}") from error
    except ModuleNotFoundError as error:
        if error.name is None or f"{name}.".startswith(f"{error.name}."):
            raise InvalidToolError(
                f"There is no module {name!r} to load tools from, neither in {directory}"
                " nor among the installed packages."
            ) from error
        raise _failure(name, error) from error
    except (Exception, SystemExit) as error:
        raise _failure(name, error) from error


def _failure(name: str, error: BaseException) -> InvalidToolError:
    return InvalidToolError(f"Cannot load tools from module {name!r}: {type(error).__name__}: {error}")
