"""What every resolver is handed."""

from dataclasses import dataclass
from typing import TypeAlias

import strawberry

from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.service import WorkflowService


@dataclass(frozen=True, slots=True)
class Context:
    """Who answers, and in which namespace. One serves any number of operations."""

    service: WorkflowService
    namespace: Namespace = DEFAULT_NAMESPACE


Info: TypeAlias = strawberry.Info[Context, None]
