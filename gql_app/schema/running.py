"""An operation under way: what it waits for, what went wrong, and where a null must stand because of it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from inspect import iscoroutine
from typing import Final, NamedTuple, Protocol, TypeAlias

from graphql import (
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationDefinitionNode,
    located_error,
)
from graphql.execution.values import VariableValues, get_argument_values
from graphql.pyutils import Path, is_awaitable

from gql_app.core.values import Json
from gql_app.schema.context import Context
from gql_app.schema.fields import Field

Slot: TypeAlias = tuple["Slot | None", Json, str | int, bool]
"""A place in the answer: the place around it, its container and its key there, and whether it can be null."""

Step: TypeAlias = Callable[["Execution", Json, dict[str, Json], Slot | None], None]
"""Puts one field of a source into the answer."""

Complete: TypeAlias = Callable[["Execution", Json, Slot], Json]


TIMEOUT: Final = "TIMEOUT"


class Compiled(Protocol):
    """What an execution knows of the operation that it carries out."""

    schema: GraphQLSchema
    fragments: dict[str, FragmentDefinitionNode]
    operation: OperationDefinitionNode
    hide_suggestions: bool
    serial: bool
    """Whether fields at the root are carried out one after the other."""
    steps: tuple["Step", ...]


class NulledError(Exception):
    """A place that cannot be null has no value: the place around it has none either. The error is noted already."""


class Waiting(NamedTuple):
    """A value that a resolver will give later."""

    value: Awaitable[Json]
    field: Field
    complete: Complete
    slot: Slot


class Execution:
    """One execution of a plan. Its parts fill the answer in place."""

    __slots__ = ("_arguments", "_left", "context", "data", "errors", "plan", "values", "waiting")

    def __init__(self, plan: Compiled, values: VariableValues, context: Context) -> None:
        self.plan = plan
        self.values = values
        self.context = context
        self.errors: list[GraphQLError] = []
        self.waiting: list[Waiting] = []
        self.data: dict[str, Json] | None = None
        """The answer, which is null as a whole where nothing else can be."""
        self._left: Sequence[Step] = ()
        self._arguments: dict[Field, dict[str, Json]] = {}

    def begin(self, source: Json) -> None:
        """Carry out what needs no waiting. Where something is `waiting` then, it takes `finish` to go on."""
        data: dict[str, Json] = {}
        self.data = data
        steps = self.plan.steps
        try:
            for index, step in enumerate(steps, 1):
                step(self, source, data, None)
                if self.waiting and self.plan.serial:
                    self._left = steps[index:]
                    break
        except NulledError:
            _close(self.waiting)
            self.waiting = []
            self.data = None

    async def finish(self, seconds: float) -> None:
        """Wait for the rest, but no longer than so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self.settle()
                for step in self._left:
                    if self.data is not None:
                        step(self, None, self.data, None)
                    if self.waiting:
                        await self.settle()
        except NulledError:
            self.data = None
        except TimeoutError:
            message = f"The operation took longer than {seconds:g} seconds and was given up."
            self.errors = [GraphQLError(message, extensions={"code": TIMEOUT})]
            self.data = None

    def arguments(self, field: Field) -> dict[str, Json]:
        """Tell the arguments of a field, which may come from variables."""
        found = self._arguments.get(field)
        if found is None:
            hide = self.plan.hide_suggestions
            found = get_argument_values(field.definition, field.nodes[0], self.values, hide_suggestions=hide)
            self._arguments[field] = found
        return found

    def resolve_info(self, field: Field, slot: Slot) -> GraphQLResolveInfo[Context]:
        """Tell a resolver where it is."""
        plan = self.plan
        # Strawberry reads `variable_values` both as graphql-core's own container and as a plain dictionary.
        return GraphQLResolveInfo(
            field.name,
            field.nodes,
            field.definition.type,
            field.parent,
            _path(slot),
            plan.schema,
            plan.fragments,
            None,
            plan.operation,
            self.values,
            self.context,
            is_awaitable,
            None,
            None,  # type: ignore[arg-type]
        )

    def fail(self, error: Exception, field: Field, slot: Slot) -> None:
        """Note an error at a place, which becomes null. Raises `NulledError` where it cannot."""
        self.errors.append(located_error(error, field.nodes, _path(slot).as_list()))
        _, container, key, nullable = slot
        if not nullable:
            raise NulledError
        container[key] = None

    def null(self, slot: Slot | None) -> None:
        """Make the nearest place null that can be, from a place that has no value outwards."""
        while slot is not None:
            around, container, key, nullable = slot
            if nullable:
                container[key] = None
                return
            slot = around
        self.data = None

    async def settle(self) -> None:
        """Await everything that resolvers have promised, side by side, and what comes of it."""
        waiting, self.waiting = self.waiting, []
        try:
            if len(waiting) == 1:
                await self._settle_one(waiting[0])
            else:
                await asyncio.gather(*map(self._settle_one, waiting))
        finally:
            _close(waiting)

    async def _settle_one(self, waiting: Waiting) -> None:
        value, field, complete, slot = waiting
        _, container, key, nullable = slot
        try:
            try:
                container[key] = complete(self, await value, slot)
            except NulledError:
                if not nullable:
                    raise
            except Exception as error:  # noqa: BLE001 - an edge: what a resolver raises is told in the answer
                self.fail(error, field, slot)
        except NulledError:
            self.null(slot)
        if self.waiting:
            await self.settle()


def _close(waiting: Iterable[Waiting]) -> None:
    """Close coroutines that nobody will await any more; those that were awaited do not mind."""
    for each in waiting:
        if iscoroutine(each.value):
            each.value.close()


def _path(slot: Slot) -> Path:
    keys = []
    place: Slot | None = slot
    while place is not None:
        place, _, key, _ = place
        keys.append(key)
    path: Path | None = None
    for key in reversed(keys):
        path = Path(path, key, None)
    assert path is not None
    return path
