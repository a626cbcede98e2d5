"""What language models were used for."""

from typing import Self

import strawberry

from gql_app.core import events as facts


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
        return cls(
            requests=usage.requests,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=usage.cost_usd,
        )
