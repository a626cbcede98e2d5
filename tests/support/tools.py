"""Tools at the top level of a module, where another process finds them."""

import os
from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gql_app import ToolContext, resource, tool
from gql_app.core.ids import DEFAULT_NAMESPACE, RunId
from gql_app.core.values import Json
from gql_app.ports import Tool
from gql_app.sandbox.sandbox import Sandbox
from gql_app.settings import Settings
from gql_app.tools.builtin import builtin_tools


def context_of(*, attempt: int = 1, **options: Json) -> ToolContext:
    """Make the context of a call."""
    return ToolContext(run_id=RunId("run"), namespace=DEFAULT_NAMESPACE, node_id="here", attempt=attempt, **options)


CONTEXT = context_of()


def tools_that_ship() -> list[Tool]:
    """Make the tools that every service has."""
    settings = Settings()
    return builtin_tools(settings, Sandbox(settings))


class Item(BaseModel):
    """Something for sale."""

    model_config = ConfigDict(populate_by_name=True)

    name: str
    unit_price: Annotated[float, Field(alias="unitPrice")]


class Opaque:
    """Nothing that JSON could show."""


class RenamedGreeting(BaseModel):
    """A greeting in a field."""

    text: str


@tool
def greet(name: str) -> str:
    """Greet somebody."""
    return f"Hello, {name}!"


@tool(isolation="process")
def greet_slowly(item: Item, context: ToolContext) -> dict[str, str | int]:
    """Greet from another process."""
    return {"greeting": f"Hello, {item.name}!", "node": context.node_id, "process": os.getpid()}


@resource
def shared() -> Iterator[str]:
    """Share a text."""
    yield "shared"


@tool(isolation="process")
def ask_for_shared(context: ToolContext) -> str:
    """Ask for what another process has."""
    return context.resource(shared)


def greet_plainly(name: str) -> RenamedGreeting:
    """Greet somebody."""
    return RenamedGreeting(text=f"Hello, {name}!")


greet_renamed = tool(name="greet.renamed", isolation="process", max_concurrency=2)(greet_plainly)
