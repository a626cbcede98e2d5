"""Clients of every release go on working: nothing they may use has been changed or taken away."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from graphql import GraphQLSchema, build_schema, find_breaking_changes, find_dangerous_changes

from gql_app.schema.build import schema

RELEASED = sorted((Path(__file__).parent / "released").glob("*.graphql"))

ALLOWED: Final[Mapping[str, str]] = {
    "Enum value SlotLimit.RUNS was added.": "a run that has to wait for its turn is new, and only its nodes tell it",
    "Enum value SlotLimit.NAMED was added.": "only nodes that name limits of the service wait for them",
    "Enum value SlotLimit.RATE was added.": "only nodes of tools, or of limits, that have a rate wait for it",
    "An optional field NodeSpecInput.limits was added.": "a document that leaves it out falls under no more limits",
    "An optional field WorkflowSpecInput.budget was added.": "a document that leaves it out has no budget, as before",
    "Enum value ProblemCode.UNKNOWN_LIMIT was added.": "only documents that name limits meet it, and those are new",
    "Enum value ProblemCode.UNKNOWN_SECRET was added.": "only documents that name secrets meet it, and those are new",
    "An optional argument Query.workflow(at:) was added.": "without it the run is shown as it is now, as before",
    "An optional argument Subscription.workflowUpdates(only:) was added.": "without it everything is told, as before",
    "An optional argument Subscription.workflowUpdates(nodes:) was added.": "without it all are told of, as before",
    "Enum value WorkflowAction.DELETE was added.": "deleting is new; a client that does not know it can leave it out",
}
"""Changes since a release that could surprise a client, by what the comparison says of them, each with its reason."""


@pytest.fixture(scope="module")
def current() -> GraphQLSchema:
    return build_schema(schema.as_str())


@pytest.mark.parametrize("released", RELEASED, ids=lambda path: path.stem)
def test_no_change_breaks_a_client_of_a_release(released: Path, current: GraphQLSchema) -> None:
    changes = find_breaking_changes(build_schema(released.read_text()), current)

    assert [change.description for change in changes] == []


@pytest.mark.parametrize("released", RELEASED, ids=lambda path: path.stem)
def test_a_change_that_could_surprise_a_client_was_meant(released: Path, current: GraphQLSchema) -> None:
    changes = find_dangerous_changes(build_schema(released.read_text()), current)

    unexpected = [change.description for change in changes if change.description not in ALLOWED]
    assert unexpected == [], "if it is meant, add it to ALLOWED with its reason"


def test_what_is_allowed_has_been_changed(current: GraphQLSchema) -> None:
    changes = [
        change.description
        for released in RELEASED
        for change in find_dangerous_changes(build_schema(released.read_text()), current)
    ]

    assert set(ALLOWED) <= set(changes)


def test_the_comparison_sees_what_breaks_a_client(current: GraphQLSchema) -> None:
    text = (
        schema.as_str()
        .replace("uptimeSeconds: Float!", "uptime: Float!")
        .replace("version: String!", "version: String")
    )

    changes = [change.description for change in find_breaking_changes(current, build_schema(text))]

    assert changes == [
        "Field Health.uptimeSeconds was removed.",
        "Field Health.version changed type from String! to String.",
    ]
