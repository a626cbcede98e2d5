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

from gql_app.schema.introspection import ROOTS, Introspected, check
from gql_app.schema.refusals import RefusedOperationError, refusal
from gql_app.settings import Settings

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
    """What a selection has: its levels, what stands in one another in it, and what of it is introspection."""

    depth: int = 0
    nesting: int = 0
    below: Introspected = Introspected()
    """What it is if it stands below a root of introspection."""
    asked: Introspected = Introspected()
    """The introspection in it."""

    def beside(self, other: "_Measure") -> "_Measure":
        """Add what is selected beside this."""
        return _Measure(
            max(self.depth, other.depth),
            max(self.nesting, other.nesting),
            self.below.beside(other.below),
            self.asked.beside(other.asked),
        )


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
            measure = self._selections(definition.selection_set, 0)
            check(measure.asked)
            if measure.depth > self._limits.depth:
                raise self._too_deep()
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
            found = found.beside(inner._replace(nesting=inner.nesting + 1))
        return found

    def _field(self, node: FieldNode, level: int) -> _Measure:
        if node.alias is not None:
            self._aliases += 1
            if self._aliases > self._limits.aliases:
                raise exceeded(f"more than {self._limits.aliases} aliases", "aliases", self._limits.aliases)
        if node.selection_set is None:
            return _LEAF
        inner = self._selections(node.selection_set, level + 1)
        below = inner.below.below(node.name.value)
        if node.name.value in ROOTS:
            return _Measure(1, inner.nesting, asked=below)
        return _Measure(inner.depth + 1, inner.nesting, below, inner.asked)

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

    def _too_deep(self) -> RefusedOperationError:
        return exceeded(f"fields in more than {self._limits.depth} levels", "depth", self._limits.depth)


_LEAF: Final = _Measure(depth=1, below=Introspected(depth=1, size=1))
