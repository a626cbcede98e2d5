"""What is told of a value that fits none of a schema's alternatives."""

import msgspec
import pytest

from gql_app.core.json_schema import compile_schema, explain, locate
from gql_app.core.values import Json

TEXT_OR_NULL: Json = {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]}
OBJECT_OR_LIST: Json = {
    "oneOf": [
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}}},
        {"type": "array"},
    ]
}


@pytest.mark.parametrize(
    ("schema", "value", "place", "told"),
    [
        (TEXT_OR_NULL, "long", "", "`maxLength`: 3"),
        (TEXT_OR_NULL, 7, "", "none of the alternatives"),
        (OBJECT_OR_LIST, {"a": 0}, "/a", "minimum"),
        (OBJECT_OR_LIST, {"a": "x"}, "/a", "none of the alternatives"),
        ({"anyOf": [{"minLength": 3}, {"pattern": "a"}]}, "b", "", "none of the alternatives"),
    ],
)
def test_the_alternative_that_was_meant_says_what_is_wrong(schema: Json, value: Json, place: str, told: str) -> None:
    [error] = compile_schema(msgspec.json.encode(schema)).errors(value)

    assert locate(error) == place
    assert told in explain(error)
