"""JSON Schemas of a tool's input and output, as people want to read them."""

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaWarningKind

from gql_app.core.values import Json


class _ToolSchema(GenerateJsonSchema):
    """Leaves out titles that only repeat a name, and defaults that have no JSON form."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {  # noqa: RUF012 - the base class declares it so
        "skipped-choice",
        "non-serializable-default",
    }

    def field_title_should_be_set(self, schema: Json) -> bool:
        """Say that no field needs a title."""
        return False


def json_schema(adapter: TypeAdapter[Json], mode: JsonSchemaMode) -> Json:
    """Describe a type; `true` stands for anything. Raises `PydanticUserError` for what has no JSON form."""
    schema = adapter.json_schema(mode=mode, schema_generator=_ToolSchema)
    return schema or True


def input_schema(adapter: TypeAdapter[Json]) -> dict[str, Json]:
    """Describe a model as a tool's input: an object without unknown fields, unless the model asks for them."""
    schema: dict[str, Json] = adapter.json_schema(mode="validation", schema_generator=_ToolSchema)
    schema.pop("title", None)
    schema.setdefault("properties", {})
    return {"additionalProperties": False, **schema}
