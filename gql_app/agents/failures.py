"""What goes wrong with models, as errors of ours: typed, without keys, and with a word on whether to try again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelServerError,
    ModelTimeoutError,
    ModelUnavailableError,
    OutputTokenLimitExceeded,
    UnexpectedModelBehavior,
    UserError,
)

from gql_app.core.errors import InvalidInputError, ToolError

_MESSAGE: Final = 300
_LONGEST_WAIT: Final = 86_400.0
# The first that fits counts. What providers call an overload and a fault of theirs passes; what they refuse does not.
_KINDS: Final[tuple[tuple[type[ModelAPIError], str, bool, str], ...]] = (
    (ModelRateLimitError, "ModelRateLimited", True, "takes no more requests for now"),
    (ModelQuotaExceededError, "ModelQuotaExceeded", False, "says that the account's quota or credit is used up"),
    (ModelUnavailableError, "ModelUnavailable", True, "is not available for now"),
    (ModelServerError, "ModelServerError", True, "failed"),
    (ModelTimeoutError, "ModelTimeout", True, "did not answer in time"),
    (ModelConnectionError, "ModelConnectionError", True, "could not be reached, or the connection broke"),
    (ModelContextWindowExceededError, "ModelContextExceeded", False, "cannot read that much: give it less"),
    (ModelAuthenticationError, "ModelAuthenticationError", False, "does not accept the key, or not for this model"),
    (ModelNotFoundError, "ModelNotFound", False, "is not known to its provider"),
    (ModelRequestRejectedError, "ModelRequestRejected", False, "was asked something that its provider refuses"),
)


@contextmanager
def told_as_ours(model: str, key: str | None = None) -> Iterator[None]:
    """Tell failures of a request to a model as a tool does."""
    try:
        yield
    except ModelAPIError as error:
        if isinstance(error.__cause__, ValueError):
            raise _unreadable(model, str(error.__cause__), key) from error
        raise _of_api(model, error, key) from error
    except ContentFilterError as error:
        message = f"The provider of {model!r} filtered the answer out."
        raise ToolError(message, type="ModelContentFiltered", retryable=False) from error
    except OutputTokenLimitExceeded as error:
        raise _too_long(model) from error
    except UserError as error:
        raise InvalidInputError(f"{model!r} cannot be asked this: {_line(error.message, key)}") from error
    except (UnexpectedModelBehavior, ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
        # Nothing but what the server sent can make the library stumble so.
        raise _unreadable(model, str(error), key) from error


@contextmanager
def given_up_as_ours(model: str) -> Iterator[None]:
    """Tell why an agent stopped without an answer."""
    try:
        yield
    except OutputTokenLimitExceeded as error:
        raise _too_long(model) from error
    except ContentFilterError as error:
        message = f"The provider of {model!r} filtered the answer out."
        raise ToolError(message, type="ModelContentFiltered", retryable=False) from error
    except UnexpectedModelBehavior as error:
        raise ToolError(
            f"{model!r} was told what is wrong with its answers, and did no better: {_line(error.message, None)}",
            type="AgentGaveUp",
            retryable=False,
        ) from error
    except UserError as error:
        raise InvalidInputError(f"The agent cannot run like this: {_line(error.message, None)}") from error


def _unreadable(model: str, reason: str, key: str | None) -> ToolError:
    return ToolError(f"{model!r} answered what cannot be read: {_line(reason, key)}", type="InvalidModelResponse")


def _too_long(model: str) -> ToolError:
    message = f"{model!r} ran out of tokens before its answer was complete: raise `modelSettings.maxTokens`."
    return ToolError(message, type="ModelOutputTruncated", retryable=False)


def _of_api(model: str, error: ModelAPIError, key: str | None) -> ToolError:
    type_, retryable, what = next(
        ((name, again, words) for kind, name, again, words in _KINDS if isinstance(error, kind)),
        ("ModelError", _may_pass(error), "failed"),
    )
    status = f" ({error.status_code})" if isinstance(error, ModelHTTPError) else ""
    said = _said(error)
    message = f"The model {model!r} {what}{status}" + (f": {_line(said, key)}" if said else ".")
    wait = None if error.retry_after is None or not retryable else min(error.retry_after, _LONGEST_WAIT)
    return ToolError(message, type=type_, retryable=retryable, retry_after=wait)


def _may_pass(error: ModelAPIError) -> bool:
    return not isinstance(error, ModelHTTPError) or error.status_code >= 500 or error.status_code in (408, 409, 425)


def _said(error: ModelAPIError) -> str:
    """Find what the provider says in words; what it sent besides may quote the request."""
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        said = inner.get("message") if isinstance(inner, dict) else inner
        return said if isinstance(said, str) else ""
    if isinstance(error, ModelHTTPError):
        return body if isinstance(body, str) else ""
    return error.message


def _line(text: str, key: str | None) -> str:
    """Make one line of a text, without the key."""
    hidden = text.replace(key, "***") if key else text
    line = " ".join(hidden.split())
    return (line if len(line) <= _MESSAGE else line[: _MESSAGE - 1] + "…").rstrip(".") + "."
