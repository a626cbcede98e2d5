"""Estimates what an operation costs before it is carried out: how many fields its answer may have.

Every field counts 1, and what is selected of a list counts once for each item: as many as `first` or `last` ask for,
else as many as a list is assumed to have. Fragments count wherever they are spread; of those for types of which an
object has only one, such as the types of events, those count that cost most together.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

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
    is_abstract_type,
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


class _Term(NamedTuple):
    """What a selection costs: a number of fields, other selections that it holds so many times, and one of several."""

    fields: int
    inner: Sequence[tuple[_Size, int]]
    alternatives: Sequence[Sequence[int]] = ()
    """For each type that an object can have, the selections that it has then."""


class Cost:
    """The cost of an operation, as a sum that is done once for every request with its variables."""

    def __init__(self, terms: Sequence[_Term]) -> None:
        self._terms = terms
        varying = any(isinstance(size, tuple) for term in terms for size, _ in term.inner)
        self._constant = None if varying else self._sum({})

    def of(self, variables: Mapping[str, Json]) -> int:
        """Tell the cost with these values of the variables."""
        return self._sum(variables) if self._constant is None else self._constant

    def _sum(self, variables: Mapping[str, Json]) -> int:
        sums: list[int] = []
        for fields, inner, alternatives in self._terms:
            always = fields + sum(_items(size, variables) * sums[index] for size, index in inner)
            sums.append(always + max((sum(sums[index] for index in each) for each in alternatives), default=0))
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
        self._terms: list[_Term] = []
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
        fragments: list[tuple[GraphQLNamedType, int]] = []
        for each in selected.selections:
            match each:
                case FieldNode():
                    count += 1
                    if each.selection_set is not None and each.name.value not in ROOTS:
                        inner.append(self._field(parent, each, each.selection_set, items))
                case InlineFragmentNode():
                    condition = each.type_condition
                    kind = self._type(condition.name.value) if condition is not None else parent
                    fragments.append((kind, self._add(kind, each.selection_set, items)))
                case FragmentSpreadNode():
                    condition = self._fragments[each.name.value].type_condition
                    fragments.append((self._type(condition.name.value), self._fragment(each.name.value, items)))
                case _:
                    pass
        self._terms.append(self._term(parent, count, inner, fragments))
        return len(self._terms) - 1

    def _term(
        self,
        parent: GraphQLNamedType,
        count: int,
        inner: list[tuple[_Size, int]],
        fragments: Sequence[tuple[GraphQLNamedType, int]],
    ) -> _Term:
        """Make the term of a selection whose fragments hold for these types."""
        possible = self._possible(parent)
        special: list[tuple[frozenset[str], int]] = []
        for kind, place in fragments:
            holds_for = self._possible(kind)
            if possible <= holds_for:
                inner.append((1, place))
            else:
                special.append((holds_for, place))
        alternatives = {tuple(place for kinds, place in special if name in kinds) for name in sorted(possible)}
        return _Term(count, inner, sorted(alternatives) if special else ())

    def _possible(self, kind: GraphQLNamedType) -> frozenset[str]:
        """Tell the types that objects of a type can have."""
        if is_abstract_type(kind):
            return frozenset(each.name for each in self._schema.get_possible_types(kind))
        return frozenset({kind.name})

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
    counted = definition.args.get("first") or definition.args.get("last")
    if counted is None:
        return None
    default = counted.default_value
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
