"""Operations on the real schema, in this process."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

import orjson

from gql_app.core.access import Identity, Scope
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.core.values import Json
from gql_app.schema import operations
from gql_app.schema.context import Context
from gql_app.schema.execution import Answer, GraphQLRequest, Operation, Operations, RefusedOperationError
from gql_app.service import WorkflowService
from gql_app.settings import Settings


@dataclass(frozen=True, slots=True)
class GraphQLProblem:
    """An error as a client is told it."""

    message: str
    path: list[str | int] | None = None
    extensions: dict[str, Json] = field(default_factory=dict)
    locations: list[Json] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class GraphQLResult:
    """An answer as a client reads it; `began` tells whether the operation was carried out at all."""

    data: Json
    errors: list[GraphQLProblem] | None
    extensions: Json = None
    began: bool = True


class Api:
    """The schema over a service, for one namespace."""

    def __init__(
        self,
        service: WorkflowService,
        namespace: Namespace = DEFAULT_NAMESPACE,
        *,
        settings: Settings | None = None,
        scopes: frozenset[Scope] = frozenset(Scope),
        owner: str | None = None,
    ) -> None:
        self.operations = Operations(settings or Settings())
        self.identity = Identity(name="test", namespace=namespace, scopes=scopes, owner=owner)
        self.context = Context(service=service, identity=self.identity)

    def prepare(self, query: str, variables: Json = None, **members: Json) -> Operation:
        """Prepare an operation. Raises `RefusedOperationError`."""
        return self.operations.prepare(GraphQLRequest(query=query, variables=variables, **members), self.identity)

    async def execute(self, query: str, **variables: Json) -> GraphQLResult:
        """Carry out a query or a mutation."""
        try:
            operation = self.prepare(query, variables)
        except RefusedOperationError as refusal:
            return read_body(refusal.body, began=False)
        return read_answer(await self.operations.execute(operation, self.context))

    async def ask(self, query: str, **variables: Json) -> Json:
        """Carry out a query or a mutation that must not fail, and tell its data."""
        result = await self.execute(query, **variables)
        assert result.errors is None, result.errors
        return result.data

    async def perform(self, name: str, **variables: Json) -> Json:
        """Carry out a named operation that must not fail, and tell the data of its one field."""
        data = await self.ask(operations.load(name), **variables)
        [answer] = data.values()
        return answer

    async def refused(self, query: str, **variables: Json) -> GraphQLProblem:
        """Carry out what must fail with one error, and tell it."""
        result = await self.execute(query, **variables)
        assert result.errors is not None
        [error] = result.errors
        return error

    async def subscribe(self, query: str, **variables: Json) -> AsyncGenerator[GraphQLResult, None]:
        """Begin a subscription."""
        return self._results(query, variables)

    async def _results(self, query: str, variables: Json) -> AsyncGenerator[GraphQLResult, None]:
        try:
            operation = self.prepare(query, variables)
        except RefusedOperationError as refusal:
            yield read_body(refusal.body, began=False)
            return
        async with aclosing(self.operations.subscribe(operation, self.context)) as answers:
            async for answer in answers:
                yield read_answer(answer)


def read_answer(answer: Answer) -> GraphQLResult:
    """Read an answer as a client does."""
    return read_body(answer.body)


def read_body(body: bytes, *, began: bool = True) -> GraphQLResult:
    """Read what an answer's body says."""
    read = orjson.loads(body)
    errors = [GraphQLProblem(**error) for error in read.get("errors", ())]
    return GraphQLResult(read.get("data"), errors or None, read.get("extensions"), began)
