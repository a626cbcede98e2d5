"""The closed sets of the API: the core's own, with every value described."""

from collections.abc import Mapping
from enum import EnumMeta, StrEnum

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition

from gql_app.core.errors import ProblemCode
from gql_app.core.events import LogLevel, LostReason, Outcome, RetryState, SkipReason, SlotLimit, StepKind, Timeout
from gql_app.core.listing import RunOrderField
from gql_app.core.run import AttemptStatus, NodeStatus, RunStatus
from gql_app.core.spec import Jitter
from gql_app.core.step_run import StepStatus
from gql_app.service import Action, HealthStatus, RetryFrom, UpdateTopic

__all__ = [
    "Action",
    "AttemptStatus",
    "HealthStatus",
    "Isolation",
    "Jitter",
    "LogLevel",
    "LostReason",
    "NodeStatus",
    "OrderDirection",
    "Outcome",
    "ProblemCode",
    "RetryFrom",
    "RetryState",
    "RunOrderField",
    "RunStatus",
    "SkipReason",
    "SlotLimit",
    "StepKind",
    "StepStatus",
    "Timeout",
    "UpdateTopic",
]


class OrderDirection(StrEnum):
    """Which end of a list comes first."""

    ASC = "ASC"
    DESC = "DESC"


class Isolation(StrEnum):
    """Where a tool's calls run."""

    ASYNC = "ASYNC"
    THREAD = "THREAD"
    PROCESS = "PROCESS"


def _publish(enum: EnumMeta, values: Mapping[str, str], *, name: str | None = None) -> None:
    """Make an enum known to the schema; its docstring describes it, `values` its members."""
    strawberry.enum(enum, name=name, description=enum.__doc__)
    definition: StrawberryEnumDefinition = vars(enum)["__strawberry_definition__"]
    for value in definition.values:
        value.description = values[value.name]


_publish(
    RunStatus,
    {
        "PENDING": "Accepted, and waiting for its turn: nothing of it has begun.",
        "RUNNING": "Under way.",
        "STOPPING": "How it will end is settled; attempts in flight are being stopped.",
        "COMPLETED": "Every node ended as it should, and there is an output. Final.",
        "FAILED": "A node, or the run's output, failed. Final.",
        "CANCELLED": "Somebody cancelled it. Final.",
        "TIMED_OUT": "It took longer than its timeout. Final.",
    },
)
_publish(
    NodeStatus,
    {
        "PENDING": "Waiting for the nodes it depends on.",
        "QUEUED": "Ready, waiting for a slot.",
        "RUNNING": "An attempt is in flight.",
        "RETRYING": "The last attempt failed; the next one is due at `nextAttemptAt`.",
        "COMPLETED": "It has an output. Final.",
        "FAILED": "It was given up. Final.",
        "SKIPPED": "It did not run, for its `skipReason`. Final.",
        "CANCELLED": "It had begun when the run was stopped. Final.",
    },
)
_publish(
    AttemptStatus,
    {
        "RUNNING": "The tool has been called and has not answered.",
        "COMPLETED": "The tool returned an output.",
        "FAILED": "The tool failed.",
        "TIMED_OUT": "The tool took too long; whatever it still does no longer counts.",
        "CANCELLED": "It was stopped because the run was stopping.",
        "LOST": "The process that ran it died or was shut down.",
    },
)
_publish(
    StepKind,
    {
        "MODEL": "It asks a language model.",
        "TOOL": "It calls a tool.",
        "OTHER": "It does what its tool wants done only once.",
    },
)
_publish(
    StepStatus,
    {
        "QUEUED": "Waiting for a slot.",
        "RUNNING": "It is being tried.",
        "RETRYING": "The last try failed; the next one is due at `nextAttemptAt`.",
        "COMPLETED": "It has an output, and is never done again. Final.",
        "FAILED": "It was given up, in this attempt of its node.",
        "CANCELLED": "The attempt of its node ended before it.",
        "LOST": "The process that ran it died or was shut down.",
    },
)
_publish(
    LogLevel,
    {
        "DEBUG": "For whoever looks for a fault.",
        "INFO": "Worth knowing.",
        "WARNING": "Not as it should be.",
        "ERROR": "Something failed.",
    },
)
_publish(
    RetryState,
    {
        "MAXIMUM_ATTEMPTS_REACHED": "It had as many attempts as its retry policy allows.",
        "NON_RETRYABLE_ERROR": "The error is one that a retry cannot help.",
        "TIMEOUT": "The next attempt would have come after a deadline.",
        "CANCEL_REQUESTED": "The run was stopping.",
    },
)
_publish(
    SkipReason,
    {
        "CONDITION_FALSE": "Its `when` was false.",
        "DEPENDENCY_UNAVAILABLE": "It reads the output of a node that has none.",
        "WORKFLOW_STOPPING": "The run stopped before its turn.",
    },
)
_publish(
    SlotLimit,
    {
        "RUNS": "How many runs may be under way: the whole run waits for its turn.",
        "WORKFLOW": "The run's own `maximumConcurrency`.",
        "TOOL": "How many calls of its tool may be in flight.",
        "PROCESSES": "How many processes there may be for tools.",
        "NAMED": "How many attempts may be in flight that fall under a limit of the service, known by its name.",
        "RATE": "How often calls of its tool, or attempts that fall under a limit of the service, may begin.",
        "EXECUTOR": "How many attempts may be in flight altogether.",
    },
)
_publish(
    Timeout,
    {
        "ATTEMPT": "`attemptSeconds`: one attempt took too long.",
        "HEARTBEAT": "`heartbeatSeconds`: an attempt gave no sign of life.",
        "TOTAL": "`totalSeconds`: all attempts and the delays between them took too long.",
    },
    name="TimeoutKind",
)
_publish(LostReason, {"CRASH": "The process died.", "SHUTDOWN": "The process was shut down."})
_publish(
    Outcome,
    {
        "COMPLETED": "Every node ended as it should.",
        "FAILED": "A node, or the run's output, failed.",
        "CANCELLED": "Somebody cancelled it.",
        "TIMED_OUT": "It took longer than its timeout.",
    },
)
_publish(
    Jitter,
    {"FULL": "Anything between no delay and the whole delay.", "NONE": "Exactly the delay."},
    name="JitterMode",
)
_publish(
    ProblemCode,
    {
        "CYCLE": "Nodes depend on each other in a circle; the message shows the way round.",
        "UNKNOWN_NODE": "There is no node of this id.",
        "UNKNOWN_TOOL": "There is no tool of this name.",
        "UNKNOWN_SECRET": "There is no secret of this name for the namespace.",
        "UNKNOWN_LIMIT": "The service has no limit of this name.",
        "DUPLICATE_NODE": "Two nodes have the same id.",
        "INVALID_EXPRESSION": "An expression cannot be compiled, or names what is not there.",
        "INVALID_FIELD": "A field has the wrong type, is out of range, missing or unknown.",
        "INVALID_TOOL_INPUT": "A node's input does not fit its tool.",
        "INVALID_INPUT": "The run's input does not fit `inputSchema`.",
        "LIMIT_EXCEEDED": "The document is bigger than this service allows.",
        "TIMEOUT_INCONSISTENT": "A timeout is longer than one it stands within.",
    },
)
_publish(HealthStatus, {"OK": "All is well.", "DEGRADED": "It answers, but something is wrong."})
_publish(
    Action,
    {"CANCEL": "`cancelWorkflow`.", "RETRY": "`retryWorkflow`.", "DELETE": "`deleteWorkflow`."},
    name="WorkflowAction",
)
_publish(
    RetryFrom,
    {
        "FAILED": "Keep the outputs of completed nodes; run the others again.",
        "START": "Run everything again.",
    },
)
_publish(
    UpdateTopic,
    {
        "STATUS": "Where the run, its nodes, their attempts and steps stand.",
        "OUTPUT": "Text as it is streamed, and the failures of attempts and steps that make it void.",
        "LOG": "What tools log.",
        "PROGRESS": "How far attempts say that they have come.",
    },
)
_publish(
    RunOrderField,
    {"CREATED_AT": "When the run was submitted.", "NAME": "The workflow's name."},
    name="WorkflowOrderField",
)
_publish(OrderDirection, {"ASC": "Smallest or oldest first.", "DESC": "Biggest or newest first."})
_publish(
    Isolation,
    {
        "ASYNC": "On the event loop.",
        "THREAD": "In a thread.",
        "PROCESS": "In a process of its own, which can be killed.",
    },
)
