"""Builds the schema: its types, how errors are told, and what describes it."""

import inspect
from collections.abc import Iterable
from typing import Final

import strawberry
from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
)
from strawberry.schema.config import StrawberryConfig
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from gql_app.schema import event, step_event
from gql_app.schema.errors import HANDLERS
from gql_app.schema.mutation import Mutation
from gql_app.schema.query import Query
from gql_app.schema.scalars import SCALARS
from gql_app.schema.subscription import Subscription

_DEFINITION: Final = "strawberry-definition"


class Schema(strawberry.Schema):
    """The schema as Strawberry builds it. It is carried out by `Operations`."""

    @property
    def published(self) -> GraphQLSchema:
        """The schema as graphql-core has it."""
        return self._schema

    def polish(self) -> None:
        """Let docstrings describe types and fields, and publish no default that only means "left out"."""
        for published in self._schema.type_map.values():
            definition = published.extensions.get(_DEFINITION)
            if not isinstance(definition, StrawberryObjectDefinition):
                continue
            published.description = published.description or inspect.getdoc(definition.origin)
            if isinstance(published, GraphQLObjectType | GraphQLInterfaceType):
                for field in published.fields.values():
                    _describe(field)
                    _forget_null(field.args.values())
            elif isinstance(published, GraphQLInputObjectType):
                _forget_null(published.fields.values())


def _describe(field: GraphQLField) -> None:
    source = field.extensions.get(_DEFINITION)
    if isinstance(source, StrawberryField) and source.base_resolver is not None:
        field.description = field.description or inspect.getdoc(source.base_resolver.wrapped_func)


def _forget_null(inputs: Iterable[GraphQLArgument | GraphQLInputField]) -> None:
    for each in inputs:
        if each.default_value is None:
            each.default_value = Undefined


def build_schema() -> Schema:
    """Build the schema anew."""
    built = Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[
            kind
            for kind in {**vars(event), **vars(step_event)}.values()
            if isinstance(kind, type) and issubclass(kind, event.RunEvent)
        ],
        config=StrawberryConfig(scalar_map=SCALARS),
        exception_handlers=HANDLERS,
    )
    built.polish()
    return built


schema: Final = build_schema()
"""The schema that is served."""
