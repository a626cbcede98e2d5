"""Everything that can be done."""

from typing import Annotated, TypeAlias

import strawberry

from gql_app.core.ids import RunId
from gql_app.core.planning import ABSENT
from gql_app.schema.context import Info
from gql_app.schema.enums import RetryFrom
from gql_app.schema.errors import (
    IdempotencyConflict,
    InvalidArgument,
    InvalidWorkflow,
    Overloaded,
    WorkflowAlreadyFinished,
    WorkflowNotFinished,
    WorkflowNotFound,
)
from gql_app.schema.query import Input, Spec, WorkflowId
from gql_app.schema.run import WorkflowRun
from gql_app.schema.workflow import to_document


@strawberry.type
class SubmitWorkflowSuccess:
    """The run is stored, and under way or waiting for its turn."""

    workflow: WorkflowRun = strawberry.field(
        description="The run: a new one, or the one that the idempotency key was used for before."
    )


@strawberry.type
class CancelWorkflowSuccess:
    """The run is stopping, or was cancelled; or word of it has been left where the run goes on, and it will stop."""

    workflow: WorkflowRun = strawberry.field(description="The run.")


@strawberry.type
class RetryWorkflowSuccess:
    """A new run is stored, and under way or waiting for its turn."""

    workflow: WorkflowRun = strawberry.field(description="The new run; its `retryOf` is the old one.")


@strawberry.type
class DeleteWorkflowSuccess:
    """The run is gone, with all its events and values."""

    id: strawberry.ID = strawberry.field(description="The id that the run had.")


SubmitWorkflowResult: TypeAlias = Annotated[
    SubmitWorkflowSuccess | InvalidWorkflow | IdempotencyConflict | InvalidArgument | Overloaded,
    strawberry.union("SubmitWorkflowResult", description="What became of a submission."),
]
CancelWorkflowResult: TypeAlias = Annotated[
    CancelWorkflowSuccess | WorkflowNotFound | WorkflowAlreadyFinished | Overloaded,
    strawberry.union("CancelWorkflowResult", description="What became of a cancellation."),
]
RetryWorkflowResult: TypeAlias = Annotated[
    RetryWorkflowSuccess | WorkflowNotFound | WorkflowNotFinished | InvalidWorkflow | InvalidArgument | Overloaded,
    strawberry.union("RetryWorkflowResult", description="What became of a retry."),
]

DeleteWorkflowResult: TypeAlias = Annotated[
    DeleteWorkflowSuccess | WorkflowNotFound | WorkflowNotFinished | Overloaded,
    strawberry.union("DeleteWorkflowResult", description="What became of a deletion."),
]


@strawberry.type
class Mutation:
    """Everything that can be done."""

    @strawberry.mutation
    async def submit_workflow(
        self,
        info: Info,
        spec: Spec,
        input: Input = strawberry.UNSET,
        idempotency_key: Annotated[
            str | None,
            strawberry.argument(
                description=(
                    "Your name for this submission, up to 255 characters: sent again with the same document and input,"
                    " it finds the run instead of making another."
                )
            ),
        ] = None,
    ) -> SubmitWorkflowResult:
        """Check a document, store it as a run and start it. Answers at once."""
        run = await info.context.service.submit(
            info.context.namespace,
            to_document(spec),
            input=ABSENT if input is strawberry.UNSET else input,
            idempotency_key=idempotency_key,
            by=info.context.identity,
        )
        return SubmitWorkflowSuccess(workflow=WorkflowRun.from_run(run))

    @strawberry.mutation
    async def cancel_workflow(
        self,
        info: Info,
        id: WorkflowId,
        reason: Annotated[str | None, strawberry.argument(description="Why; told in the run's `error`.")] = None,
    ) -> CancelWorkflowResult:
        """Stop a run that has not ended. Attempts in flight are asked to stop; nothing new starts."""
        run = await info.context.service.cancel(info.context.namespace, RunId(id), reason)
        return CancelWorkflowSuccess(workflow=WorkflowRun.from_run(run))

    @strawberry.mutation
    async def retry_workflow(
        self,
        info: Info,
        id: WorkflowId,
        from_: Annotated[
            RetryFrom, strawberry.argument(name="from", description="What the new run begins with.")
        ] = RetryFrom.FAILED,
    ) -> RetryWorkflowResult:
        """Run the document and input of a run that has ended again, as a new run."""
        context = info.context
        run = await context.service.retry(context.namespace, RunId(id), from_, by=context.identity)
        return RetryWorkflowSuccess(workflow=WorkflowRun.from_run(run))

    @strawberry.mutation
    async def delete_workflow(self, info: Info, id: WorkflowId) -> DeleteWorkflowResult:
        """Remove a run that has ended, for good. For an admin, or who submitted it; for others, FORBIDDEN."""
        context = info.context
        await context.service.delete(context.namespace, RunId(id), by=context.identity)
        return DeleteWorkflowSuccess(id=id)
