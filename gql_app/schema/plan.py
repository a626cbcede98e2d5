"""What would run: a workflow that was checked and resolved, but not submitted."""

from typing import Self

import strawberry
from strawberry.scalars import JSON

from gql_app.core import plan as core
from gql_app.core.planning import Planned, layers
from gql_app.schema.policy import RetryPolicy, TimeoutPolicy
from gql_app.schema.usage import Budget


@strawberry.type
class NodePlan:
    """One node, with its policies merged and its dependencies found."""

    id: strawberry.ID = strawberry.field(description="The node's id in the document.")
    tool: str = strawberry.field(description="The name of the tool it calls.")
    depends_on: list[strawberry.ID] = strawberry.field(
        description="The nodes it waits for: those its expressions name, and those in the document's `dependsOn`."
    )
    reads: list[strawberry.ID] = strawberry.field(
        description="The nodes whose outputs it uses; without such an output it is skipped."
    )
    when: str | None = strawberry.field(description="The condition, as an expression without `${ }`.")
    retry: RetryPolicy = strawberry.field(description="When it is tried again.")
    timeout: TimeoutPolicy = strawberry.field(description="How long it may take.")
    continue_on_failure: bool = strawberry.field(description="Whether the run goes on if it fails.")

    @classmethod
    def from_plan(cls, node: core.NodePlan) -> Self:
        return cls(
            id=strawberry.ID(str(node.key)),
            tool=node.tool,
            depends_on=[strawberry.ID(name) for name in node.depends_on],
            reads=[strawberry.ID(name) for name in node.reads],
            when=node.when,
            retry=RetryPolicy.from_policy(node.retry),
            timeout=TimeoutPolicy.from_policy(node.timeout),
            continue_on_failure=node.continue_on_failure,
        )


@strawberry.type
class WorkflowPlan:
    """A workflow that can run: every default filled in, every dependency found."""

    name: str = strawberry.field(description="The workflow's name.")
    nodes: list[NodePlan] = strawberry.field(description="The nodes, in the order of the document.")
    layers: list[list[strawberry.ID]] = strawberry.field(
        description="The ids of the nodes layer by layer: each depends only on nodes of the layers before its own."
    )
    input: JSON | None = strawberry.field(description="The input of the run.")
    labels: JSON = strawberry.field(description="The run's labels: an object of strings.")
    timeout_seconds: float = strawberry.field(description="How long the whole run may take.")
    maximum_concurrency: int | None = strawberry.field(
        description="How many attempts of this run may be in flight at once; null means no limit of its own."
    )
    budget: Budget | None = strawberry.field(
        description="What the run may use of language models; null if that is not limited."
    )

    @classmethod
    def from_planned(cls, planned: Planned) -> Self:
        plan = planned.plan
        return cls(
            name=plan.name,
            nodes=[NodePlan.from_plan(node) for node in plan.nodes],
            layers=[[strawberry.ID(name) for name in layer] for layer in layers(plan)],
            input=JSON(planned.input),
            labels=JSON(planned.labels),
            timeout_seconds=plan.timeout_seconds,
            maximum_concurrency=plan.maximum_concurrency,
            budget=Budget.from_optional(plan.budget),
        )
