"""Reads what the service answers: the data, or the error that it stands for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from gql_app.client.errors import (
    ClientError,
    InvalidDocumentError,
    KeyConflictError,
    NotAllowedError,
    NotAServerError,
    RefusedError,
    RunFinishedError,
    RunNotFinishedError,
    RunNotFoundError,
    RunRemovedError,
    ServerFailedError,
    ServerOverloadedError,
)
from gql_app.client.models import Problem, WorkflowRun
from gql_app.core.values import Json

T = TypeVar("T")

_FAILURES: Final[Mapping[str, str]] = {
    "IdempotencyConflict": "IDEMPOTENCY_CONFLICT",
    "InvalidArgument": "INVALID_ARGUMENT",
    "InvalidWorkflow": "INVALID_WORKFLOW",
    "Overloaded": "OVERLOADED",
    "WorkflowAlreadyFinished": "WORKFLOW_ALREADY_FINISHED",
    "WorkflowNotFinished": "WORKFLOW_NOT_FINISHED",
    "WorkflowNotFound": "WORKFLOW_NOT_FOUND",
}
"""The types that are failures, with the codes they have where they are errors of GraphQL."""

_WITH_RUN: Final[Mapping[str, Callable[[str, str, WorkflowRun], ClientError]]] = {
    "IDEMPOTENCY_CONFLICT": KeyConflictError,
    "WORKFLOW_ALREADY_FINISHED": RunFinishedError,
    "WORKFLOW_NOT_FINISHED": RunNotFinishedError,
}
_PLAIN: Final[Mapping[str, Callable[[str, str], ClientError]]] = {
    "FORBIDDEN": NotAllowedError,
    "UNAUTHENTICATED": NotAllowedError,
    "WORKFLOW_NOT_FOUND": RunNotFoundError,
    "WORKFLOW_REMOVED": RunRemovedError,
}


def convert(value: Json, kind: type[T], url: str) -> T:
    """Read a part of an answer. Raises `NotAServerError` if it is not what was asked for."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise NotAServerError(url, f"its answer is not what was asked for ({error}).") from None


def read_result(data: Json, field: str, success: str, url: str) -> Json:
    """Give the member `success` of a result union. Raises the error that any other member stands for."""
    result = data.get(field) if isinstance(data, dict) else None
    kind = result.get("__typename") if isinstance(result, dict) else None
    if kind == success:
        return result
    if isinstance(result, dict) and isinstance(kind, str) and kind in _FAILURES:
        raise _failure(_FAILURES[kind], result, url)
    raise NotAServerError(url, f"its answer has no {success}.")


def read_errors(errors: Json, url: str) -> ClientError:
    """Make the error that GraphQL's errors stand for."""
    told = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    if not told:
        return NotAServerError(url, "its answer is not GraphQL.")
    first = told[0]
    extensions = first.get("extensions")
    extensions = extensions if isinstance(extensions, dict) else {}
    code, message = str(extensions.get("code", "REFUSED")), str(first.get("message", "No reason was told."))
    if extensions.get("variable") in {"spec", "input"}:
        return InvalidDocumentError(_problems_of(told))
    if code in {"INTERNAL", "INTERNAL_SERVER_ERROR"}:
        return ServerFailedError(f"The server at {url} failed: {message}")
    return _failure(code, {**extensions, "message": message}, url)


def _failure(code: str, told: Mapping[str, Json], url: str) -> ClientError:
    message = str(told.get("message", "No reason was told."))
    if code == "INVALID_WORKFLOW" and "problems" in told:
        return InvalidDocumentError(convert(told["problems"], tuple[Problem, ...], url))
    if code in {"OVERLOADED", "UNAVAILABLE"}:
        return ServerOverloadedError(message, code, convert(told.get("retryAfterSeconds", 1.0), float, url))
    if code in _WITH_RUN and "workflow" in told:
        return _WITH_RUN[code](message, code, convert(told["workflow"], WorkflowRun, url))
    return _PLAIN.get(code, RefusedError)(message, code)


def _problems_of(errors: Sequence[Mapping[str, Json]]) -> list[Problem]:
    """Make problems of errors about the document's shape, which are told as GraphQL's errors."""
    problems = []
    for error in errors:
        extensions = error.get("extensions") or {}
        prefix = "/input" if extensions.get("variable") == "input" else ""
        place = str(extensions.get("pointer", ""))
        told = str(error.get("message", ""))
        said = f"Variable ${extensions.get('variable')} is invalid"
        message = told.removeprefix(f"{said} at {place}: ").removeprefix(f"{said}: ")
        message = f"{message[:1].upper()}{message[1:]}"
        pointer = prefix + place
        problems.append(Problem(code=str(extensions.get("code", "INVALID_FIELD")), message=message, pointer=pointer))
    return problems
