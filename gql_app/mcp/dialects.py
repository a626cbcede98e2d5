"""JSON Schemas of older drafts, written as those of 2020-12: most MCP servers still say draft 7."""

from typing import Final

from gql_app.core.json_schema import DIALECT
from gql_app.core.values import Json

_OLDER: Final = ("json-schema.org/draft-04/", "json-schema.org/draft-06/", "json-schema.org/draft-07/", "/2019-09/")
_VALUES: Final = frozenset({"const", "default", "enum", "examples"})
"""Keywords that hold values, not schemas."""


def as_2020_12(schema: dict[str, Json]) -> dict[str, Json]:
    """Write a schema in the only dialect we check. One of a dialect that we do not know stays as it is."""
    said = schema.get("$schema")
    if not isinstance(said, str) or said.rstrip("#") == DIALECT:
        return schema
    if not any(part in said for part in _OLDER):
        return schema
    converted: dict[str, Json] = _convert({key: part for key, part in schema.items() if key != "$schema"})
    return converted


def _convert(part: Json) -> Json:
    if isinstance(part, list):
        return [_convert(item) for item in part]
    if not isinstance(part, dict):
        return part
    converted = {key: value if key in _VALUES else _convert(value) for key, value in part.items()}
    if isinstance(converted.get("items"), list):
        converted["prefixItems"] = converted.pop("items")
        if "additionalItems" in converted:
            converted["items"] = converted.pop("additionalItems")
    return converted
