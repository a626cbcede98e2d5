"""Checks what tools say through their context: what is written into a log can be read again."""

import math
from typing import Final

from gql_app.core.events import LogLevel, StepKind, Usage
from gql_app.core.spec import MAXIMUM_NODE_LIMITS, RetryPolicy, TimeoutPolicy
from gql_app.core.values import Json

MAXIMUM_STEP_DEPTH: Final = 8
"""How deep steps may stand in each other."""
MAXIMUM_STEP_ID: Final = 100
MAXIMUM_NAME: Final = 300
MAXIMUM_COUNT: Final = 1_000_000_000
"""What a single request may have used, in tokens or requests."""


def check_text(value: Json, what: str) -> None:
    """Raise `TypeError` for what is no text."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is a text, not {type(value).__name__}: {value!r:.80}.")


def check_fraction(value: Json) -> float | None:
    """Give a fraction as it is written down. Raises `TypeError` and `ValueError`."""
    if value is None:
        return None
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"A fraction is a number from 0 to 1, not {value!r}.")
    return float(value)


def check_level(value: Json) -> LogLevel:
    """Give a level of the log by its name in any case. Raises `ValueError`."""
    try:
        return LogLevel(str(value).upper())
    except ValueError:
        levels = ", ".join(each.lower() for each in LogLevel)
        raise ValueError(f"{value!r} is not a level of a log: it is one of {levels}.") from None


def check_step_id(value: Json, outer: str | None) -> str:
    """Give the id of a step within another one. Raises `TypeError` and `ValueError`."""
    check_text(value, "The id of a step")
    if not value or "/" in value or len(value) > MAXIMUM_STEP_ID or not _is_unicode(value):
        raise ValueError(
            f"{value[:MAXIMUM_STEP_ID]!r} cannot be the id of a step: it has 1 to {MAXIMUM_STEP_ID} characters, and"
            " no '/'."
        )
    inner = value if outer is None else f"{outer}/{value}"
    if inner.count("/") >= MAXIMUM_STEP_DEPTH:
        raise ValueError(f"Step {inner!r} stands in too many others: {MAXIMUM_STEP_DEPTH} deep is the limit.")
    return str(inner)


def check_name(value: Json, what: str) -> str:
    """Give a name as it is written down. Raises `TypeError` and `ValueError`."""
    check_text(value, what)
    if not value or len(value) > MAXIMUM_NAME or not _is_unicode(value):
        raise ValueError(f"{what} has 1 to {MAXIMUM_NAME} characters; {value[:MAXIMUM_NAME]!r} has not.")
    return str(value)


def check_kind(value: Json) -> StepKind:
    """Give what a step does. Raises `ValueError`."""
    try:
        return StepKind(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a kind of a step: it is one of {', '.join(StepKind)}.") from None


def check_limits(value: Json) -> tuple[str, ...]:
    """Give the names of limits. Raises `TypeError` and `ValueError`."""
    if not isinstance(value, tuple | list):
        raise TypeError(f"Limits are a list of names, not {type(value).__name__}: {value!r:.80}.")
    if len(value) > MAXIMUM_NODE_LIMITS:
        raise ValueError(f"A step may name {MAXIMUM_NODE_LIMITS} limits, not {len(value)}.")
    return tuple(check_name(name, "The name of a limit") for name in value)


def check_policies(retry: Json, timeout: Json) -> None:
    """Raise `TypeError` for what is no policy."""
    for value, policy in ((retry, RetryPolicy), (timeout, TimeoutPolicy)):
        if value is not None and not isinstance(value, policy):
            raise TypeError(f"{policy.__name__} is wanted, not {type(value).__name__}: {value!r:.80}.")


def check_usage(requests: Json, input_tokens: Json, output_tokens: Json, cost_usd: Json) -> Usage:
    """Give what a model was used for. Raises `ValueError` for what cannot be."""
    for name, count in (("requests", requests), ("input_tokens", input_tokens), ("output_tokens", output_tokens)):
        if type(count) is not int or not 0 <= count <= MAXIMUM_COUNT:
            raise ValueError(f"{name} is a number from 0 to {MAXIMUM_COUNT}, not {count!r:.80}.")
    if cost_usd is None:
        return Usage(requests, input_tokens, output_tokens)
    if isinstance(cost_usd, bool) or not isinstance(cost_usd, int | float) or not 0 <= cost_usd <= MAXIMUM_COUNT:
        raise ValueError(f"cost_usd is a number of US dollars from 0 to {MAXIMUM_COUNT}, not {cost_usd!r:.80}.")
    return Usage(requests, input_tokens, output_tokens, float(cost_usd))


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
