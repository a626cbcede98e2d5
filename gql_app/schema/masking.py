"""Which errors a client is told, and with which code; everything else is logged and masked."""

import logging
import secrets
from collections.abc import Mapping
from typing import Final

from graphql import FieldNode, GraphQLError, OperationDefinitionNode, VariableDefinitionNode, VariableNode
from strawberry.types import ExecutionContext

from gql_app.core.errors import (
    ExpressionError,
    IdempotencyConflictError,
    InvalidArgumentError,
    InvalidCursorError,
    InvalidWorkflowError,
    OverloadedError,
    WorkflowAlreadyFinishedError,
    WorkflowNotFinishedError,
    WorkflowNotFoundError,
    WorkflowRemovedError,
)
from gql_app.core.values import Json
from gql_app.schema.coercion import INVALID_FIELD, coercion_errors

CODES: Final[Mapping[type[Exception], str]] = {
    ExpressionError: "EXPRESSION_ERROR",
    IdempotencyConflictError: "IDEMPOTENCY_CONFLICT",
    InvalidArgumentError: "INVALID_ARGUMENT",
    InvalidCursorError: "INVALID_CURSOR",
    InvalidWorkflowError: "INVALID_WORKFLOW",
    OverloadedError: "OVERLOADED",
    WorkflowAlreadyFinishedError: "WORKFLOW_ALREADY_FINISHED",
    WorkflowNotFinishedError: "WORKFLOW_NOT_FINISHED",
    WorkflowNotFoundError: "WORKFLOW_NOT_FOUND",
    WorkflowRemovedError: "WORKFLOW_REMOVED",
}
"""`extensions.code` of the errors that a client can cause, where they are not data."""
INTERNAL: Final = "INTERNAL"

_log: Final = logging.getLogger(__name__)


def present_errors(errors: list[GraphQLError], context: ExecutionContext | None) -> list[GraphQLError]:
    """Make of the errors of a result those that its client is told."""
    operation = _operation(context)
    if context is not None and operation is not None and any(map(_about_variables, errors)):
        # The executor's own messages print the values.
        found = coercion_errors(context.schema._schema, operation, context.variables or {})
        return found or [GraphQLError("The variables do not fit the operation.", extensions={"code": INVALID_FIELD})]
    return [_present(error, context, operation) for error in errors]


def _about_variables(error: GraphQLError) -> bool:
    """Whether a variable could not be coerced. An error of validation has no original."""
    at_definition = any(isinstance(node, VariableDefinitionNode) for node in error.nodes or ())
    return at_definition and error.path is None and isinstance(error.original_error, GraphQLError)


def _present(
    error: GraphQLError, context: ExecutionContext | None, operation: OperationDefinitionNode | None
) -> GraphQLError:
    cause = error.original_error
    if cause is None or isinstance(cause, GraphQLError):
        return error
    code = CODES.get(type(cause))
    if code is None:
        error_id = secrets.token_hex(8)
        run_id = getattr(cause, "run_id", None) or _run_id(error, context, operation)
        _log.error("Internal error %s at %s, run %s", error_id, error.path, run_id, exc_info=cause)
        return _replace(error, f"Internal error (id {error_id}).", {"code": INTERNAL, "id": error_id})
    extensions: dict[str, Json] = {"code": code}
    if isinstance(cause, OverloadedError):
        extensions["retryAfterSeconds"] = cause.retry_after_seconds
    if isinstance(cause, InvalidArgumentError):
        extensions["argument"] = cause.name
    return _replace(error, str(cause), extensions)


def _replace(error: GraphQLError, message: str, extensions: dict[str, Json]) -> GraphQLError:
    return GraphQLError(message, nodes=error.nodes, path=error.path, extensions=extensions)


def _operation(context: ExecutionContext | None) -> OperationDefinitionNode | None:
    if context is None or context.graphql_document is None:
        return None
    for definition in context.graphql_document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            name = definition.name.value if definition.name else None
            if context.operation_name in {None, name}:
                return definition
    return None


def _run_id(
    error: GraphQLError, context: ExecutionContext | None, operation: OperationDefinitionNode | None
) -> str | None:
    """Find the run that an error is about: the argument `id` of the field at the root."""
    root = error.path[0] if error.path else None
    for field in operation.selection_set.selections if operation else ():
        if isinstance(field, FieldNode) and root in {None, (field.alias or field.name).value}:
            for argument in field.arguments or ():
                if argument.name.value == "id":
                    value = argument.value
                    if isinstance(value, VariableNode):
                        return str(((context and context.variables) or {}).get(value.name.value))
                    return getattr(value, "value", None)
    return None
