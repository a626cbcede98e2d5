"""What language models were used for."""

from typing import Final, Self

import strawberry

from gql_app.core import events as facts
from gql_app.core import spec

MAXIMUM_INT: Final = (1 << 31) - 1
"""The most that an `Int` can say."""


@strawberry.type
class Usage:
    """What language models were used for."""

    requests: int = strawberry.field(description="How many requests were sent to models.")
    input_tokens: int = strawberry.field(description="The tokens that were sent.")
    output_tokens: int = strawberry.field(description="The tokens that came back.")
    cost_usd: float | None = strawberry.field(
        description="What it cost, in US dollars, as far as prices are known; null where none is."
    )

    @classmethod
    def from_optional(cls, usage: facts.Usage | None) -> Self | None:
        if usage is None:
            return None
        # Odd servers say that billions were used; that must not hide everything else.
        return cls(
            requests=min(usage.requests, MAXIMUM_INT),
            input_tokens=min(usage.input_tokens, MAXIMUM_INT),
            output_tokens=min(usage.output_tokens, MAXIMUM_INT),
            cost_usd=usage.cost_usd,
        )


@strawberry.type
class Budget:
    """What a run may use of language models. A run that has used more fails with `BudgetExceeded`."""

    tokens: int | None = strawberry.field(description="How many tokens, of both directions; null for any number.")
    cost_usd: float | None = strawberry.field(description="What it may cost, in US dollars; null for any price.")

    @classmethod
    def from_optional(cls, budget: spec.Budget | None) -> Self | None:
        return None if budget is None else cls(tokens=budget.tokens, cost_usd=budget.cost_usd)
