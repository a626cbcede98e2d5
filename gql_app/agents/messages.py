"""Messages of a conversation, as JSON and as pydantic-ai has them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from pydantic import ValidationError
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from gql_app.agents.input import SimpleMessage
from gql_app.agents.nesting import CALL_PREFIX
from gql_app.core.errors import InvalidInputError, ToolError
from gql_app.core.values import Json

_PARTS: Final = (
    RetryFeedbackPart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)


def dump(messages: Iterable[ModelMessage]) -> list[Json]:
    """Make JSON of messages, without what is not set."""
    encoded: list[Json] = ModelMessagesTypeAdapter.dump_python(list(messages), mode="json", exclude_none=True)
    for message in encoded:
        # These ids are of nothing that anybody could look up.
        message.pop("run_id", None)
        message.pop("conversation_id", None)
        if "usage" in message:
            message["usage"] = {name: value for name, value in message["usage"].items() if value}
    return encoded


def dump_response(response: ModelResponse) -> Json:
    """Make JSON of a response, which `load_response` reads."""
    return dump([response])[0]


def load_response(value: Json) -> ModelResponse:
    """Read the response that a step has kept."""
    try:
        (message,) = ModelMessagesTypeAdapter.validate_python([value])
    except ValidationError as error:
        message_of_error = "What was kept of an answer of the model cannot be read by this version of pydantic-ai."
        raise ToolError(message_of_error, type="InvalidModelResponse", retryable=False) from error
    assert isinstance(message, ModelResponse)
    return message


def load(messages: Sequence[Json], *, is_asked: bool) -> list[ModelMessage]:
    """Read a conversation in either form. Raises `InvalidInputError`; nothing in it may make us fetch a file.

    `is_asked` says that a prompt follows; without one it must end with what is to be answered.
    """
    loaded = [_load(message, position) for position, message in enumerate(messages)]
    if not is_asked and loaded and isinstance(loaded[-1], ModelResponse):
        raise InvalidInputError("`messages` ends with an answer: give a `prompt`, or end with what is to be answered.")
    return loaded


def _load(message: Json, position: int) -> ModelMessage:
    try:
        if isinstance(message, dict) and "role" in message:
            return _of_simple(SimpleMessage.model_validate(message))
        (loaded,) = ModelMessagesTypeAdapter.validate_python([message])
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInputError(
            f"`messages.{position}` is no message, at `{where}`: {first['msg']}. It is `{{role, content}}`, or what an"
            " agent's output has as `messages`."
        ) from error
    for part in loaded.parts:
        if not isinstance(part, _PARTS) or not _is_plain(getattr(part, "content", None)):
            raise InvalidInputError(f"`messages.{position}` holds a {part.part_kind!r} that is not text; leave it out.")
    return loaded


def _of_simple(message: SimpleMessage) -> ModelMessage:
    match message.role:
        case "system":
            return ModelRequest(parts=[SystemPromptPart(message.content)])
        case "user":
            return ModelRequest(parts=[UserPromptPart(message.content)])
        case "assistant":
            return ModelResponse(parts=[TextPart(message.content)])


def _is_plain(content: object) -> bool:
    if isinstance(content, dict):
        return all(map(_is_plain, content.values()))
    if isinstance(content, list | tuple):
        return all(map(_is_plain, content))
    return content is None or isinstance(content, str | int | float | bool)


def text_of(response: ModelResponse) -> str:
    """Tell the text of a response."""
    return "".join(part.content for part in response.parts if isinstance(part, TextPart))


def name_calls(response: ModelResponse, before: Iterable[ModelMessage]) -> ModelResponse:
    """Give the calls of tools ids that are fit to name steps: safe, and different from all before."""
    taken = {
        part.tool_call_id
        for message in before
        if isinstance(message, ModelResponse)
        for part in message.parts
        if isinstance(part, ToolCallPart)
    }
    return replace(response, parts=[_name_call(part, taken) for part in response.parts])


def _name_call(part: Json, taken: set[str]) -> Json:
    if not isinstance(part, ToolCallPart):
        return part
    given = part.tool_call_id
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", given)
    safe = (safe if safe.startswith(CALL_PREFIX) else CALL_PREFIX + safe)[:56]
    unique, number = safe, 1
    while unique in taken:
        number += 1
        unique = f"{safe}-{number}"
    taken.add(unique)
    return part if unique == given else replace(part, tool_call_id=unique)
