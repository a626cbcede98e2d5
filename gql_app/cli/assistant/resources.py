"""What assistants can read without a server: the JSON Schema of the document."""

import json
from typing import Final

from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    ListResourcesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    TextResourceContents,
)

from gql_app.core.published import workflow_json_schema

SCHEMA: Final = "gql-app://schema/workflow.json"
_MEDIA_TYPE: Final = "application/schema+json"


async def list_resources(_: ServerRequestContext, __: PaginatedRequestParams | None) -> ListResourcesResult:
    """Tell what there is."""
    schema = Resource(
        uri=SCHEMA,
        name="workflow.json",
        title="The workflow document",
        description="The JSON Schema of the document that validate_workflow and submit_workflow take.",
        mime_type=_MEDIA_TYPE,
    )
    return ListResourcesResult(resources=[schema])


async def read_resource(_: ServerRequestContext, params: ReadResourceRequestParams) -> ReadResourceResult:
    """Give what was asked for."""
    if params.uri != SCHEMA:
        raise MCPError(INVALID_PARAMS, f"No resource {params.uri[:200]!r}; there is {SCHEMA}.")
    text = json.dumps(workflow_json_schema(), indent=2, ensure_ascii=False)
    return ReadResourceResult(contents=[TextResourceContents(uri=SCHEMA, mime_type=_MEDIA_TYPE, text=text)])
