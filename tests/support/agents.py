"""Agents in the real engine, mostly with the scripted model."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

# Done here, so that no test waits for it while virtual time passes.
import gql_app.agents.running  # noqa: F401 - see the line above
from gql_app.agents.tool import AgentTool
from gql_app.core.events import NodeOutputChunk, RunEvent, StepStarted
from gql_app.core.plan import NodePlan
from gql_app.core.run import WorkflowRun
from gql_app.core.spec import TimeoutPolicy
from gql_app.core.values import Json
from gql_app.engine.loading import load_value
from gql_app.ports import RunRepository, Tool
from gql_app.settings import Settings
from gql_app.testing.virtual_time import VirtualClock
from gql_app.tools.decorator import tool
from gql_app.tools.registry import ToolRegistry
from tests.support.builders import node
from tests.support.engine import Engine, engine, node_of


@tool(name="math.add")
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def agent_of(settings: Settings, *tools: Tool) -> tuple[AgentTool, list[Tool]]:
    """Make the tool `agent`, and all tools that there are then."""
    registry = ToolRegistry(tools)
    made = AgentTool(settings, registry)
    registry.add(made)
    return made, [*tools, made]


@asynccontextmanager
async def agents(*tools: Tool, repository: RunRepository | None = None, **settings: Json) -> AsyncIterator[Engine]:
    """An engine that has the tool `agent` beside others."""
    agent, every = agent_of(Settings(**settings), *tools)
    async with engine(*every, repository=repository, **settings) as made:
        yield made
    await agent.aclose()


def engine_with_agents(repository: RunRepository, *tools: Tool) -> Engine:
    """Make an engine that nobody closes: it is abandoned, as a process that dies."""
    _, every = agent_of(Settings(), *tools)
    return Engine(*every, clock=VirtualClock(), settings=Settings(), repository=repository)


def asked(script: Sequence[Json], name: str = "a", options: Json = None, **fields: Json) -> NodePlan:
    """Plan a node that asks a scripted agent; `fields` are of its input, in camelCase."""
    given = {"model": "test", "prompt": "Do it.", "script": list(script), **fields}
    return node(name, tool="agent", input=given, **{"timeout": TimeoutPolicy(attempt_seconds=None), **(options or {})})


def calls(*wanted: tuple[str, Json], **more: Json) -> dict[str, Json]:
    """Script a reply that calls tools."""
    return {"toolCalls": [{"tool": tool, "arguments": arguments} for tool, arguments in wanted], **more}


async def output_of(made: Engine, run: WorkflowRun, name: str = "a") -> Json:
    """Read the output of a node."""
    value = node_of(run, name).output
    if value.sha256 is None:
        return msgspec.json.decode(value.json)
    return msgspec.json.decode(await load_value(made.repository, run.namespace, run.run_id, value.sha256))


def steps_started(log: Sequence[RunEvent]) -> list[str]:
    """Tell which steps were begun, in order."""
    return [event.step for event in log if isinstance(event, StepStarted)]


def text_of_attempt(log: Sequence[RunEvent], attempt: int) -> str:
    """Join what an attempt streamed; what a try showed that failed does not count."""
    return "".join(event.text for event in log if isinstance(event, NodeOutputChunk) and event.attempt == attempt)


def told(messages: Sequence[Json]) -> list[Json]:
    """Tell what the model was told of its calls of tools, in order."""
    parts = [part for message in messages for part in message["parts"]]
    return [part["content"] for part in parts if part["part_kind"] == "tool-return"]
