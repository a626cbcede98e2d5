"""Finds selected fields that cannot stand under one name in the answer, in a bounded number of steps.

The rule is that of the specification ("Field Selection Merging"); comparing every pair of fields takes seconds for
documents of a few kilobytes. Here fields of one name are compared with the first of them alone, which is enough:
having the same shape, and being the same field with the same arguments, are relations that carry over.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
    is_leaf_type,
    print_ast,
)

MAXIMUM_STEPS: Final = 10_000
"""So many fields are looked at, some more than once: a document of 2,000 tokens that means no harm has far fewer."""


class TooManyFieldsError(Exception):
    """Finding out would take too long."""


class _Entry(NamedTuple):
    parent: GraphQLNamedType
    node: FieldNode
    definition: GraphQLField


_Part: TypeAlias = tuple[GraphQLNamedType, SelectionSetNode]


class Merging:
    """Checks the operations of a document that is valid otherwise."""

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, *, maximum_errors: int, maximum_steps: int = MAXIMUM_STEPS
    ) -> None:
        self._schema = schema
        self._document = document
        self._fragments: Mapping[str, FragmentDefinitionNode] = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self._maximum_errors = maximum_errors
        self._left = maximum_steps
        self._seen: set[tuple[bool, frozenset[int]]] = set()
        self._errors: list[GraphQLError] = []

    def conflicts(self) -> list[GraphQLError]:
        """Tell the fields that are in each other's way. Raises `TooManyFieldsError`."""
        for definition in self._document.definitions:
            if isinstance(definition, OperationDefinitionNode):
                root = self._schema.get_root_type(definition.operation)
                if root is not None:
                    parts: list[_Part] = [(root, definition.selection_set)]
                    self._check_shapes(parts)
                    self._check_sameness(parts)
        return self._errors

    def _check_shapes(self, parts: list[_Part]) -> None:
        """Check that what stands under one name has one shape, of whatever type it is selected."""
        for key, entries in self._groups(parts, sameness=False):
            first = entries[0]
            for other in entries[1:]:
                if not _same_shape(first.definition.type, other.definition.type):
                    kinds = f"types {first.definition.type} and {other.definition.type}"
                    self._conflict(key, first, other, f"they have the {kinds}")
                    break
            self._check_shapes(_inner(entries))

    def _check_sameness(self, parts: list[_Part]) -> None:
        """Check that what stands under one name of one object is one field."""
        for key, entries in self._groups(parts, sameness=True):
            for together in _with_common_parents(entries):
                first = together[0]
                for other in together[1:]:
                    if first.node.name.value != other.node.name.value:
                        names = f"{first.node.name.value!r} and {other.node.name.value!r}"
                        self._conflict(key, first, other, f"{names} are different fields")
                        break
                    if not _same_arguments(first.node, other.node):
                        self._conflict(key, first, other, "they have different arguments")
                        break
                self._check_sameness(_inner(together))

    def _groups(self, parts: list[_Part], *, sameness: bool) -> Iterable[tuple[str, list[_Entry]]]:
        """Collect fields by their name in the answer, unless these parts were seen together before."""
        met = (sameness, frozenset(id(selected) for _, selected in parts))
        if not parts or met in self._seen or len(self._errors) >= self._maximum_errors:
            return ()
        self._seen.add(met)
        groups: dict[str, list[_Entry]] = {}
        spread: set[str] = set()
        for parent, selected in parts:
            for entry in self._collect(parent, selected, spread):
                node = entry.node
                groups.setdefault((node.alias or node.name).value, []).append(entry)
        return groups.items()

    def _collect(self, parent: GraphQLNamedType, selected: SelectionSetNode, spread: set[str]) -> Iterator[_Entry]:
        for each in selected.selections:
            self._left -= 1
            if self._left < 0:
                raise TooManyFieldsError
            match each:
                case FieldNode():
                    definition = self._schema.get_field(parent, each.name.value)  # type: ignore[arg-type]
                    if definition is not None:
                        yield _Entry(parent, each, definition)
                case InlineFragmentNode():
                    condition = each.type_condition
                    kind = self._schema.get_type(condition.name.value) if condition is not None else parent
                    yield from self._collect(kind or parent, each.selection_set, spread)
                case FragmentSpreadNode() if each.name.value not in spread:
                    spread.add(each.name.value)
                    fragment = self._fragments[each.name.value]
                    kind = self._schema.get_type(fragment.type_condition.name.value)
                    yield from self._collect(kind or parent, fragment.selection_set, spread)

    def _conflict(self, key: str, first: _Entry, other: _Entry, reason: str) -> None:
        if len(self._errors) < self._maximum_errors:
            message = f"Fields {key!r} conflict because {reason}. Give them different aliases to select both."
            self._errors.append(GraphQLError(message, [first.node, other.node]))


def _inner(entries: Iterable[_Entry]) -> list[_Part]:
    return [
        (get_named_type(entry.definition.type), entry.node.selection_set)
        for entry in entries
        if entry.node.selection_set is not None
    ]


def _with_common_parents(entries: list[_Entry]) -> Iterable[list[_Entry]]:
    """Part entries into those that can be selected of one object: of an interface they go with every type."""
    if len(entries) == 1:
        return [entries]
    shared: list[_Entry] = []
    concrete: dict[GraphQLNamedType, list[_Entry]] = {}
    for entry in entries:
        if isinstance(entry.parent, GraphQLObjectType):
            concrete.setdefault(entry.parent, []).append(entry)
        else:
            shared.append(entry)
    return [[*shared, *own] for own in concrete.values()] or [shared]


def _same_shape(one: GraphQLOutputType, other: GraphQLOutputType) -> bool:
    while isinstance(one, GraphQLNonNull | GraphQLList) or isinstance(other, GraphQLNonNull | GraphQLList):
        if type(one) is not type(other):
            return False
        one, other = one.of_type, other.of_type  # type: ignore[union-attr]
    return one is other or not (is_leaf_type(one) or is_leaf_type(other))


def _same_arguments(one: FieldNode, other: FieldNode) -> bool:
    if not one.arguments and not other.arguments:
        return True
    return _arguments(one) == _arguments(other)


def _arguments(node: FieldNode) -> dict[str, str]:
    return {each.name.value: print_ast(each.value) for each in node.arguments or ()}
