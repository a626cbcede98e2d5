"""The server of the Model Context Protocol: it hands calls to the offers, and their answers back."""

import logging
from importlib.metadata import version
from typing import Any, Final
from uuid import uuid4

import anyio
import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from gql_app.cli.assistant.failures import AskedWronglyError, FailedError, Failure, explain
from gql_app.cli.assistant.guide import INSTRUCTIONS
from gql_app.cli.assistant.offers import OFFERS, Offer
from gql_app.cli.assistant.reporting import Meter
from gql_app.cli.assistant.resources import list_resources, read_resource
from gql_app.cli.assistant.shapes import Answer
from gql_app.client import ClientError, WorkflowClient
from gql_app.core.values import Json

NAME: Final = "gql_app"
CALLS_AT_ONCE: Final = 100
"""How many calls may be under way; more than that, and something goes wrong on the other side."""

logger = logging.getLogger(__name__)
_BY_NAME: Final = {offer.name: offer for offer in OFFERS}


def make_server(client: WorkflowClient, *, calls_at_once: int = CALLS_AT_ONCE) -> Server[dict[str, Any]]:
    """Make a server whose tools ask the service that a client talks to."""
    free = anyio.Semaphore(calls_at_once)

    async def list_tools(_: ServerRequestContext, __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_describe(offer) for offer in OFFERS])

    async def call_tool(context: ServerRequestContext, params: CallToolRequestParams) -> CallToolResult:
        offer = _BY_NAME.get(params.name)
        if offer is None:
            raise MCPError(INVALID_PARAMS, f"No tool {params.name[:200]!r}; there are {', '.join(_BY_NAME)}.")
        try:
            free.acquire_nowait()
        except anyio.WouldBlock:
            message = f"{calls_at_once} calls are under way. Wait for some of them, or give them up."
            return _failed(Failure(code="TOO_MANY_CALLS", message=message))
        try:
            return await _call(client, offer, params.arguments or {}, context)
        finally:
            free.release()

    return Server(
        NAME,
        version=version("gql-app"),
        title="gql_app workflows",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_read_resource=read_resource,
    )


async def _call(
    client: WorkflowClient, offer: Offer[Json], arguments: dict[str, Json], context: ServerRequestContext
) -> CallToolResult:
    """Carry out a call. Whatever goes wrong is an answer: the next call may go right."""
    meter = Meter()

    async def report(fraction: float, message: str) -> None:
        await context.session.report_progress(meter.rise(fraction), 1.0, message)

    try:
        return _answered(await offer.carry_out(client, offer.read(arguments), report))
    except (ClientError, AskedWronglyError, FailedError) as error:
        return _failed(explain(error))
    except Exception:
        incident = uuid4().hex[:12]
        logger.exception("Call %s of %s failed", incident, offer.name)
        message = f"`gql-app mcp` failed at this call; its log on standard error says more about {incident}."
        return _failed(Failure(code="INTERNAL", message=message))


def _describe(offer: Offer[Json]) -> Tool:
    annotations = ToolAnnotations(
        title=offer.title,
        read_only_hint=offer.reads,
        destructive_hint=offer.destroys,
        idempotent_hint=offer.repeatable,
        open_world_hint=not offer.reads,
    )
    return Tool(
        name=offer.name,
        title=offer.title,
        description=offer.description,
        input_schema=offer.input_schema(),
        output_schema=offer.output_schema(),
        annotations=annotations,
    )


def _answered(answer: Answer) -> CallToolResult:
    told = msgspec.to_builtins(answer)
    text = msgspec.json.encode(told).decode()
    return CallToolResult(content=[TextContent(text=text)], structured_content=told)


def _failed(failure: Failure) -> CallToolResult:
    told = {"failure": msgspec.to_builtins(failure)}
    return CallToolResult(content=[TextContent(text=failure.text)], structured_content=told, is_error=True)
