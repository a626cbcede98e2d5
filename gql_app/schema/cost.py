"""Estimates what an operation costs before it is carried out: how many fields its answer may have.

Every field counts 1, and what is selected of a list counts once for each item: as many as `first` or `last` ask for,
else as many as a list is assumed to have. Fragments count wherever they are spread.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    Undefined,
    VariableNode,
    get_named_type,
)

from gql_app.core.values import Json
from gql_app.schema.introspection import ROOTS
from gql_app.schema.pagination import DEFAULT_PAGE
from gql_app.schema.step import DEFAULT_STEPS

ASSUMED_ITEMS: Final = 50
"""How many items a list is assumed to have that does not say."""

_DEFAULTS: Final[Mapping[str, int]] = {"workflows": DEFAULT_PAGE, "steps": DEFAULT_STEPS}
_FEW: Final[Mapping[str, int]] = {"attempts": 3, "availableActions": 3, "checks": 3, "layers": 10, "problems": 10}
"""Lists that are known to be short, by the names of their fields."""

_Size: TypeAlias = int | tuple[str, int]
"""How many items: a number, or the name of the variable that tells it and what holds if it does not."""


class Cost:
    """The cost of an operation, as a sum that is done once for every request with its variables.

    The sum has a term for each selection: a number of fields, and other selections that it holds so many times.
    """

    def __init__(self, terms: Sequence[tuple[int, Sequence[tuple[_Size, int]]]]) -> None:
        self._terms = terms
        varying = any(isinstance(size, tuple) for _, inner in terms for size, _ in inner)
        self._constant = None if varying else self._sum({})

    def of(self, variables: Mapping[str, Json]) -> int:
        """Tell the cost with these values of the variables."""
        return self._sum(variables) if self._constant is None else self._constant

    def _sum(self, variables: Mapping[str, Json]) -> int:
        sums: list[int] = []
        for count, inner in self._terms:
            sums.append(count + sum(_items(size, variables) * sums[index] for size, index in inner))
        return sums[-1]


def _items(size: _Size, variables: Mapping[str, Json]) -> int:
    if isinstance(size, int):
        return size
    name, default = size
    value = variables.get(name)
    return max(1, value) if isinstance(value, int) else default


class Estimator:
    """Makes the cost of the operations of a valid document."""

    def __init__(self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._schema = schema
        self._fragments = fragments
        self._terms: list[tuple[int, list[tuple[_Size, int]]]] = []
        self._known: dict[tuple[str, _Size | None], int] = {}

    def estimate(self, operation: OperationDefinitionNode) -> Cost:
        """Make the cost of an operation. Introspection is left out: it has limits of its own."""
        root = self._schema.get_root_type(operation.operation)
        assert root is not None, "A valid operation has a type."
        self._terms, self._known = [], {}
        self._add(root, operation.selection_set, None)
        return Cost(self._terms)

    def _add(self, parent: GraphQLNamedType, selected: SelectionSetNode, items: _Size | None) -> int:
        """Add a selection, whose lists have `items` items if that is known already; tells the place of its term."""
        count = 0
        inner: list[tuple[_Size, int]] = []
        for each in selected.selections:
            match each:
                case FieldNode():
                    count += 1
                    if each.selection_set is not None and each.name.value not in ROOTS:
                        inner.append(self._field(parent, each, each.selection_set, items))
                case InlineFragmentNode():
                    condition = each.type_condition
                    kind = self._type(condition.name.value) if condition is not None else parent
                    inner.append((1, self._add(kind, each.selection_set, items)))
                case FragmentSpreadNode():
                    inner.append((1, self._fragment(each.name.value, items)))
                case _:
                    pass
        self._terms.append((count, inner))
        return len(self._terms) - 1

    def _field(
        self, parent: GraphQLNamedType, node: FieldNode, selected: SelectionSetNode, items: _Size | None
    ) -> tuple[_Size, int]:
        definition = self._schema.get_field(parent, node.name.value)  # type: ignore[arg-type]
        assert definition is not None, "A valid document has only fields that there are."
        asked = _asked(node, definition)
        kind = get_named_type(definition.type)
        if not _is_list(definition):
            return 1, self._add(kind, selected, asked)
        size = asked or items or _FEW.get(node.name.value, ASSUMED_ITEMS)
        return size, self._add(kind, selected, None)

    def _fragment(self, name: str, items: _Size | None) -> int:
        place = self._known.get((name, items))
        if place is None:
            fragment = self._fragments[name]
            kind = self._type(fragment.type_condition.name.value)
            place = self._known[name, items] = self._add(kind, fragment.selection_set, items)
        return place

    def _type(self, name: str) -> GraphQLNamedType:
        kind = self._schema.get_type(name)
        assert kind is not None, "A valid document names only types that there are."
        return kind


def _asked(node: FieldNode, definition: GraphQLField) -> _Size | None:
    """Tell how many items a field with `first` or `last` is asked for; None if it has no such argument."""
    if "first" not in definition.args:
        return None
    default = definition.args["first"].default_value
    fallback = default if default is not Undefined else _DEFAULTS.get(node.name.value, ASSUMED_ITEMS)
    for argument in node.arguments or ():
        if argument.name.value in {"first", "last"}:
            match argument.value:
                case IntValueNode(value=value):
                    return max(1, int(value))
                case VariableNode() as variable:
                    return variable.name.value, fallback
                case _:
                    pass
    return fallback


def _is_list(definition: GraphQLField) -> bool:
    kind = definition.type
    return isinstance(kind.of_type if isinstance(kind, GraphQLNonNull) else kind, GraphQLList)
