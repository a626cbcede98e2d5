"""The seams of the product: what the service, the engine and the stores expect of each other."""

from gql_app.core.listing import RunFilter, RunOrder, RunOrderField, RunPage, RunPosition, RunQuery, RunSummary
from gql_app.ports.context import Reports, Steps, StepSpec, StepWork, ToolContext
from gql_app.ports.execution import Clock, Evaluator, Executor, ExecutorLoad
from gql_app.ports.resources import Resource, Resources
from gql_app.ports.storage import IdempotencyKey, KeyRecord, KeyRecords, Lease, Letter, RunRepository
from gql_app.ports.tools import Secrets, Tool, Tools, ToolSource

__all__ = [
    "Clock",
    "Evaluator",
    "Executor",
    "ExecutorLoad",
    "IdempotencyKey",
    "KeyRecord",
    "KeyRecords",
    "Lease",
    "Letter",
    "Reports",
    "Resource",
    "Resources",
    "RunFilter",
    "RunOrder",
    "RunOrderField",
    "RunPage",
    "RunPosition",
    "RunQuery",
    "RunRepository",
    "RunSummary",
    "Secrets",
    "StepSpec",
    "StepWork",
    "Steps",
    "Tool",
    "ToolContext",
    "ToolSource",
    "Tools",
]
