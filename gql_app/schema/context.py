"""What every resolver is handed."""

from dataclasses import dataclass
from typing import TypeAlias

import strawberry

from gql_app.core.access import ANYBODY, Identity
from gql_app.core.ids import Namespace
from gql_app.service import WorkflowService


@dataclass(frozen=True, slots=True)
class Context:
    """Who answers, and who asks. One serves any number of operations."""

    service: WorkflowService
    identity: Identity = ANYBODY
    transport: str = "http"
    """How the answer goes to who asks, for the metrics."""
    resume_after: int | None = None
    """Where a subscription goes on whose client says so beside the operation; it goes before the argument `after`."""

    @property
    def namespace(self) -> Namespace:
        """The room that the operation sees."""
        return self.identity.namespace


Info: TypeAlias = strawberry.Info[Context, None]
