"""When a node is tried again, and how long it may take, with every default filled in."""

from typing import Self

import strawberry

from gql_app.core import spec
from gql_app.schema.enums import Jitter


@strawberry.type
class RetryPolicy:
    """When a failed node is tried again."""

    maximum_attempts: int = strawberry.field(description="How many attempts there may be, the first one included.")
    initial_interval_seconds: float = strawberry.field(description="The delay before the second attempt.")
    backoff_coefficient: float = strawberry.field(description="What each further delay is multiplied by.")
    maximum_interval_seconds: float = strawberry.field(description="The longest delay.")
    jitter: Jitter = strawberry.field(description="How delays are spread.")
    non_retryable_errors: list[str] = strawberry.field(description="Types of errors after which nothing is retried.")

    @classmethod
    def from_policy(cls, policy: spec.RetryPolicy) -> Self:
        return cls(
            maximum_attempts=policy.maximum_attempts,
            initial_interval_seconds=policy.initial_interval_seconds,
            backoff_coefficient=policy.backoff_coefficient,
            maximum_interval_seconds=policy.maximum_interval_seconds,
            jitter=policy.jitter,
            non_retryable_errors=list(policy.non_retryable_errors),
        )


@strawberry.type
class RateLimit:
    """How often calls may begin: a bucket of `burst` tokens into which `count` flow every `perSeconds`."""

    count: int = strawberry.field(description="How many calls may begin in `perSeconds`, in the long run.")
    per_seconds: float = strawberry.field(description="The time in which `count` calls may begin.")
    burst: int = strawberry.field(description="How many calls may begin at once after a pause.")

    @classmethod
    def from_limit(cls, limit: spec.RateLimit) -> Self:
        return cls(count=limit.count, per_seconds=limit.per_seconds, burst=limit.capacity)


@strawberry.type
class TimeoutPolicy:
    """How long a node may take; null means no limit."""

    attempt_seconds: float | None = strawberry.field(description="One attempt. Retried.")
    heartbeat_seconds: float | None = strawberry.field(description="Silence inside an attempt. Retried.")
    queue_seconds: float | None = strawberry.field(description="Waiting for a slot, each time. Not retried.")
    total_seconds: float | None = strawberry.field(description="All attempts and the delays between them. Not retried.")

    @classmethod
    def from_policy(cls, policy: spec.TimeoutPolicy) -> Self:
        return cls(
            attempt_seconds=policy.attempt_seconds,
            heartbeat_seconds=policy.heartbeat_seconds,
            queue_seconds=policy.queue_seconds,
            total_seconds=policy.total_seconds,
        )
