"""Tools whose calls have shared resources at hand."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager

import msgspec

from gql_app.core.ids import Namespace
from gql_app.core.plan import ToolDefinition
from gql_app.core.values import Json
from gql_app.ports import Resource, Resources, Steps, StepSpec, StepWork, Tool, ToolContext, Tools
from gql_app.tools.resource_pool import ResourcePool


class EquippedTools:
    """Tools as they are found elsewhere; those that can share something are handed it."""

    def __init__(self, tools: Tools, resources: Resources) -> None:
        self._tools = tools
        self._resources = resources

    def find(self, name: str) -> Tool | None:
        """Find a tool."""
        tool = self._tools.find(name)
        # Another process shares nothing.
        if tool is None or tool.definition.isolation == "process":
            return tool
        return _Equipped(tool, self._resources)

    def definitions(self, namespace: Namespace | None = None) -> Mapping[str, ToolDefinition]:
        """Tell all definitions by name, sorted by it, or only those of the tools that a namespace may use."""
        return self._tools.definitions(namespace)

    def why_missing(self, name: str, namespace: Namespace) -> str | None:
        """Say why a tool is not there for a namespace, if there is more to say than that."""
        return self._tools.why_missing(name, namespace)


@asynccontextmanager
async def equipped(
    tools: Tools, *, replacing: Mapping[Resource[Json], Json] | None = None
) -> AsyncIterator[tuple[EquippedTools, ResourcePool]]:
    """Open the resources of tools for the length of the block, but for those that something is given for."""
    async with ResourcePool(_all_resources(tools), replacing=replacing) as pool:
        yield EquippedTools(tools, pool), pool


def resources_of(tool: Tool | None) -> tuple[Resource[Json], ...]:
    """Tell the resources that a tool knows of, if it is one of ours."""
    known: tuple[Resource[Json], ...] = getattr(tool, "resources", ())
    return known


def _all_resources(tools: Tools) -> Iterator[Resource[Json]]:
    for name in tools.definitions():
        yield from resources_of(tools.find(name))


class _Equipped:
    """A tool whose calls have resources at hand."""

    __slots__ = ("_resources", "_tool")

    def __init__(self, tool: Tool, resources: Resources) -> None:
        self._tool = tool
        self._resources = resources

    @property
    def definition(self) -> ToolDefinition:
        """Everything known without a call."""
        return self._tool.definition

    def parse(self, value: Json) -> Json:
        """Check an input."""
        return self._tool.parse(value)

    async def call(self, arguments: Json, context: ToolContext) -> Json:
        """Call the tool."""
        return await self._tool.call(arguments, _equip(context, self._resources))

    def run(self, arguments: Json, context: ToolContext) -> Json:
        """Call the tool."""
        return self._tool.run(arguments, _equip(context, self._resources))


class _EquippedSteps:
    """Steps whose work has resources at hand, too."""

    __slots__ = ("_resources", "_steps")

    def __init__(self, steps: Steps, resources: Resources) -> None:
        self._steps = steps
        self._resources = resources

    async def do(self, step: StepSpec, work: StepWork) -> Json:
        """Do a step."""
        return await self._steps.do(step, lambda context: work(_equip(context, self._resources)))

    async def call(self, step: StepSpec) -> Json:
        """Call a tool, which is equipped itself."""
        return await self._steps.call(step)


def _equip(context: ToolContext, resources: Resources) -> ToolContext:
    steps = _EquippedSteps(context.steps, resources)
    return msgspec.structs.replace(context, resources=resources, steps=steps)
