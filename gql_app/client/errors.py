"""Everything that can go wrong for a client.

ClientError
├── ConnectionFailedError      nobody answers, or the connection broke and did not come back
├── NotAServerError            something answers, but it is not this service
├── ServerFailedError          the service says that it failed
└── RefusedError               the service says no; `code` says why
    ├── NotAllowedError        it wants another token, or the token allows less
    ├── InvalidDocumentError   the document cannot work: every problem found
    ├── RunNotFoundError       no run has this id
    ├── RunRemovedError        the run was removed while it was watched
    ├── RunFinishedError       what was asked needs a run that has not ended
    ├── RunNotFinishedError    what was asked needs a run that has ended
    ├── KeyConflictError       the idempotency key was used for something else
    └── ServerOverloadedError  try again later
"""

from collections.abc import Sequence

from gql_app.client.models import Problem, WorkflowRun


class ClientError(Exception):
    """The base of everything that the client raises; its message is for people."""


class ConnectionFailedError(ClientError):
    """Nobody answers at `url`, or the connection broke and did not come back."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"Cannot reach {url}: {reason}")
        self.url = url


class NotAServerError(ClientError):
    """Something answers at `url`, but it is not this service."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"There is no gql_app server at {url}: {reason}")
        self.url = url


class ServerFailedError(ClientError):
    """The service says that it failed; its log knows more."""


class RefusedError(ClientError):
    """The service says no; `code` is for programs to read."""

    def __init__(self, message: str, code: str = "REFUSED") -> None:
        super().__init__(message)
        self.code = code


class NotAllowedError(RefusedError):
    """Nobody knows this token (`code` is UNAUTHENTICATED), or it does not allow what was asked (FORBIDDEN)."""


class InvalidDocumentError(RefusedError):
    """The document cannot work; `problems` holds everything that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"The workflow is invalid: {count}.", "INVALID_WORKFLOW")
        self.problems = tuple(problems)


class RunNotFoundError(RefusedError):
    """No run has this id."""


class RunRemovedError(RefusedError):
    """The run was removed while it was watched."""


class RunFinishedError(RefusedError):
    """What was asked needs a run that has not ended; `run` is how it is."""

    def __init__(self, message: str, code: str, run: WorkflowRun) -> None:
        super().__init__(message, code)
        self.run = run


class RunNotFinishedError(RefusedError):
    """What was asked needs a run that has ended; `run` is how it is."""

    def __init__(self, message: str, code: str, run: WorkflowRun) -> None:
        super().__init__(message, code)
        self.run = run


class KeyConflictError(RefusedError):
    """The idempotency key was used for another document or input; `run` is what it was used for."""

    def __init__(self, message: str, code: str, run: WorkflowRun) -> None:
        super().__init__(message, code)
        self.run = run


class ServerOverloadedError(RefusedError):
    """Too much is going on; `retry_after_seconds` says when to try again."""

    def __init__(self, message: str, code: str, retry_after_seconds: float) -> None:
        super().__init__(message, code)
        self.retry_after_seconds = retry_after_seconds
