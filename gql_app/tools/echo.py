"""The tool `echo`."""

from typing import Annotated

from pydantic import Field

from gql_app.core.values import Json
from gql_app.tools.decorator import tool


@tool
async def echo(value: Annotated[Json, Field(description="Any JSON value.")] = None) -> Json:
    """Return the value it is given."""
    return value
