"""What errors of the protocol and of HTTP are to an attempt."""

import pytest
from mcp import types
from mcp.shared.exceptions import MCPError

from gql_app.core.values import Json
from gql_app.mcp import codes
from gql_app.mcp.results import as_error


def refused(status: int, after: float | None = None) -> MCPError:
    return MCPError(codes.REFUSED, f"HTTP status {status}", {"status": status, "retryAfter": after})


@pytest.mark.parametrize(
    ("error", "type", "retryable", "after"),
    [
        (MCPError(types.CONNECTION_CLOSED, "Connection closed"), "ToolServerUnavailable", True, None),
        (MCPError(codes.UNAVAILABLE, "cannot be reached"), "ToolServerUnavailable", True, None),
        (MCPError(codes.TOO_BIG, "too long"), "InvalidOutput", False, None),
        (MCPError(codes.UNREADABLE, "no message"), "InvalidOutput", False, None),
        (MCPError(types.PARSE_ERROR, "no JSON"), "InvalidOutput", False, None),
        (MCPError(types.INVALID_PARAMS, "no such tool"), "InvalidInput", False, None),
        (MCPError(types.METHOD_NOT_FOUND, "what?"), "McpToolError", False, None),
        (MCPError(types.INTERNAL_ERROR, "oh"), "McpToolError", True, None),
        (MCPError(1, ""), "McpToolError", True, None),
        (refused(503, 7), "ToolServerUnavailable", True, 7),
        (refused(429, 2.5), "ToolServerUnavailable", True, 2.5),
        (refused(401), "ToolServerUnavailable", True, None),
        (refused(500), "ToolServerUnavailable", True, None),
        (refused(400), "McpToolError", False, None),
        (refused(413), "McpToolError", False, None),
        (MCPError(codes.REFUSED, "odd", "data of another kind"), "ToolServerUnavailable", True, None),
    ],
)
def test_an_error_is_tried_again_if_that_can_help(error: MCPError, type: str, retryable: bool, after: Json) -> None:
    told = as_error("web", error)

    assert (told.type, told.retryable, told.retry_after) == (type, retryable, after)
    assert str(told)


def test_an_event_that_is_too_long_is_no_lost_connection() -> None:
    message = "SSE stream failed: Server-sent event exceeded the 8388608 byte limit."

    assert as_error("web", MCPError(types.CONNECTION_CLOSED, message)).type == "InvalidOutput"
