"""Hands a model tools of ours; each call is a step of the agent."""

import asyncio
import json
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import msgspec
from jsonschema import ValidationError
from pydantic_ai import ModelRetry, RunContext
from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.tools import ToolDefinition as ModelTool
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool
from pydantic_core import SchemaValidator, core_schema

from gql_app.agents.choosing import choose, model_names
from gql_app.agents.delegation import Delegation
from gql_app.agents.input import AgentInput
from gql_app.agents.nesting import AGENT, MAXIMUM_DEPTH, depth_of
from gql_app.agents.progress import Progress
from gql_app.core.errors import ToolError
from gql_app.core.json_schema import InvalidSchema, TooExpensive, check_schema, explain, locate
from gql_app.core.plan import ToolDefinition
from gql_app.core.values import Json
from gql_app.ports import ToolContext

CALLS_AT_ONCE: Final = 8
TRIES_IN_A_ROW: Final = 2
"""How often a model may correct the call of a tool that was not valid."""
_PROBLEMS: Final = 5
_NOT_AT_THE_TOP: Final = frozenset({"allOf", "anyOf", "oneOf", "not", "enum"})
"""What providers refuse there; whether a call fits is checked by the whole schema."""
_MESSAGE: Final = 2_000
_OBJECT: Final = SchemaValidator(core_schema.dict_schema(keys_schema=core_schema.str_schema()))


class Toolbox(AbstractToolset[None]):
    """The tools that an agent was given."""

    def __init__(
        self,
        asked: AgentInput,
        there: Mapping[str, ToolDefinition],
        context: ToolContext,
        progress: Progress,
        longest: int,
    ) -> None:
        """Choose from what is there. Raises `InvalidInputError`."""
        self._tools = choose(asked.tools, there)
        self._names = model_names(self._tools)
        self._delegation = Delegation(asked, self._tools, progress)
        self._context = context
        self._progress = progress
        self._longest = longest
        self._room = asyncio.Semaphore(CALLS_AT_ONCE)

    @property
    def known_as(self) -> Mapping[str, str]:
        """Tell the names by which the model knows the tools, by their own."""
        return {ours: name for name, ours in self._names.items()}

    @property
    def id(self) -> str | None:
        """Say that it needs no id."""
        return None

    async def get_tools(self, ctx: RunContext[None]) -> dict[str, ToolsetTool[None]]:
        """Tell the tools by the names that the model knows."""
        return {name: self._tool(name, self._tools[ours]) for name, ours in self._names.items()}

    def _tool(self, name: str, ours: ToolDefinition) -> ToolsetTool[None]:
        schema = ours.input_schema
        parameters: dict[str, Any] = schema if isinstance(schema, dict) and "properties" in schema else {}
        if ours.name == AGENT:
            parameters = self._delegation.parameters(schema)
        parameters = {key: part for key, part in parameters.items() if key not in _NOT_AT_THE_TOP}
        tool = ModelTool(
            name=name, description=ours.description or None, parameters_json_schema={**parameters, "type": "object"}
        )
        return ToolsetTool(toolset=self, tool_def=tool, max_retries=TRIES_IN_A_ROW, args_validator=_OBJECT)

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[None], tool: ToolsetTool[None]
    ) -> str:
        """Call a tool as a step. The model is told what is wrong with its call, or why it failed."""
        ours = self._names[name]
        if ours == AGENT:
            if depth_of(self._context) >= MAXIMUM_DEPTH:
                raise ToolFailed(f"Agents may call each other {MAXIMUM_DEPTH} deep, and no deeper. Do it yourself.")
            tool_args = self._delegation.complete(tool_args)
        self._check(ours, tool_args)
        assert ctx.tool_call_id is not None
        try:
            async with self._room:
                # What the model was told of a failure must still be so when it is replayed.
                result = await self._context.call_tool(ctx.tool_call_id, ours, tool_args, remember_failure=True)
        except ToolError as error:
            if error.type == "InvalidInput":
                raise ModelRetry(str(error)[:_MESSAGE]) from error
            raise ToolFailed(f"{error.type}: {error}"[:_MESSAGE]) from error
        if ours == AGENT and isinstance(result, dict):
            self._progress.add_inner(result.get("usage"))
        return self._tell(result)

    def _check(self, name: str, arguments: dict[str, Any]) -> None:
        """Check arguments by the tool's schema. Raises `ModelRetry`, which tells the model."""
        try:
            schema = check_schema(msgspec.json.encode(self._tools[name].input_schema))
            problems = [_problem(error) for error in islice(schema.errors(arguments), _PROBLEMS)]
        except (InvalidSchema, TooExpensive):
            return  # The tool checks its input itself.
        if problems:
            raise ModelRetry("These arguments do not fit the tool: " + " ".join(problems))

    def _tell(self, result: Json) -> str:
        """Make text of a result, cut to what a model is told of it. Nothing in it can be taken for a file to fetch."""
        text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, separators=(",", ":"))
        if len(text) <= self._longest:
            return text
        return f"{text[: self._longest]}\n[Cut here: the result has {len(text)} characters.]"


def _problem(error: ValidationError) -> str:
    where = locate(error)
    return f"At {where}: {explain(error)}" if where else explain(error)
