"""How far an agent has come, and what it has used."""

from gql_app.agents.input import AgentUsage
from gql_app.core.errors import ToolError
from gql_app.core.event_parts import Usage, add_usage
from gql_app.core.spec import Budget
from gql_app.core.values import Json


class Progress:
    """Counts requests and usage, and says when there may be no more."""

    def __init__(self, maximum_steps: int, budget: Budget | None) -> None:
        self._maximum = maximum_steps
        self._budget = budget
        self._used: Usage | None = None
        self.steps = 0

    def begin_request(self) -> int:
        """Count a request. Raises `ToolError` if there may be no more."""
        if self.steps >= self._maximum:
            raise ToolError(
                f"The model was asked {self.steps} times and has no answer yet. Give the agent more `maximumSteps`, or"
                " less to do.",
                type="MaximumStepsReached",
                retryable=False,
            )
        self._check_budget()
        self.steps += 1
        return self.steps

    def add(self, usage: Usage) -> None:
        """Add what a request used."""
        self._used = add_usage(self._used, usage)

    def add_inner(self, usage: Json) -> None:
        """Add what an agent says it used that this one called."""
        if isinstance(usage, dict):
            inner = AgentUsage.model_validate(usage)
            self.add(Usage(inner.requests, inner.input_tokens, inner.output_tokens, inner.cost_usd))

    def left(self) -> Budget | None:
        """Tell what is left of the budget, for an agent that is called; at least the least there can be."""
        budget, used = self._budget, self._used or Usage()
        if budget is None:
            return None
        cost = used.cost_usd or 0.0
        return Budget(
            tokens=None if budget.tokens is None else max(budget.tokens - used.tokens, 1),
            cost_usd=None if budget.cost_usd is None else max(budget.cost_usd - cost, 1e-6),
        )

    @property
    def used(self) -> AgentUsage:
        """Tell what was used."""
        used = self._used or Usage()
        return AgentUsage(
            requests=used.requests,
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            cost_usd=used.cost_usd,
        )

    def _check_budget(self) -> None:
        budget, used = self._budget, self._used
        if budget is None or used is None:
            return
        tokens_gone = budget.tokens is not None and used.tokens >= budget.tokens
        money_gone = budget.cost_usd is not None and (used.cost_usd or 0.0) >= budget.cost_usd
        if tokens_gone or money_gone:
            cost = "unknown" if used.cost_usd is None else f"{used.cost_usd:g}"
            raise ToolError(
                f"The agent has used {used.tokens} tokens (cost in USD: {cost}) and has no answer yet; its budget is"
                f" {budget}.",
                type="BudgetExceeded",
                retryable=False,
            )
