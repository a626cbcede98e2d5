"""Expected failures as an assistant is told of them: a code, a text, and what to do about it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gql_app.cli.assistant.shapes import Answer
from gql_app.cli.output import clean
from gql_app.cli.words import describe_problems
from gql_app.client import (
    ClientError,
    ConnectionFailedError,
    InvalidDocumentError,
    KeyConflictError,
    NotAllowedError,
    NotAServerError,
    Problem,
    RefusedError,
    RunFinishedError,
    RunNotFinishedError,
    RunNotFoundError,
    RunRemovedError,
    ServerFailedError,
    ServerOverloadedError,
)

PROBLEM_BYTES: Final = 10_000
"""How much is told of what is wrong with a document."""
TEXT_CHARACTERS: Final = 2_000

_ADVICE: Final[Mapping[type[ClientError], str]] = {
    InvalidDocumentError: "Nothing was started. Correct these places and call again.",
    RunNotFoundError: "Call list_workflows to see which runs there are.",
    RunRemovedError: "It was removed while it was watched. Call list_workflows to see which runs there are.",
    RunFinishedError: "Nothing was changed. Call get_workflow to see how it ended, or retry_workflow to run it again.",
    RunNotFinishedError: "Call watch_workflow until it has ended, or cancel_workflow first.",
    KeyConflictError: "Send exactly what was sent with this key before, or use another idempotencyKey.",
    NotAllowedError: "Calling again does not help. Tell the user: `gql-app mcp` needs another token, in GQL_APP_TOKEN.",
    ConnectionFailedError: "The service may be starting again: call again in a few seconds. If that does not help, tell"
    " the user that it is not running, or that `gql-app mcp` needs another --url.",
    NotAServerError: "Calling again does not help. Tell the user: `gql-app mcp` needs another --url.",
    ServerFailedError: "Call again once. If it fails again, tell the user; the service's log says more.",
}
_CODES: Final[Mapping[type[ClientError], str]] = {
    ConnectionFailedError: "UNREACHABLE",
    NotAServerError: "NOT_A_SERVER",
    ServerFailedError: "SERVER_FAILED",
}


class Failure(Answer, frozen=True, kw_only=True):
    """Why a call could not be carried out, and what to do about it."""

    code: Annotated[
        str, Meta(description="Such as INVALID_WORKFLOW, WORKFLOW_NOT_FOUND, INVALID_ARGUMENT, UNREACHABLE.")
    ]
    message: str
    advice: str = ""
    problems: Annotated[tuple[Problem, ...], Meta(description="What is wrong with the document.")] = ()
    more_problems: Annotated[int, Meta(description="How many further problems there are.")] = 0
    id: Annotated[str, Meta(description="The run that this is about.")] | UnsetType = UNSET
    status: Annotated[str, Meta(description="That run's status.")] | UnsetType = UNSET
    retry_after_seconds: float | UnsetType = UNSET

    @property
    def text(self) -> str:
        """All of it, for those who read."""
        told = describe_problems(self.problems)
        more = [f"… and {self.more_problems} more problems."] if self.more_problems else []
        return "\n".join([f"{self.code}: {self.message}", *told, *more, *([self.advice] if self.advice else [])])


class AskedWronglyError(Exception):
    """The arguments of a call cannot be used; the message says which, why, and what can."""

    def __init__(self, message: str, code: str = "INVALID_ARGUMENT") -> None:
        super().__init__(message)
        self.code = code


class FailedError(Exception):
    """A call could not be carried out, for a reason that is explained already."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


@contextmanager
def uncertain(advice: str) -> Iterator[None]:
    """Give other advice about something that may have been done although no answer came. Raises `FailedError`."""
    try:
        yield
    except (ConnectionFailedError, ServerFailedError) as error:
        raise FailedError(msgspec.structs.replace(explain(error), advice=advice)) from None


def explain(error: ClientError | AskedWronglyError | FailedError) -> Failure:
    """Tell why a call could not be carried out."""
    if isinstance(error, FailedError):
        return error.failure
    message = clean(str(error), TEXT_CHARACTERS)
    advice = next((advice for kind, advice in _ADVICE.items() if isinstance(error, kind)), "")
    match error:
        case AskedWronglyError() as wrong:
            return Failure(code=wrong.code, message=message)
        case InvalidDocumentError(problems=problems):
            shown = _that_fit(problems)
            left = len(problems) - len(shown)
            return Failure(code=error.code, message=message, advice=advice, problems=shown, more_problems=left)
        case ServerOverloadedError(retry_after_seconds=seconds):
            advice = f"Call again in {seconds:g} seconds."
            return Failure(code=error.code, message=message, advice=advice, retry_after_seconds=seconds)
        case RunFinishedError(run=run) | RunNotFinishedError(run=run) | KeyConflictError(run=run):
            return Failure(code=error.code, message=message, advice=advice, id=run.id, status=run.status)
        case RefusedError():
            return Failure(code=error.code, message=message, advice=advice)
        case _:
            return Failure(code=_CODES.get(type(error), "FAILED"), message=message, advice=advice)


def _that_fit(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Take the first problems, as many as there is room for, and one at least."""
    sizes = accumulate(len(msgspec.json.encode(problem)) for problem in problems)
    count = sum(size <= PROBLEM_BYTES for size in sizes)
    return tuple(problems[: max(1, count)])
