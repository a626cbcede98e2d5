"""Validates documents: by the rules of the specification, each at a cost that the limits bound."""

from contextlib import suppress
from dataclasses import replace
from operator import is_
from typing import Final, TypeVar

from graphql import (
    SKIP,
    DocumentNode,
    GraphQLError,
    GraphQLInputType,
    GraphQLSchema,
    OperationDefinitionNode,
    ParallelVisitor,
    SelectionSetNode,
    TypeInfo,
    TypeInfoVisitor,
    ValidationContext,
    ValueNode,
    VisitorAction,
    visit,
)
from graphql.language import FragmentDefinitionNode, Node, SelectionNode
from graphql.utilities.validate_input_value import validate_input_literal
from graphql.validation import (
    ASTValidationRule,
    NoUndefinedVariablesRule,
    NoUnusedVariablesRule,
    OverlappingFieldsCanBeMergedRule,
    ValuesOfCorrectTypeRule,
    VariablesInAllowedPositionRule,
    specified_rules,
)

from gql_app.schema.limits import Limits, exceeded
from gql_app.schema.merging import MAXIMUM_STEPS, Merging, TooManyFieldsError

_Holder = TypeVar("_Holder", bound=Node)

_MISTAKES: Final = 3
"""So many are told of one value in a document: each is told with all that stands around it."""


class _EnoughError(Exception):
    """No more is told about this value."""


class FirstMistakesRule(ValuesOfCorrectTypeRule):
    """Tells the first mistakes in a value, so that telling them takes no longer than the document is big."""

    def is_valid_value_node(self, node: ValueNode, input_type: GraphQLInputType | None) -> VisitorAction:
        """Check a value."""
        told = 0

        def tell(error: GraphQLError, _: object) -> None:
            nonlocal told
            told += 1
            self.report_error(error)
            if told == _MISTAKES:
                raise _EnoughError

        if input_type is not None:
            with suppress(_EnoughError):
                validate_input_literal(node, input_type, tell, None, None, self.context.hide_suggestions)
        return SKIP


_ELSEWHERE: Final = frozenset(
    {
        # `Merging` does it in bounded time.
        OverlappingFieldsCanBeMergedRule.__name__,
        # `FirstMistakesRule` does it.
        ValuesOfCorrectTypeRule.__name__,
        # `Survey` is stricter.
        "MaxIntrospectionDepthRule",
        # There is no @defer and no @stream in the schema: using them is an unknown directive.
        "DeferStreamDirectiveLabel",
        "DeferStreamDirectiveOnRootField",
        "DeferStreamDirectiveOnValidOperationsRule",
        "StreamDirectiveOnListField",
    }
)
_VARIABLES: Final[tuple[type[ASTValidationRule], ...]] = (
    NoUndefinedVariablesRule,
    NoUnusedVariablesRule,
    VariablesInAllowedPositionRule,
)
"""Rules that visit every operation again: only for documents with variables in which nothing else is wrong."""

_RULES: Final[tuple[type[ASTValidationRule], ...]] = (
    FirstMistakesRule,
    *(rule for rule in specified_rules if rule.__name__ not in _ELSEWHERE and rule not in _VARIABLES),
)


_SUGGESTIONS: Final = 3
"""So many mistakes are told with what may have been meant: finding that out is what costs most."""


class _EnoughErrorsError(Exception):
    """No more is told about this document."""


class _Context(ValidationContext):
    """Collects what is wrong with a document."""

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, types: TypeInfo, *, maximum: int, hide_suggestions: bool
    ) -> None:
        super().__init__(schema, document, types, self._collect, hide_suggestions)
        self.errors: list[GraphQLError] = []
        self._maximum = maximum

    @property
    def hide_suggestions(self) -> bool:
        """Whether the next mistake is told without what may have been meant."""
        return super().hide_suggestions or len(self.errors) >= _SUGGESTIONS

    def _collect(self, error: GraphQLError) -> None:
        self.errors.append(error)
        if len(self.errors) >= self._maximum:
            raise _EnoughErrorsError


def find_errors(
    schema: GraphQLSchema, document: DocumentNode, limits: Limits, *, hide_suggestions: bool
) -> list[GraphQLError]:
    """Tell what is wrong with a document, up to as many errors as are reported. Raises `RefusedOperationError`."""
    for rules in (_RULES, _VARIABLES):
        if rules is _RULES or _has_variables(document):
            types = TypeInfo(schema)
            context = _Context(schema, document, types, maximum=limits.errors, hide_suggestions=hide_suggestions)
            with suppress(_EnoughErrorsError):
                visit(document, TypeInfoVisitor(types, ParallelVisitor([rule(context) for rule in rules])))
            if context.errors:
                return context.errors
    try:
        return Merging(schema, document, maximum_errors=limits.errors).conflicts()
    except TooManyFieldsError:
        message = "too many fields under the same names; use fewer fragments and repetitions"
        raise exceeded(message, "mergedFields", MAXIMUM_STEPS) from None


def _has_variables(document: DocumentNode) -> bool:
    assert document.loc is not None, "Documents are parsed with locations."
    return "$" in document.loc.source.body


def without_repetitions(document: DocumentNode) -> DocumentNode:
    """Leave out selections that stand word for word beside themselves: they select nothing more, but cost time."""
    definitions = tuple(
        _without(each) if isinstance(each, OperationDefinitionNode | FragmentDefinitionNode) else each
        for each in document.definitions
    )
    return replace(document, definitions=definitions)


def _without(holder: _Holder) -> _Holder:
    selected: SelectionSetNode | None = getattr(holder, "selection_set", None)
    if selected is None:
        return holder
    kept: dict[str, SelectionNode] = {}
    for each in selected.selections:
        kept.setdefault(_text(each), each)
    selections = tuple(map(_without, kept.values()))
    if len(selections) == len(selected.selections) and all(map(is_, selections, selected.selections)):
        return holder
    # Whatever has selections has them as `selection_set`.
    return replace(holder, selection_set=replace(selected, selections=selections))  # type: ignore[call-arg]


def _text(node: Node) -> str:
    place = node.loc
    assert place is not None, "Documents are parsed with locations."
    return place.source.body[place.start : place.end]
