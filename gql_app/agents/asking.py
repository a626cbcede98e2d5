"""Asks a model, each time as a step: a request that was answered is never made again."""

import re
from decimal import Decimal
from typing import Any, Final

from pydantic_ai.messages import ModelMessage, ModelResponse, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from gql_app.agents.failures import told_as_ours
from gql_app.agents.input import AgentInput
from gql_app.agents.messages import dump, dump_response, load_response, name_calls, text_of
from gql_app.agents.progress import Progress
from gql_app.agents.scripted import ScriptedModel
from gql_app.core.errors import ToolError
from gql_app.core.event_parts import StepKind, Usage
from gql_app.core.policies import merge_policies
from gql_app.core.spec import RetryPolicy, TimeoutPolicy
from gql_app.core.values import Json
from gql_app.ports import ToolContext
from gql_app.ports.checks import MAXIMUM_COUNT

REQUEST_RETRY: Final = RetryPolicy(maximum_attempts=5, maximum_interval_seconds=60.0)
SILENCE_SECONDS: Final = 120.0
"""How long a model that streams may send nothing."""


class SteppedModel(WrapperModel):
    """A model every request of which is a step of an agent."""

    def __init__(self, model: Model, asked: AgentInput, context: ToolContext, progress: Progress, longest: int) -> None:
        super().__init__(model)
        self._asked = asked
        self._context = context
        self._progress = progress
        self._longest = longest
        self._told = 0
        key = getattr(getattr(model, "client", None), "api_key", None)
        self._key = key if isinstance(key, str) else None

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask the model, unless it was asked this in an earlier attempt."""
        number = self._progress.begin_request()
        new = messages[self._told :]
        self._told = len(messages) + 1
        is_new = False

        async def work(context: ToolContext) -> Json:
            nonlocal is_new
            is_new = True
            if isinstance(self.wrapped, ScriptedModel):
                # What an earlier attempt of the node has met it does not meet again.
                self.wrapped.go_to(number, context.attempt + self._context.attempt - 1)
            response = await self._ask(context, messages, model_settings, model_request_parameters)
            return dump_response(name_calls(response, messages))

        output = await self._context.step(
            f"model-{number}",
            work,
            kind=StepKind.MODEL,
            name=self._asked.model,
            input={"messages": dump(new)},
            retry=merge_policies(self._asked.retry, REQUEST_RETRY),
            timeout=self._timeout,
            limits=limits_of(self._asked.model),
        )
        response = load_response(output)
        self._progress.add(usage_of(response))
        if not is_new:
            # Whoever watches this attempt has not seen it yet.
            self._context.emit(text_of(response))
        return response

    @property
    def _timeout(self) -> TimeoutPolicy:
        seconds = self._asked.request_timeout_seconds
        silence = min(seconds, SILENCE_SECONDS) if self._asked.stream else None
        return TimeoutPolicy(attempt_seconds=seconds, heartbeat_seconds=silence)

    async def _ask(
        self,
        context: ToolContext,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> ModelResponse:
        with told_as_ours(self._asked.model, self._key):
            if self._asked.stream:
                response = await self._stream(context, messages, settings, parameters)
            else:
                response = await self.wrapped.request(messages, settings, parameters)
                context.emit(text_of(response))
        if response.finish_reason == "length":
            context.log(
                "warning", "The answer was cut off: the model may not write more tokens.", model=self._asked.model
            )
        usage = usage_of(response)
        context.report_usage(
            requests=usage.requests,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=usage.cost_usd,
        )
        return response

    async def _stream(
        self,
        context: ToolContext,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> ModelResponse:
        async with self.wrapped.request_stream(messages, settings, parameters) as stream:
            try:
                await self._show(context, stream)
            except BaseException:
                _report_unfinished(context, stream.usage)
                raise
            response = stream.get()
            if response.state != "complete":
                _report_unfinished(context, stream.usage)
                message = f"The answer of {self._asked.model!r} broke off before its end."
                raise ToolError(message, type="ModelConnectionError")
            return response

    async def _show(self, context: ToolContext, stream: StreamedResponse) -> None:
        """Show text as it comes, and stop a model that does not stop itself."""
        length = 0
        async for event in stream:
            context.heartbeat()
            if isinstance(event, PartStartEvent):
                shown = event.part.content if isinstance(event.part, TextPart) else ""
            elif isinstance(event, PartDeltaEvent):
                shown = event.delta.content_delta if isinstance(event.delta, TextPartDelta) else ""
            else:
                continue
            context.emit(shown)
            length += len(shown) or _size(event)
            if length > self._longest:
                raise ToolError(
                    f"{self._asked.model!r} writes more than the {self._longest} characters that an output may have.",
                    type="ModelResponseTooBig",
                    retryable=False,
                )


def _size(event: PartStartEvent | PartDeltaEvent) -> int:
    """Tell how much an event adds that is not text: thoughts, arguments."""
    part: Any = event.part if isinstance(event, PartStartEvent) else event.delta
    size = 0
    for name in ("content", "content_delta", "args", "args_delta"):
        value = getattr(part, name, None)
        size += len(value) if isinstance(value, str) else 0
    return size


def limits_of(model: str) -> tuple[str, ...]:
    """Name the limits of the service that requests fall under, if it has them: its provider's, and its own."""
    provider, _, name = model.partition(":")
    whole = f"model.{provider}"
    return (whole, f"{whole}.{re.sub(r'[^A-Za-z0-9_.-]', '-', name)}") if name else (whole,)


def usage_of(response: ModelResponse) -> Usage:
    """Tell what a response used, with its price if that is known."""
    return _usage(response.usage, _cost(response))


def _usage(usage: RequestUsage, cost: Decimal | None) -> Usage:
    """Take what a server says of usage for what it can be: some say odd things."""
    price = None if cost is None or not cost.is_finite() else min(max(float(cost), 0.0), float(MAXIMUM_COUNT))
    return Usage(1, _count(usage.input_tokens), _count(usage.output_tokens), price)


def _count(tokens: int) -> int:
    return min(max(tokens, 0), MAXIMUM_COUNT)


def _cost(response: ModelResponse) -> Decimal | None:
    if response.usage.cost is not None:
        return response.usage.cost
    try:
        return response.cost().total_price
    except (LookupError, ValueError, AssertionError):
        return None  # Nobody has told its price.


def _report_unfinished(context: ToolContext, usage: RequestUsage) -> None:
    sent, came = _count(usage.input_tokens), _count(usage.output_tokens)
    if sent or came:
        context.report_usage(input_tokens=sent, output_tokens=came)
