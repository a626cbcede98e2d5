"""Collects what is wrong with a document and puts it in document order."""

from collections.abc import Iterable
from typing import Final

from gql_app.core.documents import MAXIMUM_PROBLEMS
from gql_app.core.errors import InvalidWorkflowError, Problem, ProblemCode
from gql_app.core.graph import nearest_name
from gql_app.core.values import Json

MAXIMUM_SUGGESTIONS: Final = 20
"""Looking for similar names is slow: more names than this get none."""


class Problems:
    """The problems found so far in one document."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._problems: list[Problem] = []
        self._more = 0
        self._suggestions = 0
        self.pointers: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._problems)

    def add(
        self, code: ProblemCode, message: str, pointer: str, *, node_id: str | None = None, hint: str | None = None
    ) -> None:
        self.extend((Problem(code=code, message=message, pointer=pointer, node_id=node_id, hint=hint),))

    def extend(self, problems: Iterable[Problem], *, unshown: int = 0) -> None:
        """Add problems, and how many more there are."""
        self._more += unshown
        for problem in problems:
            if len(self._problems) < MAXIMUM_PROBLEMS:
                self._problems.append(problem)
                self.pointers.add(problem.pointer)
            else:
                self._more += 1

    def suggest(self, name: str, names: Iterable[str]) -> str | None:
        """Ask whether a similar name was meant, if there is one."""
        self._suggestions += 1
        nearest = nearest_name(name, names) if self._suggestions <= MAXIMUM_SUGGESTIONS else None
        return f"Did you mean `{nearest}`?" if nearest else None

    def error(self) -> InvalidWorkflowError:
        """Make the error that tells them all."""
        problems = sorted(self._problems, key=_Order(self._document).key)
        if self._more:
            message = f"{self._more} more problems are not shown; these are {MAXIMUM_PROBLEMS} of them."
            problems.append(Problem(code=ProblemCode.LIMIT_EXCEEDED, message=message, pointer=""))
        return InvalidWorkflowError(problems)


class _Order:
    """Where things stand in a document: the items of an object in the order in which they were written."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._positions: dict[int, dict[str, int]] = {}

    def key(self, problem: Problem) -> tuple[int, ...]:
        positions: list[int] = []
        value = self._document
        for token in problem.pointer.split("/")[1:]:
            name = token.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict):
                if name not in value:
                    break
                positions.append(self._of(value)[name])
                value = value[name]
            elif isinstance(value, list) and int(name) < len(value):
                positions.append(int(name))
                value = value[int(name)]
            else:
                break
        return tuple(positions)

    def _of(self, value: dict[str, Json]) -> dict[str, int]:
        if id(value) not in self._positions:
            self._positions[id(value)] = {name: position for position, name in enumerate(value)}
        return self._positions[id(value)]
