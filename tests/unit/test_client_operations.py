"""What the named operations ask for."""

import pytest
from graphql import (
    FieldNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLUnionType,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    build_schema,
    parse,
)

from gql_app.schema.operations import load
from tests.support.requirements import REPOSITORY

SCHEMA = build_schema((REPOSITORY / "schema/schema.graphql").read_text(encoding="utf-8"))
ELSEWHERE = {"input", "output", "spec", "labels", "name", "retryOf", "fromRun", "timeout"}
"""What may be big, or is told elsewhere: of the run, or, which timeout it was, by the type of the error."""


def below(selections: SelectionSetNode | None, *path: str) -> SelectionSetNode:
    """Go down to the selections of a field."""
    for name in path:
        assert selections is not None
        fields = (part for part in selections.selections if isinstance(part, FieldNode))
        selections = next(field.selection_set for field in fields if field.name.value == name)
    assert selections is not None
    return selections


def selected(operation: str, *path: str) -> dict[str, set[str]]:
    """Tell the fields that an operation selects, by the type they are asked of; those of any type under ''."""
    [definition] = parse(load(operation)).definitions
    assert isinstance(definition, OperationDefinitionNode)
    found: dict[str, set[str]] = {"": set()}
    for part in below(definition.selection_set, *path).selections:
        if isinstance(part, FieldNode):
            found[""].add(part.name.value)
        elif isinstance(part, InlineFragmentNode) and part.type_condition is not None:
            names = {field.name.value for field in part.selection_set.selections if isinstance(field, FieldNode)}
            found.setdefault(part.type_condition.name.value, set()).update(names)
    return found


def test_watching_asks_for_all_that_every_event_tells() -> None:
    asked = selected("WorkflowUpdates", "workflowUpdates", "events")
    interface = SCHEMA.get_type("RunEvent")
    assert isinstance(interface, GraphQLInterfaceType)
    events = SCHEMA.get_implementations(interface).objects

    missing = {
        event.name: left
        for event in events
        if (left := set(event.fields) - ELSEWHERE - asked[""] - of_type(event, asked))
    }

    assert len(events) > 10
    assert missing == {}


def of_type(event: GraphQLObjectType, asked: dict[str, set[str]]) -> set[str]:
    names = (event.name, *(interface.name for interface in event.interfaces))
    return set().union(*(asked.get(name, set()) for name in names))


@pytest.mark.parametrize(
    ("operation", "field"),
    [("SubmitWorkflow", "submitWorkflow"), ("RetryWorkflow", "retryWorkflow"), ("CancelWorkflow", "cancelWorkflow")],
)
def test_an_argument_that_is_refused_is_asked_for_wherever_it_can_be(operation: str, field: str) -> None:
    asked = selected(operation, field)
    result = SCHEMA.get_type(f"{operation}Result")

    assert isinstance(result, GraphQLUnionType)
    can_be = any(member.name == "InvalidArgument" for member in result.types)
    assert ("argument" in asked.get("InvalidArgument", set())) == can_be
