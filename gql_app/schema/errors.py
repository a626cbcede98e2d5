"""Failures that are data: what a mutation or a validation can answer instead of a success."""

import strawberry

from gql_app.core.errors import (
    IdempotencyConflictError,
    InvalidArgumentError,
    InvalidWorkflowError,
    OverloadedError,
    WorkflowAlreadyFinishedError,
    WorkflowNotFinishedError,
    WorkflowNotFoundError,
)
from gql_app.schema.context import Info
from gql_app.schema.enums import ProblemCode
from gql_app.schema.run import WorkflowRun, read_run


@strawberry.interface
class Error:
    """Something that a client can do something about."""

    message: str = strawberry.field(description="What is wrong, and the way out.")


@strawberry.type
class Problem:
    """One thing wrong with a document."""

    code: ProblemCode = strawberry.field(description="What kind of thing.")
    message: str = strawberry.field(description="What is wrong.")
    pointer: str = strawberry.field(description="Where, as a JSON Pointer (RFC 6901) into the document.")
    node_id: strawberry.ID | None = strawberry.field(description="The node that it is about.")
    hint: str | None = strawberry.field(description="The way out.")


@strawberry.type
class InvalidWorkflow(Error):
    """The document cannot work. Nothing was stored."""

    problems: list[Problem] = strawberry.field(description="Everything that was found, in the document's order.")


@strawberry.type
class WorkflowNotFound(Error):
    """No run has this id."""


@strawberry.type
class WorkflowAlreadyFinished(Error):
    """What was asked needs a run that has not ended."""

    workflow: WorkflowRun = strawberry.field(description="The run.")


@strawberry.type
class WorkflowNotFinished(Error):
    """What was asked needs a run that has ended."""

    workflow: WorkflowRun = strawberry.field(description="The run.")


@strawberry.type
class IdempotencyConflict(Error):
    """The key was used for another document or input."""

    workflow: WorkflowRun = strawberry.field(description="The run it was used for.")


@strawberry.type
class InvalidArgument(Error):
    """An argument outside its range."""

    argument: str = strawberry.field(description="The argument's name.")


@strawberry.type
class Overloaded(Error):
    """Too much is going on."""

    retry_after_seconds: float = strawberry.field(description="When to try again.")


class _InvalidWorkflowHandler(strawberry.ExceptionHandler[InvalidWorkflowError, InvalidWorkflow]):
    def handle(self, exception: InvalidWorkflowError, **_: object) -> InvalidWorkflow:
        problems = [
            Problem(
                code=problem.code,
                message=problem.message,
                pointer=problem.pointer,
                node_id=strawberry.ID(problem.node_id) if problem.node_id is not None else None,
                hint=problem.hint,
            )
            for problem in exception.problems
        ]
        return InvalidWorkflow(message=str(exception), problems=problems)


class _WorkflowNotFoundHandler(strawberry.ExceptionHandler[WorkflowNotFoundError, WorkflowNotFound]):
    def handle(self, exception: WorkflowNotFoundError, **_: object) -> WorkflowNotFound:
        return WorkflowNotFound(message=str(exception))


class _AlreadyFinishedHandler(strawberry.ExceptionHandler[WorkflowAlreadyFinishedError, WorkflowAlreadyFinished]):
    async def handle(
        self, exception: WorkflowAlreadyFinishedError, *, info: Info, **_: object
    ) -> WorkflowAlreadyFinished:
        return WorkflowAlreadyFinished(message=str(exception), workflow=await read_run(info, exception.run_id))


class _NotFinishedHandler(strawberry.ExceptionHandler[WorkflowNotFinishedError, WorkflowNotFinished]):
    async def handle(self, exception: WorkflowNotFinishedError, *, info: Info, **_: object) -> WorkflowNotFinished:
        return WorkflowNotFinished(message=str(exception), workflow=await read_run(info, exception.run_id))


class _IdempotencyConflictHandler(strawberry.ExceptionHandler[IdempotencyConflictError, IdempotencyConflict]):
    async def handle(self, exception: IdempotencyConflictError, *, info: Info, **_: object) -> IdempotencyConflict:
        return IdempotencyConflict(message=str(exception), workflow=await read_run(info, exception.run_id))


class _InvalidArgumentHandler(strawberry.ExceptionHandler[InvalidArgumentError, InvalidArgument]):
    def handle(self, exception: InvalidArgumentError, **_: object) -> InvalidArgument:
        return InvalidArgument(message=str(exception), argument=exception.name)


class _OverloadedHandler(strawberry.ExceptionHandler[OverloadedError, Overloaded]):
    def handle(self, exception: OverloadedError, **_: object) -> Overloaded:
        return Overloaded(message=str(exception), retry_after_seconds=exception.retry_after_seconds)


HANDLERS = (
    _InvalidWorkflowHandler(),
    _WorkflowNotFoundHandler(),
    _AlreadyFinishedHandler(),
    _NotFinishedHandler(),
    _IdempotencyConflictHandler(),
    _InvalidArgumentHandler(),
    _OverloadedHandler(),
)
"""Each makes a field answer with its type, where that is a member of the field's union."""
