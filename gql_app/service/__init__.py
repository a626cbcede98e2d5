"""The use cases: everything a client can ask of workflows."""

from gql_app.service.answers import (
    Action,
    AvailableAction,
    Health,
    HealthCheck,
    HealthStatus,
    RetryFrom,
    Update,
)
from gql_app.service.filters import UpdateTopic
from gql_app.service.workflows import WorkflowService

__all__ = [
    "Action",
    "AvailableAction",
    "Health",
    "HealthCheck",
    "HealthStatus",
    "RetryFrom",
    "Update",
    "UpdateTopic",
    "WorkflowService",
]
