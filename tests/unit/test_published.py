"""The JSON Schema of the document says what the service takes."""

from collections.abc import Iterator

import pytest
from jsonschema import Draft202012Validator

from gql_app.core.published import workflow_json_schema
from gql_app.core.values import Json
from tests.support.planning import document, node, planned

FULL = document(
    node("a", input={"value": 1}, retry={"maximumAttempts": 2, "jitter": "NONE"}, timeout={"attemptSeconds": None}),
    node("b", dependsOn=["a"], when="${ nodes.a.output == 1 }", continueOnFailure=True),
    input={"x": 1},
    inputSchema={"type": "object"},
    output={"all": "${ nodes.b.output }"},
    timeoutSeconds=60,
    maximumConcurrency=2,
    labels={"team": "blue"},
)


def test_it_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(workflow_json_schema())


def test_a_document_that_is_planned_fits_it() -> None:
    assert planned(FULL).plan.nodes

    Draft202012Validator(workflow_json_schema()).validate(FULL)


@pytest.mark.parametrize(
    "what",
    [
        document(),
        document(node("1a")),
        document(node("in")),
        document(node("a", depends_on=[])),
        document(node("a", retry={"maximumAttempts": 0})),
        document(node("a"), labels={"a": 1}),
        document(node("a"), timeoutSeconds="60"),
    ],
)
def test_it_refuses_wrong_shapes(what: Json) -> None:
    assert not Draft202012Validator(workflow_json_schema()).is_valid(what)


def test_every_field_has_a_description() -> None:
    assert list(undescribed(workflow_json_schema())) == []


def undescribed(part: Json, path: str = "") -> Iterator[str]:
    for name, inner in part.get("properties", {}).items():
        if not inner.get("description"):
            yield f"{path}/{name}"
    for name, inner in part.get("$defs", {}).items():
        yield from undescribed(inner, name)
