"""Why something failed."""

from typing import Self

import strawberry

from gql_app.core import events as facts


@strawberry.type
class Failure:
    """Why a run, a node or an attempt failed."""

    type: str = strawberry.field(
        description=(
            "The class of the error, as the tool told it, or one of AttemptTimeout, HeartbeatTimeout, QueueTimeout,"
            " TotalTimeout, WorkerLost, ExpressionError, InvalidInput, InvalidOutput,"
            " SecretUnavailable, ResourceUnavailable."
        )
    )
    message: str = strawberry.field(description="What went wrong.")
    retryable: bool = strawberry.field(description="Whether the error itself allowed a retry.")
    retry_after_seconds: float | None = strawberry.field(description="The delay that the error itself asked for.")
    node_id: strawberry.ID | None = strawberry.field(description="In a run's error: the node that caused it.")

    @classmethod
    def from_failure(cls, failure: facts.Failure) -> Self:
        return cls(
            type=failure.type,
            message=failure.message,
            retryable=failure.retryable,
            retry_after_seconds=failure.retry_after,
            node_id=strawberry.ID(str(failure.node)) if failure.node is not None else None,
        )

    @classmethod
    def from_optional(cls, failure: facts.Failure | None) -> Self | None:
        return None if failure is None else cls.from_failure(failure)
