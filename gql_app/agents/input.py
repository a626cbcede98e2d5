"""What the tool `agent` takes and gives."""

from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from gql_app.core.spec import Budget, RetryPolicy
from gql_app.core.tool_names import TOOL_FORMAT
from gql_app.core.values import Frozen, Json

TEST_MODEL: Final = "test"
"""The model that says what its script says."""
MAXIMUM_PATTERNS: Final = 64
MAXIMUM_SCRIPT: Final = 500
DAY: Final = 86_400.0

Text = Annotated[str, Field(max_length=1 << 20)]


class OutputMode(StrEnum):
    """How a model is made to answer with JSON."""

    TOOL = "tool"
    NATIVE = "native"


class SimpleMessage(Frozen):
    """One message of a conversation."""

    role: Annotated[Literal["system", "user", "assistant"], Field(description="Who says it.")]
    content: Annotated[Text, Field(description="What is said.")]


class ModelSettings(Frozen):
    """How a model answers, as far as its provider knows the setting."""

    temperature: Annotated[float | None, Field(ge=0, le=2, description="How free the model is; 0 is least.")] = None
    top_p: Annotated[float | None, Field(gt=0, le=1, description="How much of what is likely it chooses from.")] = None
    max_tokens: Annotated[int | None, Field(ge=1, le=10_000_000, description="The longest an answer may be.")] = None
    seed: Annotated[int | None, Field(description="Makes answers repeat, where a provider can do that.")] = None
    stop_sequences: Annotated[list[str] | None, Field(max_length=16, description="Texts that end an answer.")] = None
    parallel_tool_calls: Annotated[bool | None, Field(description="Whether it may call several tools at once.")] = None


class ScriptedCall(Frozen):
    """A call of a tool that the model `test` makes."""

    tool: Annotated[str, Field(min_length=1, max_length=128, description="The name of the tool.")]
    arguments: Annotated[Json, Field(description="What it is called with; a text stands for itself, valid or not.")] = (
        Field(default_factory=dict)
    )


class ScriptedError(Frozen):
    """An error that the provider of the model `test` answers with."""

    status: Annotated[int, Field(ge=400, le=599, description="The HTTP status.")]
    retry_after_seconds: Annotated[float | None, Field(ge=0, le=DAY, description="What `Retry-After` says.")] = None
    after_chunks: Annotated[int | None, Field(ge=1, description="Words of `text` that are streamed before it.")] = None


class ScriptedReply(Frozen):
    """One answer of the model `test`; `output` answers with JSON that is to fit `outputSchema`."""

    text: Annotated[Text | None, Field(description="What it says.")] = None
    tool_calls: Annotated[
        tuple[ScriptedCall, ...], Field(strict=False, description="Tools it calls, side by side.")
    ] = ()
    output: Annotated[Json, Field(description="The structured output.")] = None
    error: Annotated[ScriptedError | None, Field(description="What the provider fails with instead.")] = None
    delay_seconds: Annotated[float, Field(ge=0, le=DAY, description="How long it thinks before it answers.")] = 0.0
    chunk_delay_seconds: Annotated[float, Field(ge=0, le=3600, description="How long it takes for each word.")] = 0.0
    input_tokens: Annotated[int, Field(ge=0, description="Tokens that the request is said to have taken.")] = 100
    output_tokens: Annotated[int, Field(ge=0, description="Tokens that the answer is said to have taken.")] = 20


_WHOLE: Final[dict[str, Json]] = {
    "allOf": [
        {
            "if": {"properties": {"model": {"const": TEST_MODEL}}, "required": ["model"]},
            "then": {"required": ["script"]},
        },
        {"if": {"not": {"required": ["messages"]}}, "then": {"required": ["prompt"]}},
    ]
}
"""What the fields say of each other, for whoever checks a document before it runs."""


class AgentInput(Frozen):
    """What an agent is to do, and what with."""

    model_config = ConfigDict(json_schema_extra=_WHOLE)

    model: Annotated[
        str,
        Field(
            min_length=1,
            max_length=200,
            description="The model: `provider:name` as pydantic-ai names them (`openai:gpt-5.2`, `anthropic:claude-…`),"
            " `local:name` on the service's own OpenAI-compatible server, or `test`, which says what `script` says.",
        ),
    ]
    prompt: Annotated[Text | None, Field(description="What is asked. Left out, `messages` ends with it.")] = None
    instructions: Annotated[Text | None, Field(description="What the model is told to be and to do.")] = None
    messages: Annotated[
        list[Json],
        Field(
            max_length=2_000,
            description="The conversation so far: `{role, content}` each, or what an earlier agent's output has as"
            " `messages`.",
        ),
    ] = Field(default_factory=list)
    tools: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=128, json_schema_extra={"format": TOOL_FORMAT})]],
        Field(
            max_length=MAXIMUM_PATTERNS,
            description="Tools that the model may call: names, or patterns like `http.*`. None unless they are named;"
            " a pattern never means `agent` itself.",
        ),
    ] = Field(default_factory=list)
    output_schema: Annotated[
        dict[str, Json] | bool | None,
        Field(description="A JSON Schema (2020-12) that the output must fit; without one it is a text."),
    ] = None
    output_mode: Annotated[
        OutputMode,
        Field(description="Whether JSON is asked for as the arguments of a `tool`, or by the provider's `native` way."),
    ] = OutputMode.TOOL
    maximum_steps: Annotated[int, Field(ge=1, le=200, description="How often the model may be asked.")] = 20
    budget: Annotated[
        Budget | None, Field(description="What the agent may use; it is not asked again once that is used up.")
    ] = None
    model_settings: Annotated[ModelSettings | None, Field(description="How the model answers.")] = None
    stream: Annotated[
        bool,
        Field(description="Whether text is shown as the model writes it, or each answer at once when it is there."),
    ] = True
    request_timeout_seconds: Annotated[float, Field(gt=0, le=DAY, description="How long one answer may take.")] = 300.0
    retry: Annotated[RetryPolicy | None, Field(description="When a request to the model is tried again.")] = None
    api_key: Annotated[
        str | None,
        Field(max_length=1_000, description="The key for the provider, instead of the service's own: name a secret."),
    ] = None
    agent_models: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200)]],
        Field(max_length=16, description="Models that agents it calls may use beside its own, as patterns."),
    ] = Field(default_factory=list)
    include_messages: Annotated[bool, Field(description="Whether the output has all messages, to go on from.")] = False
    script: Annotated[
        list[Text | ScriptedReply] | None,
        Field(
            max_length=MAXIMUM_SCRIPT,
            description="What the model `test` answers, one after the other: texts, or objects with `text`,"
            " `toolCalls`, `output`, `error`. An error takes one try of a request.",
        ),
    ] = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.prompt is None and not self.messages:
            raise ValueError("`prompt` is missing, and there are no `messages` to answer")
        if (self.model == TEST_MODEL) != (self.script is not None):
            raise ValueError("the model `test` needs a `script`, and no other model takes one")
        return self


class AgentUsage(Frozen):
    """What the models were used for, by the agents it called too."""

    requests: Annotated[int, Field(description="How often a model answered.")] = 0
    input_tokens: Annotated[int, Field(description="Tokens that models read.")] = 0
    output_tokens: Annotated[int, Field(description="Tokens that models wrote.")] = 0
    cost_usd: Annotated[
        float | None, Field(description="What it cost in US dollars; null where no price is known.")
    ] = None


class AgentOutput(Frozen):
    """What an agent found."""

    output: Annotated[Json, Field(description="The model's text, or JSON that fits `outputSchema`.")]
    usage: Annotated[AgentUsage, Field(description="What the models were used for.")]
    steps: Annotated[int, Field(description="How often the model was asked.")]
    messages: Annotated[list[Json] | None, Field(description="All messages, if `includeMessages` asked for them.")] = (
        None
    )
