"""Which errors a client is told, and with which code; everything else is logged and masked."""

import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from graphql import FieldNode, GraphQLError, OperationDefinitionNode, VariableNode

from gql_app.core.errors import (
    CorruptRunError,
    ExpressionError,
    IdempotencyConflictError,
    InvalidArgumentError,
    InvalidCursorError,
    InvalidWorkflowError,
    NotOwnerError,
    OverloadedError,
    StoreUnavailableError,
    WorkflowAlreadyFinishedError,
    WorkflowNotFinishedError,
    WorkflowNotFoundError,
    WorkflowRemovedError,
)
from gql_app.core.values import Json

CODES: Final[Mapping[type[Exception], str]] = {
    ExpressionError: "EXPRESSION_ERROR",
    IdempotencyConflictError: "IDEMPOTENCY_CONFLICT",
    InvalidArgumentError: "INVALID_ARGUMENT",
    InvalidCursorError: "INVALID_CURSOR",
    InvalidWorkflowError: "INVALID_WORKFLOW",
    NotOwnerError: "FORBIDDEN",
    OverloadedError: "OVERLOADED",
    StoreUnavailableError: "UNAVAILABLE",
    CorruptRunError: "CORRUPT_RUN",
    WorkflowAlreadyFinishedError: "WORKFLOW_ALREADY_FINISHED",
    WorkflowNotFinishedError: "WORKFLOW_NOT_FINISHED",
    WorkflowNotFoundError: "WORKFLOW_NOT_FOUND",
    WorkflowRemovedError: "WORKFLOW_REMOVED",
}
"""`extensions.code` of the errors that a client can cause, where they are not data."""
INTERNAL: Final = "INTERNAL"

_log: Final = logging.getLogger(__name__)


def present_errors(
    errors: Sequence[GraphQLError], operation: OperationDefinitionNode, variables: Mapping[str, Json]
) -> list[GraphQLError]:
    """Make of the errors of a result those that its client is told."""
    return [_present(error, operation, variables) for error in errors]


def _present(error: GraphQLError, operation: OperationDefinitionNode, variables: Mapping[str, Json]) -> GraphQLError:
    cause = error.original_error
    if cause is None or isinstance(cause, GraphQLError):
        return error
    code = CODES.get(type(cause))
    if code is None:
        error_id = secrets.token_hex(8)
        run_id = getattr(cause, "run_id", None) or _run_id(error, operation, variables)
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


def _run_id(error: GraphQLError, operation: OperationDefinitionNode, variables: Mapping[str, Json]) -> str | None:
    """Find the run that an error is about: the argument `id` of the field at the root."""
    root = error.path[0] if error.path else None
    for field in operation.selection_set.selections:
        if isinstance(field, FieldNode) and root in {None, (field.alias or field.name).value}:
            for argument in field.arguments or ():
                if argument.name.value == "id":
                    value = argument.value
                    if isinstance(value, VariableNode):
                        return str(variables.get(value.name.value))
                    return getattr(value, "value", None)
    return None
