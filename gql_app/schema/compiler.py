"""Compiles an operation into a plan: for each type, what is done for every field that is selected of it.

Everything that depends only on the document (which fields, of which type, how they are read and written) is found
out once, so that an execution does little but read and write.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import iscoroutinefunction
from operator import attrgetter
from typing import Final, TypeAlias

from graphql import (
    FragmentDefinitionNode,
    GraphQLAbstractType,
    GraphQLEnumType,
    GraphQLError,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    is_introspection_type,
)
from graphql.pyutils import is_awaitable
from strawberry.types.field import StrawberryField

from gql_app.core.values import Json
from gql_app.schema.fields import Collector, Field, Types
from gql_app.schema.leaves import make_writer
from gql_app.schema.running import Complete, Execution, NulledError, Slot, Step, Waiting

Read: TypeAlias = Callable[[Json], Json]

_DEFINITION: Final = "strawberry-definition"


class Plan:
    """How an operation is carried out. A test holds that graphql-core's executor gives the same answers."""

    def __init__(
        self,
        types: Types,
        fragments: Mapping[str, FragmentDefinitionNode],
        operation: OperationDefinitionNode,
        conditions: Mapping[str, bool],
        *,
        hide_suggestions: bool = False,
    ) -> None:
        self.types = types
        self.schema = types.schema
        self.fragments = dict(fragments)
        self.operation = operation
        self.hide_suggestions = hide_suggestions
        self._collector = Collector(types, fragments, conditions)
        root = self.schema.get_root_type(operation.operation)
        assert root is not None, "A valid operation has a type."
        self.serial = operation.operation is OperationType.MUTATION
        self.fields = self._collector.collect(root, [operation.selection_set])
        """The fields at the root."""
        self.steps = tuple(make_step(self, field) for field in self.fields)

    def compile(self, kind: GraphQLObjectType, sets: Sequence[SelectionSetNode]) -> tuple[Step, ...]:
        """Tell what is done for an object of a type."""
        return tuple(make_step(self, field) for field in self._collector.collect(kind, sets))


class Selection:
    """What is selected of a field's value; compiled for each type of object when one of it is met first."""

    __slots__ = ("_plan", "_sets", "_steps")

    def __init__(self, plan: "Plan", sets: Sequence[SelectionSetNode]) -> None:
        self._plan = plan
        self._sets = sets
        self._steps: dict[GraphQLObjectType, tuple[Step, ...]] = {}

    def steps(self, kind: GraphQLObjectType) -> tuple[Step, ...]:
        """Tell what is done for an object."""
        steps = self._steps.get(kind)
        if steps is None:
            steps = self._steps[kind] = self._plan.compile(kind, self._sets)
        return steps


def make_step(plan: Plan, field: Field) -> Step:
    """Make the step of a field."""
    if field.name == "__typename":
        return _typename_step(field)
    read = _reader(plan, field)
    expected = field.definition.type
    nullable = not isinstance(expected, GraphQLNonNull)
    inner = expected.of_type if isinstance(expected, GraphQLNonNull) else expected
    if read is not None and isinstance(inner, GraphQLScalarType | GraphQLEnumType):
        return _leaf_step(field, read, inner, nullable=nullable)
    complete = _make_complete(plan, field, expected)
    if read is not None:
        return _value_step(field, read, complete, nullable=nullable)
    return _resolver_step(field, complete, nullable=nullable)


def _reader(plan: Plan, field: Field) -> Read | None:
    """Find how a field is read without a resolver: an attribute, or a method that takes nothing and awaits nothing."""
    resolve = field.definition.resolve
    if is_introspection_type(field.parent) and not field.definition.args and resolve is not None:
        # Resolvers of introspection ask for nothing but the schema.
        return lambda source: resolve(source, plan)
    source = field.definition.extensions.get(_DEFINITION)
    if not isinstance(source, StrawberryField) or source.extensions or source.permission_classes:
        return None
    resolver = source.base_resolver
    if resolver is None:
        return attrgetter(source.python_name)
    method: Read = resolver.wrapped_func  # type: ignore[assignment]
    plain = not resolver.arguments and resolver.info_parameter is None and resolver.self_parameter is not None
    return method if plain and not iscoroutinefunction(method) else None


def _typename_step(field: Field) -> Step:
    key, name = field.key, field.parent.name

    def step(_: Execution, __: Json, data: dict[str, Json], ___: Slot | None) -> None:
        data[key] = name

    return step


def _leaf_step(field: Field, read: Read, kind: GraphQLScalarType | GraphQLEnumType, *, nullable: bool) -> Step:
    key, write = field.key, make_writer(kind)

    def step(run: Execution, source: Json, data: dict[str, Json], around: Slot | None) -> None:
        try:
            value = read(source)
            if value is not None:
                data[key] = write(value)
            elif nullable:
                data[key] = None
            else:
                raise _no_null(field)
        except Exception as error:  # noqa: BLE001 - an edge: what a resolver raises is told in the answer
            run.fail(error, field, (around, data, key, nullable))

    return step


def _value_step(field: Field, read: Read, complete: Complete, *, nullable: bool) -> Step:
    key = field.key

    def step(run: Execution, source: Json, data: dict[str, Json], around: Slot | None) -> None:
        slot = (around, data, key, nullable)
        try:
            data[key] = complete(run, read(source), slot)
        except NulledError:
            if not nullable:
                raise
            data[key] = None
        except Exception as error:  # noqa: BLE001 - an edge: what a resolver raises is told in the answer
            run.fail(error, field, slot)

    return step


def _resolver_step(field: Field, complete: Complete, *, nullable: bool) -> Step:
    key, resolve = field.key, field.definition.resolve
    assert resolve is not None, f"{field.parent.name}.{field.name} has no resolver."

    def step(run: Execution, source: Json, data: dict[str, Json], around: Slot | None) -> None:
        slot = (around, data, key, nullable)
        try:
            value = resolve(source, run.resolve_info(field, slot), **run.arguments(field))
            if is_awaitable(value):
                data[key] = None
                run.waiting.append(Waiting(value, field, complete, slot))
            else:
                data[key] = complete(run, value, slot)
        except NulledError:
            if not nullable:
                raise
            data[key] = None
        except Exception as error:  # noqa: BLE001 - an edge: what a resolver raises is told in the answer
            run.fail(error, field, slot)

    return step


def _make_complete(plan: Plan, field: Field, expected: GraphQLOutputType) -> Complete:
    """Make what turns a value of a type into a part of the answer."""
    if isinstance(expected, GraphQLNonNull):
        complete = _make_present(plan, field, expected.of_type)

        def required(run: Execution, value: Json, slot: Slot) -> Json:
            if value is None:
                raise _no_null(field)
            return complete(run, value, slot)

        return required
    present = _make_present(plan, field, expected)
    return lambda run, value, slot: None if value is None else present(run, value, slot)


def _make_present(plan: Plan, field: Field, expected: GraphQLOutputType) -> Complete:
    """Make what turns a value that is there into a part of the answer."""
    match expected:
        case GraphQLScalarType() | GraphQLEnumType():
            write = make_writer(expected)
            return lambda _, value, __: write(value)
        case GraphQLList():
            return _list_complete(plan, field, expected.of_type)
        case _:
            sets = [node.selection_set for node in field.nodes if node.selection_set is not None]
            selection = Selection(plan, sets)
            if isinstance(expected, GraphQLObjectType):
                return _object_complete(selection, expected)
            assert not isinstance(expected, GraphQLNonNull)
            return _abstract_complete(plan, field, selection, expected)


def _object_complete(selection: Selection, kind: GraphQLObjectType) -> Complete:
    def complete(run: Execution, value: Json, slot: Slot) -> Json:
        data: dict[str, Json] = {}
        for step in selection.steps(kind):
            step(run, value, data, slot)
        return data

    return complete


def _abstract_complete(plan: Plan, field: Field, selection: Selection, abstract: GraphQLAbstractType) -> Complete:
    def complete(run: Execution, value: Json, slot: Slot) -> Json:
        kind = plan.types.of(value)
        if kind is None or not plan.types.belongs(abstract, kind):
            message = f"{field.parent.name}.{field.name} gave a {type(value).__name__}, which is no {abstract.name}."
            raise TypeError(message)
        data: dict[str, Json] = {}
        for step in selection.steps(kind):
            step(run, value, data, slot)
        return data

    return complete


def _list_complete(plan: Plan, field: Field, expected: GraphQLOutputType) -> Complete:
    nullable = not isinstance(expected, GraphQLNonNull)
    complete_item = _make_complete(plan, field, expected)

    def complete(run: Execution, value: Json, slot: Slot) -> Json:
        if isinstance(value, str | bytes | dict) or not isinstance(value, Iterable):
            raise GraphQLError(f"{field.parent.name}.{field.name} gave a {type(value).__name__}, which is no list.")
        items: list[Json] = []
        for index, item in enumerate(value):
            here = (slot, items, index, nullable)
            items.append(None)
            try:
                items[index] = complete_item(run, item, here)
            except NulledError:
                if not nullable:
                    raise
            except Exception as error:  # noqa: BLE001 - an edge: what a value is no instance of is told in the answer
                run.fail(error, field, here)
        return items

    return complete


def _no_null(field: Field) -> TypeError:
    return TypeError(f"Cannot return null for non-nullable field {field.parent.name}.{field.name}.")
