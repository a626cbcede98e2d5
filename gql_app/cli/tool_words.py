"""Puts into words what a tool does and takes."""

from gql_app.cli.output import clean
from gql_app.core.values import Json


def name_fields(schema: Json) -> str:
    """Name the fields of an input; those that may be left out have a question mark."""
    if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict):
        return "{…}"
    required = schema.get("required", [])
    return "{" + ", ".join(name if name in required else f"{name}?" for name in schema["properties"]) + "}"


def first_line(text: str) -> str:
    """Take the first paragraph of a description, in one line."""
    return clean(text.strip().split("\n\n")[0])
