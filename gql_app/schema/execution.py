"""Carries out operations: from what a client sent to the encoded answer, the same over every transport."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus
from inspect import isawaitable
from typing import TypeAlias, cast

import msgspec
import orjson
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLFormattedError,
    OperationDefinitionNode,
    OperationType,
    execute,
    get_operation_ast,
    parse,
    subscribe,
    validate,
)
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types import ExecutionContext
from strawberry.types import graphql as strawberry_types

from gql_app.core.access import Identity
from gql_app.core.values import Json
from gql_app.schema.build import Schema, schema
from gql_app.schema.coercion import coercion_errors
from gql_app.schema.context import Context
from gql_app.schema.masking import present_errors
from gql_app.settings import Settings

Variables: TypeAlias = dict[str, Json]


class GraphQLRequest(msgspec.Struct, frozen=True, rename="camel"):
    """What a client asks. Members we do not know are ignored, as the specification has it."""

    query: str | None = None
    document_id: str | None = None
    variables: Variables | None = None
    operation_name: str | None = None
    extensions: dict[str, Json] | None = None


class RefusedOperationError(Exception):
    """The operation cannot begin: there is no data, only `errors`. `status` is how HTTP says so."""

    def __init__(self, errors: Sequence[GraphQLError], status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors: list[GraphQLFormattedError] = [error.formatted for error in errors]
        self.status = status

    @property
    def body(self) -> bytes:
        """The answer, encoded."""
        return orjson.dumps({"errors": self.errors})


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An operation that may begin: parsed, within the limits, valid, and allowed to who asks."""

    text: str
    document: DocumentNode
    node: OperationDefinitionNode
    variables: Variables
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
    """

    body: bytes
    failed: bool = False
    sequence: int | None = None


class Operations:
    """Prepares and carries out operations on the schema."""

    def __init__(self, settings: Settings, *, schema: Schema = schema) -> None:
        self._settings = settings
        self._schema = schema

    def prepare(self, request: GraphQLRequest, identity: Identity) -> Operation:
        """Parse and check what was asked. Raises `RefusedOperationError`."""
        if not request.query:
            raise _refused("The query is empty.", "BAD_REQUEST")
        try:
            document = parse(request.query)
        except GraphQLError as error:
            raise RefusedOperationError([error]) from None
        if errors := validate(self._schema._schema, document):
            raise RefusedOperationError(errors)
        node = get_operation_ast(document, request.operation_name)
        if node is None:
            message = f"There is no operation {request.operation_name!r} in the document; name one that is."
            raise _refused(message, "UNKNOWN_OPERATION")
        variables = request.variables or {}
        if errors := coercion_errors(self._schema._schema, node, variables):
            raise RefusedOperationError(errors)
        return Operation(
            text=request.query, document=document, node=node, variables=variables, extensions=request.extensions or {}
        )

    async def execute(self, operation: Operation, context: Context) -> Answer:
        """Carry out a query or a mutation."""
        result = execute(
            self._schema._schema,
            operation.document,
            context_value=context,
            variable_values=operation.variables,
            operation_name=operation.name,
            executor_class=StrawberryGraphQLCoreExecutionContext,
        )
        if isawaitable(result):
            result = await result
        return self._answer(operation, context, result)

    async def subscribe(self, operation: Operation, context: Context) -> AsyncGenerator[Answer, None]:
        """Carry out a subscription; close the generator to end it.

        Raises `RefusedOperationError` at the first step if it cannot begin; what fails later is a last answer.
        """
        results = subscribe(
            self._schema._schema,
            operation.document,
            context_value=context,
            variable_values=operation.variables,
            operation_name=operation.name,
            executor_class=StrawberryGraphQLCoreExecutionContext,
        )
        if isawaitable(results):
            results = await results
        if isinstance(results, ExecutionResult):
            raise RefusedOperationError(self._present(operation, context, results.errors or []))
        async with aclosing(cast("AsyncGenerator[ExecutionResult]", results)):
            try:
                async for result in results:
                    yield self._answer(operation, context, result)
            except Exception as error:  # noqa: BLE001 - an edge: what a subscription raises is its last answer
                failure = error if isinstance(error, GraphQLError) else GraphQLError(str(error), original_error=error)
                yield self._answer(operation, context, ExecutionResult(None, [failure]))

    def _answer(self, operation: Operation, context: Context, result: ExecutionResult) -> Answer:
        body: dict[str, Json] = {"data": result.data}
        if result.errors:
            body["errors"] = [error.formatted for error in self._present(operation, context, result.errors)]
        update = (
            next(iter((result.data or {}).values()), None) if operation.kind is OperationType.SUBSCRIPTION else None
        )
        sequence = update.get("sequence") if isinstance(update, dict) else None
        return Answer(body=orjson.dumps(body, option=orjson.OPT_UTC_Z), failed=bool(result.errors), sequence=sequence)

    def _present(self, operation: Operation, context: Context, errors: list[GraphQLError]) -> list[GraphQLError]:
        asked = ExecutionContext(
            query=operation.text,
            schema=self._schema,
            allowed_operations=list(strawberry_types.OperationType),
            context=context,
            variables=operation.variables,
            provided_operation_name=operation.name,
        )
        asked.graphql_document = operation.document
        return present_errors(errors, asked)


def _refused(message: str, code: str) -> RefusedOperationError:
    return RefusedOperationError([GraphQLError(message, extensions={"code": code})])
