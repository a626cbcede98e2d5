"""Every error of the product.

WorkflowError
├── InvalidWorkflowError          the document cannot work: every problem found
├── WorkflowNotFoundError         no run has this id
├── WorkflowRemovedError          the run was removed while it was watched
├── WorkflowAlreadyFinishedError  what was asked needs a run that has not ended
├── WorkflowNotFinishedError      what was asked needs a run that has ended
├── NotOwnerError                 the run was submitted by somebody else
├── IdempotencyConflictError      the key was used for something else
├── InvalidCursorError            a cursor or sequence that nobody handed out
├── InvalidArgumentError          an argument outside its range
├── OverloadedError               try again later
├── StaleWriterError              somebody else has written this run's log
├── InvalidToolError              a tool cannot be registered or loaded
├── MissingExtraError             a setting needs something that is not installed
├── InvalidSecretsError           the secrets cannot be read
└── InvalidMcpServersError        the MCP servers in the settings cannot be used as they stand there
ToolError                         what a tool raises to say how it failed
├── InvalidInputError             the resolved input does not fit the tool
├── InvalidOutputError            the output is not JSON, or too big
├── ExpressionError               an expression failed at run time
├── SecretUnavailableError        a secret has gone since the run was submitted
├── ToolServerUnavailableError    the server that has the tool cannot be reached now
├── McpToolError                  a tool of an MCP server says that it failed
└── ResourceUnavailable           what calls share is not open
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from gql_app.core.ids import RunId


class ProblemCode(StrEnum):
    """What kind of thing is wrong with a document."""

    CYCLE = "CYCLE"
    UNKNOWN_NODE = "UNKNOWN_NODE"
    UNKNOWN_TOOL = "UNKNOWN_TOOL"
    UNKNOWN_SECRET = "UNKNOWN_SECRET"
    UNKNOWN_LIMIT = "UNKNOWN_LIMIT"
    DUPLICATE_NODE = "DUPLICATE_NODE"
    INVALID_EXPRESSION = "INVALID_EXPRESSION"
    INVALID_FIELD = "INVALID_FIELD"
    INVALID_TOOL_INPUT = "INVALID_TOOL_INPUT"
    INVALID_INPUT = "INVALID_INPUT"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    TIMEOUT_INCONSISTENT = "TIMEOUT_INCONSISTENT"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with a document; `pointer` is a JSON Pointer (RFC 6901) into it."""

    code: ProblemCode
    message: str
    pointer: str
    node_id: str | None = None
    hint: str | None = None


class WorkflowError(Exception):
    """The base of everything a caller of the service can be told."""


class InvalidWorkflowError(WorkflowError):
    """The document cannot work; `problems` holds everything found, in document order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"The workflow is invalid at {first.pointer or '/'}: {first.message}{more}")
        self.problems = tuple(problems)


class WorkflowNotFoundError(WorkflowError):
    """No run has this id."""

    def __init__(self, run_id: RunId) -> None:
        super().__init__(
            f"No workflow run {run_id!r}; it may have been removed by retention. List runs to see what is there."
        )
        self.run_id = run_id


class WorkflowRemovedError(WorkflowError):
    """The run was removed while it was being watched."""

    def __init__(self, run_id: RunId) -> None:
        super().__init__(
            f"Workflow run {run_id!r} was removed while it was being watched; its remaining events are gone."
        )
        self.run_id = run_id


class WorkflowAlreadyFinishedError(WorkflowError):
    """What was asked needs a run that has not ended."""

    def __init__(self, run_id: RunId, status: str) -> None:
        super().__init__(
            f"Workflow run {run_id!r} has already finished: {status}."
            " A finished run never changes; retry makes a new one."
        )
        self.run_id = run_id
        self.status = status


class WorkflowNotFinishedError(WorkflowError):
    """What was asked needs a run that has ended."""

    def __init__(self, run_id: RunId, status: str) -> None:
        super().__init__(f"Workflow run {run_id!r} has not finished: {status}. Wait for its end or cancel it first.")
        self.run_id = run_id
        self.status = status


class NotOwnerError(WorkflowError):
    """What was asked is for who submitted the run, and for admins."""

    def __init__(self, run_id: RunId, name: str) -> None:
        super().__init__(
            f"{name!r} may not delete workflow run {run_id!r}: that is for who submitted it, and for the scope 'admin'."
        )
        self.run_id = run_id


class IdempotencyConflictError(WorkflowError):
    """The idempotency key belongs to a run of another document or input."""

    def __init__(self, run_id: RunId, key: str) -> None:
        super().__init__(
            f"Idempotency key {key!r} was used for run {run_id!r} with another document or input. Use a new key."
        )
        self.run_id = run_id
        self.key = key


class InvalidCursorError(WorkflowError):
    """A cursor or a sequence that nobody handed out."""

    def __init__(self, cursor: str | int, reason: str) -> None:
        super().__init__(f"Cursor {cursor!r} is not valid: {reason}")
        self.cursor = cursor


class InvalidArgumentError(WorkflowError):
    """An argument outside its range."""

    def __init__(self, name: str, value: object, rule: str) -> None:
        super().__init__(f"Argument {name!r} is {value!r}: {rule}")
        self.name = name
        self.value = value


class OverloadedError(WorkflowError):
    """Too much is going on; `retry_after_seconds` says when to try again."""

    def __init__(self, reason: str, retry_after_seconds: float) -> None:
        super().__init__(f"{reason} Try again in {retry_after_seconds:g} s.")
        self.retry_after_seconds = retry_after_seconds


class StaleWriterError(WorkflowError):
    """Somebody else has written this run's log."""

    def __init__(self, run_id: RunId, expected: int, actual: int) -> None:
        super().__init__(
            f"Run {run_id!r} is at sequence {actual}, not at {expected}: another writer has taken it over."
        )
        self.run_id = run_id
        self.expected = expected
        self.actual = actual


class LeaseLostError(WorkflowError):
    """Another process is the executor of this store: what this one says does not count."""

    def __init__(self, run_id: RunId, epoch: int) -> None:
        super().__init__(f"Run {run_id!r} cannot be written: the executor of epoch {epoch} has been replaced.")
        self.run_id = run_id
        self.epoch = epoch


class StoreUnavailableError(OverloadedError):
    """The store cannot be reached, or cannot write. Nothing is acknowledged that it did not store."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The store is not available: {reason.rstrip('.')}.", 5.0)


class StoreInUseError(WorkflowError):
    """The store belongs to another process, and there can be only one."""

    def __init__(self, store: str, holder: str) -> None:
        super().__init__(
            f"The store {store} is in use by {holder}, and only one process may execute its runs."
            " Stop that one first, or choose another store with --store."
        )
        self.holder = holder


class InvalidStoreError(WorkflowError):
    """The store cannot be opened as it is; the message says why and what to do."""


class CorruptRunError(WorkflowError):
    """What the store holds of a run cannot be read."""

    def __init__(self, run_id: RunId, detail: str) -> None:
        super().__init__(f"Run {run_id!r} cannot be read: {detail}. Restore it from a backup, or delete it.")
        self.run_id = run_id


class InvalidToolError(WorkflowError):
    """A tool cannot be registered or loaded; the message says which and why."""


class MissingExtraError(WorkflowError):
    """A setting needs an optional part of the package that is not installed."""

    def __init__(self, setting: str, extra: str) -> None:
        super().__init__(f"{setting} needs what is not installed: pip install 'gql-app[{extra}]'.")


class InvalidSecretsError(WorkflowError):
    """The secrets cannot be read; the message says which and why, and tells no value."""


class InvalidMcpServersError(WorkflowError):
    """The MCP servers in the settings cannot be used as they stand there; the message says which and why."""


class ToolError(Exception):
    """What a tool raises to say how it failed: its `type`, whether a retry can help, and when (seconds)."""

    def __init__(
        self, message: str = "", *, type: str | None = None, retryable: bool = True, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.type = type or self.__class__.__name__
        self.retryable = retryable
        self.retry_after = retry_after


class StepFailedError(ToolError):
    """A step of an attempt was given up. Its `type` is that of what failed last."""

    def __init__(self, step: str, message: str, *, type: str, retryable: bool) -> None:
        super().__init__(message, type=type, retryable=retryable)
        self.step = step


class InvalidInputError(ToolError):
    """The resolved input does not fit the tool. Never retried."""

    def __init__(self, message: str) -> None:
        super().__init__(message, type="InvalidInput", retryable=False)


class InvalidOutputError(ToolError):
    """The tool's output is not JSON, or too big. Never retried."""

    def __init__(self, message: str) -> None:
        super().__init__(message, type="InvalidOutput", retryable=False)


class ExpressionError(ToolError):
    """An expression failed when it was evaluated; the message quotes it. Never retried."""

    def __init__(self, message: str) -> None:
        super().__init__(message, type="ExpressionError", retryable=False)


class SecretUnavailableError(ToolError):
    """A secret is gone, or is no longer for the namespace of the run. Never retried."""

    def __init__(self, name: str) -> None:
        message = f"The secret `{name}` is not there any more: it was there when the run was submitted."
        super().__init__(message, type="SecretUnavailable", retryable=False)
        self.name = name


class ToolServerUnavailableError(ToolError):
    """The server that has the tool is not connected, or went away during the call."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message, type="ToolServerUnavailable", retry_after=retry_after)


class McpToolError(ToolError):
    """A tool of an MCP server failed, in its server's words."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message, type="McpToolError", retryable=retryable)


class ResourceUnavailable(ToolError):
    """What calls share is not open: it could not be, or not yet."""
