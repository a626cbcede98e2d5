"""Everything in the schema says what it is for."""

from collections.abc import Iterator

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    build_schema,
)

from gql_app.schema.build import schema


def test_every_type_field_argument_and_enum_value_has_a_description() -> None:
    undescribed = [name for type_ in published_types() for name, text in descriptions(type_) if not text]

    assert undescribed == []


def test_a_description_is_a_sentence() -> None:
    ragged = [
        name
        for type_ in published_types()
        for name, text in descriptions(type_)
        if text and not ((text[0].isupper() or text[0] == "`") and text.endswith("."))
    ]

    assert ragged == []


def test_durations_are_seconds_as_floating_point() -> None:
    durations = {
        f"{type_.name}.{name}": str(field.type).rstrip("!")
        for type_ in published_types()
        if isinstance(type_, GraphQLObjectType | GraphQLInputObjectType)
        for name, field in type_.fields.items()
        if name.endswith("Seconds")
    }

    assert durations
    assert set(durations.values()) == {"Float"}


def test_no_default_is_published_that_only_means_left_out() -> None:
    assert "= null" not in schema.as_str()
    assert "from: RetryFrom! = FAILED" in schema.as_str()


def published_types() -> list[GraphQLNamedType]:
    types = build_schema(schema.as_str()).type_map.values()
    return [type_ for type_ in types if not type_.name.startswith("__")]


def descriptions(type_: GraphQLNamedType) -> Iterator[tuple[str, str | None]]:
    yield type_.name, type_.description
    match type_:
        case GraphQLObjectType() | GraphQLInterfaceType():
            for name, field in type_.fields.items():
                yield f"{type_.name}.{name}", field.description
                for argument, definition in field.args.items():
                    yield f"{type_.name}.{name}({argument})", definition.description
        case GraphQLInputObjectType():
            for name, input_field in type_.fields.items():
                yield f"{type_.name}.{name}", input_field.description
        case GraphQLEnumType():
            for name, value in type_.values.items():
                yield f"{type_.name}.{name}", value.description
        case _:
            pass
