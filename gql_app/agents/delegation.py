"""What an agent that calls agents may hand on: no tool, no model and no money that it does not have itself."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from pydantic_ai import ModelRetry

from gql_app.agents.choosing import choose, model_names
from gql_app.agents.input import TEST_MODEL, AgentInput
from gql_app.agents.progress import Progress
from gql_app.core.errors import InvalidInputError
from gql_app.core.plan import ToolDefinition
from gql_app.core.values import Json

_SHOWN: Final = ("prompt", "instructions", "tools", "outputSchema", "maximumSteps")
"""What a model is told of the input of an agent; the rest is not for models to decide."""
_TOOLS: Final = "Tools of yours that the agent may call."


class Delegation:
    """Calls of `agent` by a model."""

    def __init__(self, asked: AgentInput, tools: Mapping[str, ToolDefinition], progress: Progress) -> None:
        self._asked = asked
        self._tools = tools
        self._known_as = model_names(tools)
        self._progress = progress

    def parameters(self, schema: Json) -> dict[str, Any]:
        """Describe what a model may say to an agent."""
        shown = [*_SHOWN, *(["model"] if self._asked.agent_models else [])]
        shown += ["script"] if self._asked.model == TEST_MODEL else []
        fields: dict[str, Any] = {name: schema["properties"][name] for name in shown}
        fields["tools"] = {"type": "array", "items": {"type": "string"}, "description": _TOOLS, "default": []}
        rest = {"additionalProperties": False, "$defs": schema.get("$defs", {})}
        return {**rest, "properties": fields, "required": ["prompt"]}

    def complete(self, arguments: Mapping[str, Json]) -> dict[str, Json]:
        """Make the input of an agent of what a model said. Raises `ModelRetry` for what it may not hand on."""
        told = {name: value for name, value in arguments.items() if name in _SHOWN or name in ("model", "script")}
        model = told.setdefault("model", self._asked.model)
        if model != self._asked.model and not any(fnmatchcase(str(model), each) for each in self._asked.agent_models):
            raise ModelRetry(f"The agent cannot use {model!r}: leave `model` out.")
        wanted = told.get("tools", [])
        if isinstance(wanted, list) and all(isinstance(name, str) for name in wanted):
            try:
                told["tools"] = sorted(
                    choose([self._known_as.get(str(name), str(name)) for name in wanted], self._tools)
                )
            except InvalidInputError as error:
                raise ModelRetry(
                    f"You can hand on only tools that you have yourself: {', '.join(self._tools)}."
                ) from error
        if self._asked.agent_models:
            told["agentModels"] = list(self._asked.agent_models)
        if (budget := self._progress.left()) is not None:
            told["budget"] = budget.model_dump(by_alias=True)
        return told
