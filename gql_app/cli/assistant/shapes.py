"""What the arguments and answers of all tools have in common, and the JSON Schemas that tell of them."""

import msgspec

from gql_app.core.values import Json

_INSIDE = "$defs"


class Asked(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The base of the arguments of a tool."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The base of what a tool answers: what there is nothing to say about is left out."""


def schema_of(kind: type[msgspec.Struct]) -> dict[str, Json]:
    """Describe a type as JSON Schema, with the type itself at the root, where clients look for it."""
    schema = msgspec.json.schema(kind)
    definitions: dict[str, Json] = schema[_INSIDE]
    root = definitions.pop(kind.__name__)
    tidied = _tidy({**root, _INSIDE: definitions} if definitions else root)
    # What the tool does says its own description.
    return {name: part for name, part in tidied.items() if name != "description"}


def _tidy(part: Json) -> Json:
    """Leave out the names of our types."""
    if isinstance(part, list):
        return [_tidy(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {name: _tidy(item) for name, item in part.items() if name != "title" or not isinstance(item, str)}
