"""Runs an agent. It knows pydantic-ai, and is imported by the first call."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from httpx2 import AsyncClient
from pydantic_ai import Agent
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import UsageLimits

from gql_app.agents.asking import SteppedModel
from gql_app.agents.failures import given_up_as_ours
from gql_app.agents.input import TEST_MODEL, AgentInput, AgentOutput
from gql_app.agents.messages import dump, load
from gql_app.agents.models import check_allowed, find_model
from gql_app.agents.progress import Progress
from gql_app.agents.scripted import ScriptedModel
from gql_app.agents.structured import TRIES, StructuredOutput
from gql_app.agents.toolbox import TRIES_IN_A_ROW, Toolbox
from gql_app.core.plan import ToolDefinition
from gql_app.core.values import Json
from gql_app.ports import ToolContext
from gql_app.settings import Settings


async def run_agent(
    asked: AgentInput,
    context: ToolContext,
    tools: Mapping[str, ToolDefinition],
    settings: Settings,
    connect: Callable[[], Awaitable[AsyncClient]],
) -> AgentOutput:
    """Run an agent to its answer. Raises `ToolError`.

    What it was told in an earlier attempt is not asked again: every request and every call of a tool is a step.
    """
    check_allowed(asked.model, settings)
    structured = None if asked.output_schema is None else StructuredOutput(asked.output_schema, asked.output_mode)
    history = load(asked.messages, is_asked=asked.prompt is not None)
    progress = Progress(asked.maximum_steps, asked.budget)
    toolbox = Toolbox(asked, tools, context, progress, settings.agent_result_characters)
    model = await _model(asked, toolbox, structured, settings, connect)
    stepped = SteppedModel(model, asked, context, progress, settings.maximum_output_bytes)
    agent = _agent(asked, stepped, toolbox, structured)
    with given_up_as_ours(asked.model):
        result = await agent.run(
            asked.prompt,
            message_history=history or None,
            # The limits of the agent are its own: see `Progress`.
            usage_limits=UsageLimits(request_limit=None),
            infer_name=False,
        )
    output = result.output if structured is None else structured.unwrap(result.output)
    return AgentOutput(
        output=output,
        usage=progress.used,
        steps=progress.steps,
        messages=dump(result.all_messages()) if asked.include_messages else None,
    )


def _agent(
    asked: AgentInput, model: SteppedModel, toolbox: Toolbox, structured: StructuredOutput | None
) -> Agent[None, Any]:
    agent: Agent[None, Any] = Agent(
        model,
        output_type=str if structured is None else structured.type,
        instructions=asked.instructions,
        deps_type=type(None),
        model_settings=_settings(asked),
        retries={"tools": TRIES_IN_A_ROW, "output": TRIES - 1},
        toolsets=[toolbox],
    )
    if structured is not None:

        async def check(answer: Json) -> Json:
            structured.unwrap(answer)
            return answer

        agent.output_validator(check)
    return agent


async def _model(
    asked: AgentInput,
    toolbox: Toolbox,
    structured: StructuredOutput | None,
    settings: Settings,
    connect: Callable[[], Awaitable[AsyncClient]],
) -> Model:
    if asked.model == TEST_MODEL:
        wraps = structured is not None and structured.wraps
        return ScriptedModel(asked.script or [], toolbox.known_as, wraps=wraps)
    return find_model(asked.model, settings, await connect(), asked.api_key)


def _settings(asked: AgentInput) -> ModelSettings:
    # The time that a request may take is the step's: the client's own must not end it earlier.
    settings = ModelSettings(timeout=asked.request_timeout_seconds)
    if asked.model_settings is not None:
        settings.update(asked.model_settings.model_dump(exclude_none=True))  # type: ignore[typeddict-item]
    return settings
