"""What is asked, what may begin, and what is answered."""

from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec
from graphql import DocumentNode, OperationDefinitionNode, OperationType

from gql_app.core.values import Json
from gql_app.schema.coercion import VariableValues
from gql_app.schema.compiler import Plan

Variables: TypeAlias = dict[str, Json]


class GraphQLRequest(msgspec.Struct, frozen=True, rename="camel"):
    """What a client asks. Members we do not know are ignored, as the specification has it."""

    query: str | None = None
    document_id: str | None = None
    variables: Variables | None = None
    operation_name: str | None = None
    extensions: dict[str, Json] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An operation that may begin: parsed, within the limits, valid, and allowed to who asks."""

    text: str
    document: DocumentNode
    node: OperationDefinitionNode
    plan: Plan
    variables: Variables
    """As they were sent."""
    values: VariableValues
    """As resolvers are told them."""
    inner_variables: bytes = b""
    """Those that tell answers apart which are made of the same value at the root."""
    cost: int = 0
    """How many fields the answer may have."""
    trusted: bool = False
    """Whether the document is one of those that the service was started with."""
    extensions: dict[str, Json] = field(default_factory=dict)

    @property
    def kind(self) -> OperationType:
        """Whether it asks, changes or watches something."""
        return self.node.operation

    @property
    def name(self) -> str | None:
        """Its name in the document."""
        return self.node.name.value if self.node.name else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A result as encoded JSON: `{"data": …}`, with `errors` if it has `failed`.

    `sequence` is that of an update of a subscription: a client that comes back goes on after it.
    A `broken` one says why a subscription could not go on: nothing follows.
    """

    body: bytes
    failed: bool = False
    sequence: int | None = None
    broken: bool = False
