"""Says of an exception what a run's log keeps."""

import math
from collections.abc import Callable
from typing import Final

from gql_app.core.errors import ToolError
from gql_app.core.events import Failure

MESSAGE_CHARACTERS: Final = 2_000
"""What is kept of an error's message."""


def as_failure(error: BaseException, hide: Callable[[str], str] = str) -> Failure:
    """Say of an exception what a run's log keeps; `hide` takes out of its texts what must not stand there."""
    if isinstance(error, ToolError):
        after = error.retry_after
        return Failure(
            _text(error.type, hide),
            _message(error, hide),
            error.retryable,
            after if after is None or math.isfinite(after) else None,
        )
    return Failure(_text(type(error).__name__, hide), _message(error, hide))


def _message(error: BaseException, hide: Callable[[str], str]) -> str:
    try:
        return _text(str(error), hide)
    except Exception:  # noqa: BLE001 - an edge: the tool's own exception class cannot say what it is
        return "(the error has no readable message)"


def _text(text: str, hide: Callable[[str], str]) -> str:
    """Shorten a text, once nothing is left to hide, and replace what is not Unicode."""
    text = hide(text)
    if len(text) > MESSAGE_CHARACTERS:
        text = f"{text[: MESSAGE_CHARACTERS - 1]}…"
    return text.encode("utf-8", "replace").decode("utf-8")
