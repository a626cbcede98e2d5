"""The schema keeps up with the core: what the core can say, a client can be told."""

from typing import get_args

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLUnionType,
    build_schema,
    is_required_input_field,
)
from pydantic import BaseModel

from gql_app.core import errors, events
from gql_app.core.errors import (
    InvalidMcpServersError,
    InvalidSecretsError,
    InvalidStoreError,
    InvalidToolError,
    LeaseLostError,
    MissingExtraError,
    StaleWriterError,
    StoreInUseError,
    WorkflowError,
)
from gql_app.core.spec import NodeSpec, RetryPolicy, TimeoutPolicy, WorkflowSpec
from gql_app.schema.build import schema
from gql_app.schema.masking import CODES
from gql_app.schema.run import SUMMARY_FIELDS, WorkflowRun

PUBLISHED = build_schema(schema.as_str())


@pytest.mark.parametrize("model", [WorkflowSpec, NodeSpec, RetryPolicy, TimeoutPolicy])
def test_the_input_types_have_the_fields_of_the_document(model: type[BaseModel]) -> None:
    input_type = PUBLISHED.type_map[f"{model.__name__}Input"]

    assert isinstance(input_type, GraphQLInputObjectType)
    assert set(input_type.fields) == {field.alias for field in model.model_fields.values()}
    assert {name for name, field in input_type.fields.items() if is_required_input_field(field)} == {
        field.alias for field in model.model_fields.values() if field.is_required()
    }


def test_the_input_types_add_nothing_to_what_was_sent() -> None:
    inputs = [type_ for type_ in PUBLISHED.type_map.values() if type_.name.endswith("Input")]

    defaults = [
        f"{type_.name}.{name}"
        for type_ in inputs
        if isinstance(type_, GraphQLInputObjectType)
        for name, field in type_.fields.items()
        if field.default is not None
    ]

    assert inputs
    assert defaults == []


def test_every_event_has_a_type_with_its_sequence_and_time() -> None:
    names = {event.__name__ for event in get_args(events.RunEvent)}
    interface = PUBLISHED.type_map["RunEvent"]

    assert isinstance(interface, GraphQLInterfaceType)
    assert {type_.name for type_ in PUBLISHED.get_possible_types(interface)} == names
    assert set(interface.fields) == {"sequence", "at"}


def test_an_event_about_a_node_tells_the_node() -> None:
    about_nodes = {event.__name__ for event in get_args(events.RunEvent) if "node" in event.__struct_fields__}
    interface = PUBLISHED.type_map["NodeEvent"]

    assert isinstance(interface, GraphQLInterfaceType)
    assert {type_.name for type_ in PUBLISHED.get_possible_types(interface)} == about_nodes


def test_every_error_of_the_product_has_a_code_or_is_internal() -> None:
    known = {error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, WorkflowError)}

    assert known - CODES.keys() == {
        WorkflowError,
        InvalidMcpServersError,
        InvalidSecretsError,
        InvalidStoreError,
        InvalidToolError,
        LeaseLostError,
        MissingExtraError,
        StoreInUseError,
        StaleWriterError,
    }


def test_what_lists_tell_of_a_run_without_reading_it_are_its_plain_fields() -> None:
    definition = vars(WorkflowRun)["__strawberry_definition__"]

    plain = {schema.config.name_converter.from_field(field) for field in definition.fields if not field.base_resolver}

    assert SUMMARY_FIELDS - {"__typename"} == plain


def test_every_failure_that_is_data_has_a_message() -> None:
    interface = PUBLISHED.type_map["Error"]
    unions = (
        "SubmitWorkflowResult",
        "CancelWorkflowResult",
        "RetryWorkflowResult",
        "DeleteWorkflowResult",
        "ValidateWorkflowResult",
    )

    assert isinstance(interface, GraphQLInterfaceType)
    failures = {type_.name for type_ in PUBLISHED.get_possible_types(interface)}
    members = {name: {type_.name for type_ in possible_types(name)} for name in unions}
    assert {name: len(types - failures) for name, types in members.items()} == dict.fromkeys(unions, 1)


def possible_types(name: str) -> list[GraphQLObjectType]:
    union = PUBLISHED.type_map[name]
    assert isinstance(union, GraphQLUnionType)
    return list(PUBLISHED.get_possible_types(union))
