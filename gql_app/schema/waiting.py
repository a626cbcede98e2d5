"""What keeps something from going on, and how long things took."""

from datetime import datetime
from typing import Annotated, TypeAlias

import strawberry

from gql_app.schema.enums import SlotLimit


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """Tell how long something took, once it has ended."""
    return (end - start).total_seconds() if start is not None and end is not None else None


@strawberry.type
class WaitingOnNodes:
    """Waiting for other nodes to end."""

    node_ids: list[strawberry.ID] = strawberry.field(description="The dependencies that have not ended.")


@strawberry.type
class WaitingOnRetry:
    """Waiting until the next attempt is due."""

    until: datetime = strawberry.field(description="When it is due.")


@strawberry.type
class WaitingOnSlot:
    """Ready, and waiting for a slot."""

    limit: SlotLimit = strawberry.field(description="The limit that has been reached.")
    since: datetime = strawberry.field(description="Since when it waits.")
    tool: str | None = strawberry.field(description="The tool whose limit it is, if it is a tool's.")
    name: str | None = strawberry.field(
        description="The name of the limit, or of the tool whose limit it is; null for those that have no name."
    )


WaitingOn: TypeAlias = Annotated[
    WaitingOnNodes | WaitingOnRetry | WaitingOnSlot,
    strawberry.union("WaitingOn", description="What keeps a node from running."),
]
