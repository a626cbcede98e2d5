"""Finds the fields that a document selects of a type, through whatever fragments, with what a schema knows of them."""

from collections.abc import Mapping, Sequence
from typing import Final

from graphql import (
    BooleanValueNode,
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLAbstractType,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    SchemaMetaFieldDef,
    SelectionSetNode,
    TypeMetaFieldDef,
    TypeNameMetaFieldDef,
    VariableNode,
    is_abstract_type,
)
from strawberry.types.base import StrawberryObjectDefinition

from gql_app.core.values import Json

_META: Final = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef, "__typename": TypeNameMetaFieldDef}
_DEFINITION: Final = "strawberry-definition"


class Field:
    """A field that is selected of a type, by one node of the document or more."""

    __slots__ = ("definition", "key", "name", "nodes", "parent")

    def __init__(self, key: str, nodes: list[FieldNode], parent: GraphQLObjectType, definition: GraphQLField) -> None:
        self.key = key
        self.name = nodes[0].name.value
        self.nodes = nodes
        self.parent = parent
        self.definition = definition


class Types:
    """What plans ask of a schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        self._by_class: dict[type, GraphQLObjectType] = {}
        for kind in schema.type_map.values():
            definition = kind.extensions.get(_DEFINITION)
            if isinstance(kind, GraphQLObjectType) and isinstance(definition, StrawberryObjectDefinition):
                self._by_class[definition.origin] = kind

    def of(self, value: Json) -> GraphQLObjectType | None:
        """Tell the type of an object, if it is an instance of a class that stands for one."""
        return self._by_class.get(type(value))

    def covers(self, name: str, kind: GraphQLObjectType) -> bool:
        """Whether a type's name is that of `kind`, or of an interface or union that it belongs to."""
        if name == kind.name:
            return True
        condition = self.schema.get_type(name)
        return is_abstract_type(condition) and self.belongs(condition, kind)

    def belongs(self, abstract: GraphQLAbstractType, kind: GraphQLObjectType) -> bool:
        """Whether a type is one of an interface's or union's."""
        return self.schema.is_sub_type(abstract, kind)

    def meta(self, name: str) -> GraphQLField:
        """Tell a field that is there without being in a type."""
        return _META[name]


class Collector:
    """Collects the fields of one operation; `conditions` are the variables that `@skip` and `@include` depend on."""

    def __init__(
        self, types: Types, fragments: Mapping[str, FragmentDefinitionNode], conditions: Mapping[str, bool]
    ) -> None:
        self._types = types
        self._fragments = fragments
        self._conditions = conditions

    def collect(self, kind: GraphQLObjectType, sets: Sequence[SelectionSetNode]) -> list[Field]:
        """Tell the fields that are selected of a type, in order; those of one key together."""
        grouped: dict[str, list[FieldNode]] = {}
        seen: set[str] = set()
        for each in sets:
            self._gather(kind, each, grouped, seen)
        return [self._field(kind, key, nodes) for key, nodes in grouped.items()]

    def _field(self, kind: GraphQLObjectType, key: str, nodes: list[FieldNode]) -> Field:
        name = nodes[0].name.value
        definition = kind.fields.get(name) or self._types.meta(name)
        return Field(key, nodes, kind, definition)

    def _gather(
        self, kind: GraphQLObjectType, selected: SelectionSetNode, grouped: dict[str, list[FieldNode]], seen: set[str]
    ) -> None:
        for each in selected.selections:
            if each.directives and not self._included(each.directives):
                continue
            match each:
                case FieldNode():
                    grouped.setdefault((each.alias or each.name).value, []).append(each)
                case InlineFragmentNode():
                    condition = each.type_condition
                    if condition is None or self._types.covers(condition.name.value, kind):
                        self._gather(kind, each.selection_set, grouped, seen)
                case FragmentSpreadNode():
                    name = each.name.value
                    fragment = self._fragments[name]
                    if name not in seen:
                        seen.add(name)
                        if self._types.covers(fragment.type_condition.name.value, kind):
                            self._gather(kind, fragment.selection_set, grouped, seen)
                case _:
                    pass

    def _included(self, directives: Sequence[DirectiveNode]) -> bool:
        for directive in directives:
            name = directive.name.value
            if name in {"skip", "include"} and directive.arguments:
                condition = directive.arguments[0].value
                if isinstance(condition, VariableNode):
                    value = self._conditions[condition.name.value]
                else:
                    value = isinstance(condition, BooleanValueNode) and condition.value
                if value is (name == "skip"):
                    return False
        return True
