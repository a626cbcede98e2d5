"""Everything that can be watched."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import lru_cache
from typing import Annotated, Self

import strawberry

from gql_app.core.ids import RunId
from gql_app.schema.context import Info
from gql_app.schema.enums import UpdateTopic
from gql_app.schema.event import RunEvent
from gql_app.schema.facts import make_event
from gql_app.schema.node import NodeRun
from gql_app.schema.query import WorkflowId
from gql_app.schema.run import WorkflowRun
from gql_app.service import Update


@strawberry.type
class WorkflowUpdate:
    """What happened in a run since the update before."""

    update: strawberry.Private[Update]
    sequence: int = strawberry.field(
        description="The last event told so far. Come back with it as `after`, and nothing is missed or told twice."
    )

    @classmethod
    @lru_cache(maxsize=64)
    def from_update(cls, update: Update) -> Self:
        """Show an update, the same to all who watch."""
        return cls(update=update, sequence=update.sequence)

    @strawberry.field
    def events(self) -> list[RunEvent]:
        """What happened, in order.

        Empty in the first update of a subscription without `after`, and where only what was not asked for has happened
        for some seconds: `sequence` goes on over it all the same.
        """
        run = self.update.run
        return [make_event(run, fact) for fact in self.update.events]

    @strawberry.field
    def changed_nodes(self) -> list[NodeRun]:
        """The nodes that the events are about, as they are now."""
        run = self.update.run
        return [NodeRun.from_node(run, node) for node in self.update.changed]

    @strawberry.field
    def workflow(self) -> WorkflowRun:
        """The run at `sequence`, or later while there is more to catch up with: it has its own `sequence`."""
        return WorkflowRun.from_run(self.update.run)


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
        only: Annotated[
            list[UpdateTopic] | None,
            strawberry.argument(
                description="Only events about this; without it, about everything. The run's last event always comes."
            ),
        ] = None,
        nodes: Annotated[
            list[strawberry.ID] | None,
            strawberry.argument(
                description="Only events of these nodes, and those that are of no node; without it, of all nodes."
            ),
        ] = None,
    ) -> AsyncGenerator[WorkflowUpdate, None]:
        """Everything that happens in a run and is asked for, once and in order. Completes when the run has ended."""
        context = info.context
        after = after if context.resume_after is None else context.resume_after
        service = context.service
        watching = service.watch(context.namespace, RunId(id), after=after, only=only, nodes=nodes)
        async with aclosing(watching) as updates:
            async for update in updates:
                yield WorkflowUpdate.from_update(update)
