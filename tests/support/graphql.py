"""Operations on the real schema, in this process."""

from collections.abc import AsyncGenerator

from graphql import GraphQLError
from strawberry.types.execution import ExecutionResult, PreExecutionError

from gql_app.core.access import Identity, Scope
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.core.values import Json
from gql_app.schema import operations
from gql_app.schema.build import schema
from gql_app.schema.context import Context
from gql_app.service import WorkflowService

GraphQLResult = ExecutionResult | PreExecutionError


class Api:
    """The schema over a service, for one namespace."""

    def __init__(self, service: WorkflowService, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
        self._context = Context(
            service=service, identity=Identity(name="test", namespace=namespace, scopes=frozenset(Scope))
        )

    async def execute(self, query: str, **variables: Json) -> GraphQLResult:
        """Carry out a query or a mutation."""
        return await schema.execute(query, variable_values=variables, context_value=self._context)

    async def ask(self, query: str, **variables: Json) -> Json:
        """Carry out a query or a mutation that must not fail, and tell its data."""
        result = await self.execute(query, **variables)
        assert result.errors is None
        return result.data

    async def perform(self, name: str, **variables: Json) -> Json:
        """Carry out a named operation that must not fail, and tell the data of its one field."""
        data = await self.ask(operations.load(name), **variables)
        [answer] = data.values()
        return answer

    async def refused(self, query: str, **variables: Json) -> GraphQLError:
        """Carry out what must fail with one error, and tell it."""
        result = await self.execute(query, **variables)
        assert result.errors is not None
        [error] = result.errors
        return error

    async def subscribe(self, query: str, **variables: Json) -> AsyncGenerator[GraphQLResult, None]:
        """Begin a subscription."""
        return await schema.subscribe(query, variable_values=variables, context_value=self._context)
