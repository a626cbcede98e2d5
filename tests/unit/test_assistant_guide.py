"""What language models are told of documents."""

import pytest
from pydantic import BaseModel

from gql_app.cli.assistant.guide import SUBMIT
from gql_app.core.spec import NodeSpec, RetryPolicy, TimeoutPolicy, WorkflowSpec


@pytest.mark.parametrize("model", [WorkflowSpec, NodeSpec, TimeoutPolicy])
def test_every_field_of_the_document_is_named(model: type[BaseModel]) -> None:
    names = {field.alias or name for name, field in model.model_fields.items()}

    assert {name for name in names if name not in SUBMIT} == set()


def test_of_retries_only_the_jitter_is_left_to_its_default() -> None:
    names = {field.alias or name for name, field in RetryPolicy.model_fields.items()}

    assert {name for name in names if name not in SUBMIT} == {"jitter"}
