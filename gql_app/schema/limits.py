"""Measures a document before anything else is done with it: one pass, in which every fragment is met once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from graphql import (
    DefinitionNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from gql_app.schema.refusals import RefusedOperationError, refusal
from gql_app.settings import Settings

INTROSPECTION: Final = frozenset({"__schema", "__type"})
INTROSPECTION_DEPTH: Final = 15
INTROSPECTION_OF_TYPE: Final = 9
INTROSPECTION_LISTS: Final = 1
"""What GraphiQL and code generators ask for has just this: 15 levels, 9 `ofType` in one another, one list in none."""

_LISTS: Final = frozenset({"fields", "inputFields", "interfaces", "possibleTypes"})
_NESTING: Final = 128
"""How deep selections and fragments may stand in one another, whatever they add to the depth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How big a document may be."""

    document_bytes: int
    tokens: int
    definitions: int
    depth: int
    aliases: int
    directives: int
    root_fields: int
    cost: int
    errors: int

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Take the limits that are set."""
        return cls(
            document_bytes=settings.maximum_document_bytes,
            tokens=settings.maximum_document_tokens,
            definitions=settings.maximum_document_definitions,
            depth=settings.maximum_document_depth,
            aliases=settings.maximum_document_aliases,
            directives=settings.maximum_document_directives,
            root_fields=settings.maximum_document_root_fields,
            cost=settings.maximum_cost,
            errors=settings.maximum_errors,
        )


def exceeded(what: str, limit: str, maximum: int) -> RefusedOperationError:
    """Make the refusal of a document that is too big. `limit` names which limit it is."""
    return refusal(f"The document has {what}.", "LIMIT_EXCEEDED", limit=limit, maximum=maximum)


class _Measure(NamedTuple):
    """How far the deepest path in a selection goes."""

    depth: int = 0
    nesting: int = 0
    of_type: int = 0
    lists: int = 0


@dataclass(frozen=True, slots=True)
class Roots:
    """The fields at the root of an operation: how many are written, through all fragments, and their names."""

    count: int
    names: frozenset[str]


class Survey:
    """What a document has, measured against the limits. Raises `RefusedOperationError` where it has too much."""

    def __init__(self, document: DocumentNode, limits: Limits) -> None:
        self._limits = limits
        self._aliases = 0
        self._directives = 0
        self._measures: dict[str, _Measure] = {}
        self._roots: dict[str, Roots] = {}
        self._open: set[str] = set()
        if len(document.definitions) > limits.definitions:
            message = f"more than {limits.definitions} operations and fragments"
            raise exceeded(message, "definitions", limits.definitions)
        self.fragments = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self.roots = {id(each): self._measure_definition(each) for each in document.definitions}

    def _measure_definition(self, definition: DefinitionNode) -> Roots:
        if isinstance(definition, FragmentDefinitionNode):
            self._fragment(definition.name.value, 0)
        elif isinstance(definition, OperationDefinitionNode):
            self._count_directives(definition.directives)
            for variable in definition.variable_definitions or ():
                self._count_directives(variable.directives)
            self._check_depth(self._selections(definition.selection_set, 0).depth)
            roots = self._find_roots(definition.selection_set)
            if roots.count > self._limits.root_fields:
                message = f"more than {self._limits.root_fields} fields at its root"
                raise exceeded(message, "rootFields", self._limits.root_fields)
            return roots
        return Roots(0, frozenset())

    def _selections(self, selected: SelectionSetNode, level: int) -> _Measure:
        if level > _NESTING:
            raise self._too_deep()
        found = _Measure()
        for each in selected.selections:
            self._count_directives(each.directives)
            match each:
                case FieldNode():
                    inner = self._field(each, level)
                case InlineFragmentNode():
                    inner = self._selections(each.selection_set, level + 1)
                case FragmentSpreadNode():
                    inner = self._fragment(each.name.value, level + 1)
                case _:
                    continue
            found = _Measure(*map(max, found, inner._replace(nesting=inner.nesting + 1)))
        return found

    def _field(self, node: FieldNode, level: int) -> _Measure:
        if node.alias is not None:
            self._aliases += 1
            if self._aliases > self._limits.aliases:
                raise exceeded(f"more than {self._limits.aliases} aliases", "aliases", self._limits.aliases)
        if node.selection_set is None:
            return _LEAF
        inner = self._selections(node.selection_set, level + 1)
        name = node.name.value
        if name in INTROSPECTION:
            _check_introspection(inner)
            return _Measure(1, inner.nesting)
        of_type, lists = inner.of_type + (name == "ofType"), inner.lists + (name in _LISTS)
        return _Measure(inner.depth + 1, inner.nesting, of_type, lists)

    def _fragment(self, name: str, level: int) -> _Measure:
        measure = self._measures.get(name)
        if measure is None:
            fragment = self.fragments.get(name)
            if fragment is None or name in self._open:
                # That there is none, or that it is in itself, is told by validation.
                return _Measure()
            self._open.add(name)
            self._count_directives(fragment.directives)
            measure = self._measures[name] = self._selections(fragment.selection_set, level)
            self._open.remove(name)
        if level + measure.nesting > _NESTING:
            raise self._too_deep()
        return measure

    def _find_roots(self, selected: SelectionSetNode) -> Roots:
        count = 0
        names: set[str] = set()
        for each in selected.selections:
            match each:
                case FieldNode():
                    count += 1
                    names.add(each.name.value)
                    continue
                case InlineFragmentNode():
                    inner = self._find_roots(each.selection_set)
                case FragmentSpreadNode():
                    inner = self._find_fragment_roots(each.name.value)
                case _:
                    continue
            count += inner.count
            names |= inner.names
        return Roots(count, frozenset(names))

    def _find_fragment_roots(self, name: str) -> Roots:
        roots = self._roots.get(name)
        if roots is None:
            # A fragment that is in itself has nothing more to tell.
            self._roots[name] = Roots(0, frozenset())
            fragment = self.fragments.get(name)
            if fragment is not None:
                self._roots[name] = self._find_roots(fragment.selection_set)
            roots = self._roots[name]
        return roots

    def _count_directives(self, directives: Sequence[DirectiveNode] | None) -> None:
        if directives:
            self._directives += len(directives)
            if self._directives > self._limits.directives:
                message = f"more than {self._limits.directives} directives"
                raise exceeded(message, "directives", self._limits.directives)

    def _check_depth(self, depth: int) -> None:
        if depth > self._limits.depth:
            raise self._too_deep()

    def _too_deep(self) -> RefusedOperationError:
        return exceeded(f"fields in more than {self._limits.depth} levels", "depth", self._limits.depth)


_LEAF: Final = _Measure(depth=1)


def _check_introspection(inner: _Measure) -> None:
    if inner.depth >= INTROSPECTION_DEPTH:
        message = f"introspection in more than {INTROSPECTION_DEPTH} levels"
        raise exceeded(message, "introspectionDepth", INTROSPECTION_DEPTH)
    if inner.of_type > INTROSPECTION_OF_TYPE:
        message = f"more than {INTROSPECTION_OF_TYPE} ofType in one another"
        raise exceeded(message, "introspectionOfType", INTROSPECTION_OF_TYPE)
    if inner.lists > INTROSPECTION_LISTS:
        message = "introspection of fields or types of types in one another"
        raise exceeded(message, "introspectionLists", INTROSPECTION_LISTS)
