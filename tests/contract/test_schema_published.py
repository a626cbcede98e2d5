"""What is published of the API is what the code says."""

import json
import re
from pathlib import Path

import pytest
from graphql import OperationDefinitionNode, build_schema, parse, validate
from jsonschema import Draft202012Validator

from gql_app.schema import operations
from gql_app.schema.build import schema
from gql_app.schema.export import check, export
from tests.support.requirements import REPOSITORY


def test_the_published_schema_and_operations_are_what_the_code_says() -> None:
    assert check(REPOSITORY / "schema") == [], "run: gql-app schema export"


def test_what_was_exported_passes_the_check_and_need_not_be_written_again(tmp_path: Path) -> None:
    written = export(tmp_path)

    assert tmp_path / "schema.graphql" in written
    assert check(tmp_path) == []
    assert export(tmp_path) == []


def test_the_check_names_what_is_missing_different_and_left_over(tmp_path: Path) -> None:
    export(tmp_path)
    (tmp_path / "schema.graphql").unlink()
    (tmp_path / "operations" / "Health.graphql").write_text("query Health { health { version } }")
    (tmp_path / "operations" / "Old.graphql").write_text("query Old { health { version } }")

    problems = check(tmp_path)

    assert problems == [
        "schema.graphql is missing.",
        "operations/Health.graphql is not what the code says.",
        "operations/Old.graphql is left over.",
    ]


@pytest.mark.parametrize("name", operations.NAMES)
def test_an_operation_is_valid_and_named_like_its_file(name: str) -> None:
    document = parse(operations.load(name))

    errors = validate(build_schema(schema.as_str()), document)

    [operation] = document.definitions
    assert errors == []
    assert isinstance(operation, OperationDefinitionNode)
    assert operation.name is not None
    assert operation.name.value == name


def test_every_operation_of_the_package_can_be_loaded() -> None:
    present = {path.stem for path in Path(operations.__file__).parent.glob("*.graphql")}

    assert present == set(operations.NAMES)


def test_an_operation_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(KeyError, match="No operation 'Nothing'; there are SubmitWorkflow"):
        operations.load("Nothing")


def test_the_readme_names_every_operation() -> None:
    readme = (REPOSITORY / "schema" / "README.md").read_text()

    assert set(operations.NAMES) <= set(re.findall(r"\w+", readme))


def test_the_published_json_schema_knows_a_document_from_what_is_none() -> None:
    validator = Draft202012Validator(json.loads((REPOSITORY / "schema" / "workflow.schema.json").read_text()))
    document = {"name": "brief", "nodes": [{"id": "a", "tool": "echo", "timeout": {"attemptSeconds": None}}]}

    assert validator.is_valid(document)
    assert not validator.is_valid({**document, "node": []})
    assert not validator.is_valid({**document, "nodes": [{"id": "1", "tool": "echo"}]})
    assert not validator.is_valid({**document, "timeoutSeconds": 0})
