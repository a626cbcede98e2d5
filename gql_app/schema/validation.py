"""Validates documents: by the rules of the specification, each at a cost that the limits bound."""

from typing import Final

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
RULES: Final = tuple(rule for rule in specified_rules if rule.__name__ not in _LEFT_OUT)


def find_errors(
    schema: GraphQLSchema, document: DocumentNode, limits: Limits, *, hide_suggestions: bool
) -> list[GraphQLError]:
    """Tell what is wrong with a document, up to as many errors as are reported. Raises `RefusedOperationError`."""
    drop_repetitions(document)
    errors = validate(schema, document, RULES, max_errors=limits.errors, hide_suggestions=hide_suggestions)
    if errors:
        return errors[: limits.errors]
    try:
        return Merging(schema, document, maximum_errors=limits.errors).conflicts()
    except TooManyFieldsError:
        message = "too many fields under the same names; use fewer fragments and repetitions"
        raise exceeded(message, "mergedFields", MAXIMUM_STEPS) from None


def drop_repetitions(document: DocumentNode) -> None:
    """Leave out selections that stand word for word beside themselves: they select nothing more, but cost time."""
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode):
            _drop_in(definition.selection_set)


def _drop_in(selected: SelectionSetNode) -> None:
    if len(selected.selections) > 1:
        kept: dict[str, SelectionNode] = {}
        for each in selected.selections:
            kept.setdefault(_text(each), each)
        if len(kept) < len(selected.selections):
            selected.selections = tuple(kept.values())
    for each in selected.selections:
        inner: SelectionSetNode | None = getattr(each, "selection_set", None)
        if inner is not None:
            _drop_in(inner)


def _text(node: Node) -> str:
    place = node.loc
    assert place is not None, "Documents are parsed with locations."
    return place.source.body[place.start : place.end]
