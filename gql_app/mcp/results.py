"""What a call of an MCP tool gives: its result as JSON, or an error of ours."""

from typing import Any, Final

import orjson
from mcp import types
from mcp.shared.exceptions import MCPError
from pydantic import TypeAdapter

from gql_app.core.errors import (
    InvalidInputError,
    InvalidOutputError,
    McpToolError,
    ToolError,
    ToolServerUnavailableError,
)
from gql_app.core.json_schema import InvalidSchema, TooExpensive, compile_schema, explain, locate
from gql_app.core.plan import ToolDefinition
from gql_app.core.values import Json
from gql_app.mcp import codes

RESULT: Final[TypeAdapter[types.CallToolResult | types.InputRequiredResult]] = TypeAdapter(
    types.CallToolResult | types.InputRequiredResult
)
MAXIMUM_PROBLEMS: Final = 5

_TRANSIENT: Final = frozenset({408, 425, 429})


def check_input(definition: ToolDefinition, value: Json) -> dict[str, Json]:
    """Check an input by the schema that the server has told. Raises `InvalidInputError`."""
    value = {} if value is None else value
    if not isinstance(value, dict):
        raise InvalidInputError("The input must be an object: it is the tool's arguments by name.")
    problems = _problems(definition.input_schema, value)
    if problems:
        raise InvalidInputError(f"The input does not fit the tool: {problems}")
    return value


def as_json(definition: ToolDefinition, result: types.CallToolResult | types.InputRequiredResult) -> Json:
    """Make JSON of a result: its structured content, else its text, else its parts.

    Raises `McpToolError` for one that says it is an error, and `InvalidOutputError` for one that does not fit.
    """
    if isinstance(result, types.InputRequiredResult):
        raise McpToolError(
            "The tool asks for more input than it was given, and nobody is there to give it.", retryable=False
        )
    if result.is_error:
        raise McpToolError(_text(result.content) or _shown(result) or "The tool failed and did not say why.")
    if "structured_content" in result.model_fields_set and result.structured_content is not None:
        problems = _problems(definition.output_schema, result.structured_content)
        if problems:
            raise InvalidOutputError(f"The result does not fit the schema that the server tells of it: {problems}")
        return result.structured_content
    if definition.output_schema is not True:
        raise InvalidOutputError("The server tells a schema of the result, but the result has no structured content.")
    if not result.content:
        return None
    text = _text(result.content)
    return [_part(block) for block in result.content] if text is None else text


def as_error(server: str, error: MCPError) -> ToolError:
    """Say what an error of the protocol is to us."""
    message = error.message.strip() or f"The server answered with the error {error.code}."
    # The library has no code of its own for an event that is too long.
    too_big = error.code == types.CONNECTION_CLOSED and "byte limit" in message
    match codes.TOO_BIG if too_big else error.code:
        case types.CONNECTION_CLOSED:
            return ToolServerUnavailableError(f"The MCP server {server!r} went away during the call.")
        case codes.UNAVAILABLE:
            return ToolServerUnavailableError(f"The MCP server {server!r} cannot be called: {message}")
        case codes.REFUSED:
            return _refused(server, message, error.data if isinstance(error.data, dict) else {})
        case codes.TOO_BIG | codes.UNREADABLE | types.PARSE_ERROR:
            return InvalidOutputError(f"The MCP server {server!r} gave no result: {message}")
        case types.INVALID_PARAMS:
            return InvalidInputError(f"The MCP server {server!r} refuses the call: {message}")
        case types.METHOD_NOT_FOUND:
            return McpToolError(message, retryable=False)
        case _:
            return McpToolError(message)


def _refused(server: str, message: str, data: dict[str, Json]) -> ToolError:
    status, after = data.get("status"), data.get("retryAfter")
    known = status if isinstance(status, int) else 500
    if known in _TRANSIENT or known >= 500 or known in (401, 403):
        # Who is let in may change while the service runs: a token may be renewed.
        wait = float(after) if isinstance(after, int | float) else None
        return ToolServerUnavailableError(f"The MCP server {server!r} refuses the call: {message}.", retry_after=wait)
    return McpToolError(f"The MCP server {server!r} refuses the call: {message}.", retryable=False)


def _problems(schema: Json, value: Json) -> str:
    """Say what does not fit a schema; nothing if it cannot be told."""
    if schema is True:
        return ""
    compiled = compile_schema(orjson.dumps(schema))
    if compiled.surely_fits(value):
        return ""
    told: list[str] = []
    try:
        for error in compiled.errors(value):
            told.append(f"{locate(error)}: {explain(error)}".removeprefix(": "))
            if len(told) == MAXIMUM_PROBLEMS:
                break
    except (InvalidSchema, TooExpensive):
        # The server knows better than its schema.
        return ""
    return " ".join(told)


def _text(blocks: list[types.ContentBlock]) -> str | None:
    """Join the text of a result that has nothing else."""
    texts = [block.text for block in blocks if isinstance(block, types.TextContent)]
    return "\n".join(texts) if texts and len(texts) == len(blocks) else None


def _part(block: types.ContentBlock) -> Json:
    part: dict[str, Any] = block.model_dump(mode="json", by_alias=True, exclude_none=True)
    part.pop("_meta", None)
    return part


def _shown(result: types.CallToolResult) -> str:
    if result.structured_content is not None:
        return orjson.dumps(result.structured_content, default=str).decode()
    return " ".join(block.text for block in result.content if isinstance(block, types.TextContent))
