"""Validates documents: by the rules of the specification, each at a cost that the limits bound."""

from dataclasses import replace
from operator import is_
from typing import Final, TypeVar

from graphql import DocumentNode, GraphQLError, GraphQLSchema, OperationDefinitionNode, SelectionSetNode, validate
from graphql.language import FragmentDefinitionNode, Node, SelectionNode
from graphql.validation import OverlappingFieldsCanBeMergedRule, specified_rules

from gql_app.schema.limits import Limits, exceeded
from gql_app.schema.merging import MAXIMUM_STEPS, Merging, TooManyFieldsError

_LEFT_OUT: Final = frozenset(
    {
        # `Merging` does it in bounded time.
        OverlappingFieldsCanBeMergedRule.__name__,
        # `Survey` has a stricter rule.
        "MaxIntrospectionDepthRule",
        # There is no @defer and no @stream in the schema: using them is an unknown directive.
        "DeferStreamDirectiveLabel",
        "DeferStreamDirectiveOnRootField",
        "DeferStreamDirectiveOnValidOperationsRule",
        "StreamDirectiveOnListField",
    }
)
_Holder = TypeVar("_Holder", bound=Node)

RULES: Final = tuple(rule for rule in specified_rules if rule.__name__ not in _LEFT_OUT)


def find_errors(
    schema: GraphQLSchema, document: DocumentNode, limits: Limits, *, hide_suggestions: bool
) -> list[GraphQLError]:
    """Tell what is wrong with a document, up to as many errors as are reported. Raises `RefusedOperationError`."""
    errors = validate(schema, document, RULES, max_errors=limits.errors, hide_suggestions=hide_suggestions)
    if errors:
        return errors[: limits.errors]
    try:
        return Merging(schema, document, maximum_errors=limits.errors).conflicts()
    except TooManyFieldsError:
        message = "too many fields under the same names; use fewer fragments and repetitions"
        raise exceeded(message, "mergedFields", MAXIMUM_STEPS) from None


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
