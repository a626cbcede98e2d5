"""The tools that nodes can call."""

from typing import Self

import strawberry
from strawberry.scalars import JSON

from gql_app.core.plan import ToolDefinition
from gql_app.schema.enums import Isolation
from gql_app.schema.policy import RateLimit, RetryPolicy, TimeoutPolicy


@strawberry.type
class Tool:
    """A unit of work that nodes call by its name."""

    name: str = strawberry.field(description="What a node's `tool` says.")
    description: str = strawberry.field(description="What it does.")
    input_schema: JSON = strawberry.field(description="The JSON Schema (2020-12) of its input.")
    output_schema: JSON = strawberry.field(description="The JSON Schema (2020-12) of its output.")
    retry: RetryPolicy = strawberry.field(description="When a node that calls it is tried again, by default.")
    timeout: TimeoutPolicy = strawberry.field(description="How long a node that calls it may take, by default.")
    maximum_concurrency: int | None = strawberry.field(
        description="How many of its calls may be in flight at once; null means no limit of its own."
    )
    rate_limit: RateLimit | None = strawberry.field(
        description="How often its calls may begin; null means no limit of its own."
    )
    isolation: Isolation = strawberry.field(description="Where its calls run.")
    streams: bool = strawberry.field(description="Whether its output is a text that it shows as it grows.")

    @classmethod
    def from_definition(cls, tool: ToolDefinition) -> Self:
        return cls(
            name=tool.name,
            description=tool.description,
            input_schema=JSON(tool.input_schema),
            output_schema=JSON(tool.output_schema),
            retry=RetryPolicy.from_policy(tool.retry),
            timeout=TimeoutPolicy.from_policy(tool.timeout),
            maximum_concurrency=tool.max_concurrency,
            rate_limit=RateLimit.from_limit(tool.rate_limit) if tool.rate_limit is not None else None,
            isolation=Isolation(tool.isolation.upper()),
            streams=tool.streams,
        )
