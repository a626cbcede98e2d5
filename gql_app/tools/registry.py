"""Where tools are found: by name, and in the modules that bring them."""

import inspect
import sys
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType, TracebackType
from typing import Self

from gql_app.core.errors import InvalidToolError
from gql_app.core.plan import ToolDefinition
from gql_app.core.values import Json
from gql_app.ports import Tool


class ToolRegistry:
    """The tools of a service. `async with` it: leaving closes every tool that has an `aclose`."""

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            self._add(tool)
        by_name = sorted(self._tools.items())
        self._definitions = MappingProxyType({name: tool.definition for name, tool in by_name})

    def find(self, name: str) -> Tool | None:
        """Find a tool."""
        return self._tools.get(name)

    def definitions(self) -> Mapping[str, ToolDefinition]:
        """Tell all definitions by name, sorted by it."""
        return self._definitions

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every tool that can be, also if one of them fails to."""
        async with AsyncExitStack() as stack:
            for tool in self._tools.values():
                close = getattr(tool, "aclose", None)
                if close is not None:
                    stack.push_async_callback(close)

    def _add(self, tool: Tool) -> None:
        if not is_tool(tool):
            raise InvalidToolError(f"{tool!r} is not a tool: make one of a function with @tool.")
        known = self._tools.setdefault(tool.definition.name, tool)
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
