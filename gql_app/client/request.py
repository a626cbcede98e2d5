"""What is sent for an operation."""

from functools import cache
from typing import Any

from gql import GraphQLRequest
from graphql import DocumentNode, parse

from gql_app.client.operations import load_operation
from gql_app.core.values import Json


class OperationRequest(GraphQLRequest):
    """Asks for a published operation by its very text, of which a server may know the hash; gql would print it anew."""

    def __init__(self, name: str, variables: Json) -> None:
        super().__init__(_parse(name), variable_values=variables, operation_name=name)
        self._name = name

    @property
    def payload(self) -> dict[str, Any]:
        return {
            "query": load_operation(self._name),
            "operationName": self.operation_name,
            "variables": self.variable_values,
        }


@cache
def _parse(name: str) -> DocumentNode:
    return parse(load_operation(name))
