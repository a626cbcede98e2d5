"""Everything that can be watched."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Self

import strawberry

from gql_app.core.ids import RunId
from gql_app.schema.context import Info
from gql_app.schema.event import RunEvent
from gql_app.schema.facts import make_event
from gql_app.schema.node import NodeRun
from gql_app.schema.query import WorkflowId
from gql_app.schema.run import WorkflowRun
from gql_app.service import Update


@strawberry.type
class WorkflowUpdate:
    """What happened in a run since the update before."""

    sequence: int = strawberry.field(
        description="The last event told so far. Come back with it as `after`, and nothing is missed or told twice."
    )
    events: list[RunEvent] = strawberry.field(
        description="What happened, in order. Empty only in the first update of a subscription without `after`."
    )
    changed_nodes: list[NodeRun] = strawberry.field(description="The nodes that the events are about, as they are now.")
    workflow: WorkflowRun = strawberry.field(
        description="The run at `sequence`, or later while there is more to catch up with: it has its own `sequence`."
    )

    @classmethod
    def from_update(cls, update: Update) -> Self:
        return cls(
            sequence=update.sequence,
            events=[make_event(update.run, fact) for fact in update.events],
            changed_nodes=[NodeRun.from_node(update.run, node) for node in update.changed],
            workflow=WorkflowRun.from_run(update.run),
        )


@strawberry.type
class Subscription:
    """Everything that can be watched."""

    @strawberry.subscription
    async def workflow_updates(
        self,
        info: Info,
        id: WorkflowId,
        after: Annotated[
            int | None,
            strawberry.argument(
                description=(
                    "The last sequence you have; 0 for everything from the beginning."
                    " Without it, the first update is the state now."
                )
            ),
        ] = None,
    ) -> AsyncGenerator[WorkflowUpdate, None]:
        """Everything that happens in a run, once and in order. Completes when the run has ended."""
        context = info.context
        after = after if context.resume_after is None else context.resume_after
        async with aclosing(context.service.watch(context.namespace, RunId(id), after=after)) as updates:
            async for update in updates:
                yield WorkflowUpdate.from_update(update)
