"""The model `test`, which says what its script says: no key, no network, the same every time."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeAlias

from pydantic_ai import RunContext
from pydantic_ai.exceptions import (
    ModelAuthenticationError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelOverloadedError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelServerError,
    ModelUnavailableError,
)
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponsePart,
    ModelResponseStreamEvent,
    TextPart,
    ToolCallPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage
from pydantic_core import to_json

from gql_app.agents.input import TEST_MODEL, ScriptedError, ScriptedReply
from gql_app.core.errors import ToolError
from gql_app.core.values import Json

_WORD: Final = re.compile(r"\s*\S+\s*$|\s*\S+|\s+")
_Category: TypeAlias = type[
    ModelRateLimitError | ModelQuotaExceededError | ModelUnavailableError | ModelServerError | ModelRequestRejectedError
]
_CATEGORIES: Final[dict[int, _Category]] = {
    400: ModelRequestRejectedError,
    401: ModelAuthenticationError,
    402: ModelQuotaExceededError,
    403: ModelAuthenticationError,
    404: ModelNotFoundError,
    422: ModelRequestRejectedError,
    429: ModelRateLimitError,
    503: ModelUnavailableError,
    529: ModelOverloadedError,
}


class ScriptedModel(Model):
    """Answers the n-th request with the n-th reply; errors before it take one try of the request each."""

    def __init__(self, script: Sequence[str | ScriptedReply], names: Mapping[str, str], *, wraps: bool) -> None:
        super().__init__(profile=ModelProfile(supports_json_schema_output=True, supports_json_object_output=True))
        self._requests = _by_request(script)
        self._names = names
        self._wraps = wraps
        self._at = (0, 0)

    def go_to(self, request: int, attempt: int) -> None:
        """Say which request is made, and for which time; both count from 1."""
        self._at = (request, attempt)

    @property
    def model_name(self) -> str:
        """Say its name."""
        return TEST_MODEL

    @property
    def system(self) -> str:
        """Say whose model it is."""
        return TEST_MODEL

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Answer at once."""
        request, reply = await self._next()
        if reply.error is not None:
            raise _error(reply.error)
        parts = self._parts(request, reply, model_request_parameters)
        return ModelResponse(parts=parts, model_name=TEST_MODEL, usage=_usage(reply), provider_name=TEST_MODEL)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Answer word by word."""
        request, reply = await self._next()
        if reply.error is not None and reply.error.after_chunks is None:
            raise _error(reply.error)
        parts = self._parts(request, reply, model_request_parameters)
        yield _ScriptedStream(model_request_parameters, _reply=reply, _parts=parts)

    async def _next(self) -> tuple[int, ScriptedReply]:
        request, attempt = self._at
        if request > len(self._requests):
            raise ToolError(
                f"The script of the model `test` has answers for {len(self._requests)} requests, and this is request"
                f" {request}. Give it one more.",
                type="ScriptExhausted",
                retryable=False,
            )
        tries = self._requests[request - 1]
        reply = tries[min(attempt, len(tries)) - 1]
        if reply.delay_seconds:
            await asyncio.sleep(reply.delay_seconds)
        return request, reply

    def _parts(self, request: int, reply: ScriptedReply, parameters: ModelRequestParameters) -> list[ModelResponsePart]:
        parts: list[ModelResponsePart] = [] if reply.text is None else [TextPart(reply.text)]
        parts += [
            ToolCallPart(self._names.get(call.tool, call.tool), call.arguments, f"call_{request}_{number}")
            for number, call in enumerate(reply.tool_calls, 1)
        ]
        if "output" in reply.model_fields_set:
            value = {"output": reply.output} if self._wraps else reply.output
            parts.append(_output(value, parameters, f"call_{request}_output"))
        return parts or [TextPart("")]


@dataclass
class _ScriptedStream(StreamedResponse):
    """A reply as a stream."""

    _reply: ScriptedReply = field(kw_only=True)
    _parts: list[ModelResponsePart] = field(kw_only=True)
    _started: datetime = field(default_factory=lambda: ModelResponse(parts=[]).timestamp)

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        reply, words = self._reply, 0
        for number, part in enumerate(self._parts):
            if not isinstance(part, TextPart):
                yield self._parts_manager.handle_part(vendor_part_id=number, part=part)
                continue
            for word in _WORD.findall(part.content):
                if reply.error is not None and words == reply.error.after_chunks:
                    raise _error(reply.error)
                if reply.chunk_delay_seconds:
                    await asyncio.sleep(reply.chunk_delay_seconds)
                words += 1
                for event in self._parts_manager.handle_text_delta(vendor_part_id=number, content=word):
                    yield event
        if reply.error is not None:
            raise _error(reply.error)
        self._usage = _usage(reply)

    async def close_stream(self) -> None:
        """Do nothing: there is no connection."""

    @property
    def model_name(self) -> str:
        """Say whose stream it is."""
        return TEST_MODEL

    @property
    def provider_name(self) -> str:
        """Say whose stream it is."""
        return TEST_MODEL

    @property
    def provider_url(self) -> None:
        """Say that there is no server."""
        return

    @property
    def timestamp(self) -> datetime:
        """Say when it began."""
        return self._started


def _by_request(script: Sequence[str | ScriptedReply]) -> list[list[ScriptedReply]]:
    """Group replies by the request they answer: errors stand before the reply that follows them."""
    requests: list[list[ScriptedReply]] = []
    under_way: list[ScriptedReply] = []
    for item in script:
        under_way.append(ScriptedReply(text=item) if isinstance(item, str) else item)
        if under_way[-1].error is None:
            requests.append(under_way)
            under_way = []
    return [*requests, under_way] if under_way else requests


def _usage(reply: ScriptedReply) -> RequestUsage:
    return RequestUsage(input_tokens=reply.input_tokens, output_tokens=reply.output_tokens)


def _output(value: Json, parameters: ModelRequestParameters, call_id: str) -> ModelResponsePart:
    """Answer with JSON in the way that was asked for."""
    if parameters.output_tools:
        return ToolCallPart(parameters.output_tools[0].name, value, call_id)
    return TextPart(to_json(value).decode())


def _error(error: ScriptedError) -> Exception:
    headers = {} if error.retry_after_seconds is None else {"retry-after": f"{error.retry_after_seconds:g}"}
    category = _CATEGORIES.get(error.status, ModelServerError if error.status >= 500 else None)
    return ModelHTTPError.for_category(
        category,
        status_code=error.status,
        model_name=TEST_MODEL,
        body={"message": "as its script says"},
        headers=headers,
        retry_after=error.retry_after_seconds,
    )
