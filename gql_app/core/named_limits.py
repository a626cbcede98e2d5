"""Limits that are known by their names: those that a service has, and those that the nodes of a document name."""

import re
from collections.abc import Collection
from itertools import islice
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from gql_app.core.documents import Draft, quote
from gql_app.core.errors import ProblemCode
from gql_app.core.problems import Problems
from gql_app.core.spec import MAXIMUM_NODE_LIMITS, RateLimit
from gql_app.core.values import Frozen

SHOWN_NAMES: Final = 10
"""How many names of limits a hint lists."""
NONE_HINT: Final = "This service has none; whoever runs it sets limits in GQL_APP_LIMITS."

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,126}[*]?")


def _check_name(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        message = "not the name of a limit: write a tool's name, the beginning of some and `*`, or a key of your own"
        raise PydanticCustomError("limit_name", message)
    return name


LimitName = Annotated[str, AfterValidator(_check_name)]
"""The name of a tool, the beginning of the names of several with a `*`, or a key that nodes name."""


class NamedLimit(Frozen):
    """How many calls may be in flight at once, how often they may begin, or both."""

    maximum_concurrency: int | None = Field(default=None, ge=1, le=1_000_000)
    rate_limit: RateLimit | None = None

    @model_validator(mode="after")
    def _limit_something(self) -> Self:
        if self.maximum_concurrency is None and self.rate_limit is None:
            raise PydanticCustomError("no_limit", "no limit: give `maximumConcurrency`, `rateLimit` or both")
        return self


def check_limits(draft: Draft, names: Collection[str], problems: Problems) -> None:
    """Find limits of nodes that the service does not have, that stand there twice, or that are too many."""
    for position, node in enumerate(draft.checked.nodes):
        if not node.limits:
            continue
        place = f"/nodes/{position}/limits"
        if len(node.limits) > MAXIMUM_NODE_LIMITS:
            message = f"The node names {len(node.limits)} limits; {MAXIMUM_NODE_LIMITS} are allowed."
            problems.add(ProblemCode.LIMIT_EXCEEDED, message, place, node_id=node.id)
            continue
        for index, name in enumerate(node.limits):
            if ("nodes", position, "limits", index) in draft.repaired:
                continue
            if name in node.limits[:index]:
                message = f"The limit {quote(name)} stands there twice."
                problems.add(ProblemCode.INVALID_FIELD, message, f"{place}/{index}", node_id=node.id)
            elif name not in names:
                message = f"There is no limit {quote(name)}."
                hint = problems.suggest(name, names) or _list_names(names)
                problems.add(ProblemCode.UNKNOWN_LIMIT, message, f"{place}/{index}", node_id=node.id, hint=hint)


def _list_names(names: Collection[str]) -> str:
    if not names:
        return NONE_HINT
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"The limits here are {', '.join(islice(sorted(names), SHOWN_NAMES))}{more}."
