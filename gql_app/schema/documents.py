"""Documents that were read: what of them depends on nothing but their text is found out once."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Final

import orjson
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLSyntaxError,
    Node,
    OperationDefinitionNode,
    VariableNode,
    parse,
)

from gql_app.core.access import Identity, Scope
from gql_app.core.values import Json
from gql_app.schema.access import check_access
from gql_app.schema.coercion import VariableValues, signatures
from gql_app.schema.compiler import Plan
from gql_app.schema.cost import Estimator
from gql_app.schema.fields import Types
from gql_app.schema.introspection import ROOTS
from gql_app.schema.limits import Limits, Survey, exceeded
from gql_app.schema.refusals import RefusedOperationError, refusal
from gql_app.schema.validation import find_errors, without_repetitions

_PLANS: Final = 16
"""So many plans are kept for an operation: one for each way that its `@skip` and `@include` turn out."""


class Document:
    """A document within the limits. It is not known to be valid before `validate`."""

    def __init__(self, text: str, types: Types, limits: Limits, *, hide_suggestions: bool) -> None:
        self.text = text
        self.types = types
        self.hide_suggestions = hide_suggestions
        self._limits = limits
        self.node = without_repetitions(_read(text, limits))
        self.survey = Survey(self.node, limits)
        self._operations: dict[str | None, DocumentOperation] = {}
        self._valid = False

    def operation(self, name: str | None) -> "DocumentOperation":
        """Find an operation; without a name there must be just one. Raises `RefusedOperationError`."""
        found = self._operations.get(name)
        if found is None:
            found = self._operations[name] = DocumentOperation(self, self._find(name))
        return found

    def validate(self) -> None:
        """Check the document once. Raises `RefusedOperationError`."""
        if self._valid:
            return
        errors = find_errors(self.types.schema, self.node, self._limits, hide_suggestions=self.hide_suggestions)
        if errors:
            raise RefusedOperationError(errors)
        self._valid = True

    def _find(self, name: str | None) -> OperationDefinitionNode:
        there = [each for each in self.node.definitions if isinstance(each, OperationDefinitionNode)]
        chosen = [each for each in there if name is None or (each.name and each.name.value == name)]
        if len(chosen) == 1 or (chosen and name is not None):
            return chosen[0]
        if not there:
            raise refusal("There is no operation in the document.", "UNKNOWN_OPERATION")
        if name is None:
            message = "There are several operations in the document; name one of them as operationName."
            raise refusal(message, "UNKNOWN_OPERATION")
        message = f"There is no operation {name[:100]!r} in the document; name one that is."
        raise refusal(message, "UNKNOWN_OPERATION")


class DocumentOperation:
    """An operation of a document. What needs a valid document is made when it is asked for."""

    def __init__(self, document: Document, node: OperationDefinitionNode) -> None:
        self.node = node
        self.kind = node.operation
        self.roots = document.survey.roots[id(node)].names
        self._document = document
        self._allowed: set[frozenset[Scope]] = set()
        self._plans: OrderedDict[tuple[bool, ...], Plan] = OrderedDict()
        self._ready = False

    def check_access(self, identity: Identity, *, introspection: bool) -> None:
        """Refuse who may not do this. Raises `RefusedOperationError`."""
        if identity.scopes in self._allowed:
            return
        root = self._document.types.schema.get_root_type(self.kind)
        check_access(identity, self.kind, self.roots, root.fields if root is not None else ())
        if not introspection and not self.roots.isdisjoint(ROOTS):
            message = "Introspection is disabled; the schema is published as schema.graphql."
            raise refusal(message, "INTROSPECTION_DISABLED", HTTPStatus.FORBIDDEN)
        self._allowed.add(identity.scopes)

    def prepare(self) -> None:
        """Find out what every request with this operation needs; the document is valid."""
        if self._ready:
            return
        types, fragments = self._document.types, self._document.survey.fragments
        self.signatures = signatures(types.schema, self.node)
        self.cost = Estimator(types.schema, fragments).estimate(self.node)
        self._conditions = sorted(set(_conditions(self._nodes())))
        self._inner = sorted(set(_inner_variables(self.node, fragments)))
        self._ready = True

    def plan(self, values: VariableValues) -> Plan:
        """Give the plan for the values of the variables that decide what is left out."""
        conditions = tuple(values.coerced.get(name) is True for name in self._conditions)
        plan = self._plans.get(conditions)
        if plan is None:
            document = self._document
            plan = self._plans[conditions] = Plan(
                document.types,
                document.survey.fragments,
                self.node,
                dict(zip(self._conditions, conditions, strict=True)),
                hide_suggestions=document.hide_suggestions,
            )
            if len(self._plans) > _PLANS:
                self._plans.popitem(last=False)
        return plan

    def inner_variables(self, variables: Mapping[str, Json]) -> bytes:
        """Tell apart requests whose answers differ even for the same value at the root."""
        if not self._inner:
            return b""
        return orjson.dumps([variables.get(name) for name in self._inner], option=orjson.OPT_SORT_KEYS)

    def _nodes(self) -> Iterator[Node]:
        yield self.node
        yield from self._document.survey.fragments.values()


def _read(text: str, limits: Limits) -> DocumentNode:
    """Parse a text. Raises `RefusedOperationError`."""
    if len(text) > limits.document_bytes or len(text.encode(errors="replace")) > limits.document_bytes:
        raise exceeded(f"more than {limits.document_bytes} bytes", "documentBytes", limits.document_bytes)
    try:
        return parse(text, max_tokens=limits.tokens)
    except GraphQLSyntaxError as error:
        if "contains more than" in error.message:
            raise exceeded(f"more than {limits.tokens} tokens", "documentTokens", limits.tokens) from None
        if "nested too deeply" in error.message:
            raise exceeded(f"fields in more than {limits.depth} levels", "depth", limits.depth) from None
        raise RefusedOperationError([error]) from None


def _variables(node: Node) -> Iterator[str]:
    """Name the variables in a part of a document, without those in its fragments."""
    rest = [node]
    while rest:
        part = rest.pop()
        if isinstance(part, VariableNode):
            yield part.name.value
        for key in part.keys:
            value = getattr(part, key, None)
            if isinstance(value, Node):
                rest.append(value)
            elif isinstance(value, list | tuple):
                rest.extend(each for each in value if isinstance(each, Node))


def _conditions(nodes: Iterator[Node]) -> Iterator[str]:
    """Name the variables that `@skip` and `@include` depend on."""
    rest = list(nodes)
    while rest:
        part = rest.pop()
        for directive in getattr(part, "directives", None) or ():
            if directive.name.value in {"skip", "include"}:
                yield from _variables(directive)
        selected = getattr(part, "selection_set", None)
        if selected is not None:
            rest.extend(selected.selections)


def _inner_variables(
    operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> Iterator[str]:
    """Name the variables that stand anywhere but in arguments of the fields at the root."""
    for each in operation.selection_set.selections:
        if not isinstance(each, FieldNode):
            yield from _variables(each)
        elif each.selection_set is not None:
            yield from _variables(each.selection_set)
    for fragment in fragments.values():
        yield from _variables(fragment)
