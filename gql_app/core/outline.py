"""What is known of a template's value before its expressions have values, and which errors that excuses."""

from collections.abc import Iterator
from typing import Final

from jsonschema import ValidationError

from gql_app.core.expressions import Path, whole_reference
from gql_app.core.placeholders import secret_name
from gql_app.core.templates import OPENING, Hole, split_template
from gql_app.core.values import Json

_DEPENDENT: Final = frozenset(
    {
        "const",
        "contains",
        "enum",
        "maxContains",
        "minContains",
        "not",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)
"""Keywords that look at values inside the value: their verdict may change once an expression in there has one."""


class Unknown:
    """Stands for the value of an expression: anything."""

    __slots__ = ()


class Interpolated(str):
    """Stands for a text with an expression or a secret in it: any text."""

    __slots__ = ()


_UNKNOWN: Final = Unknown()


def outline(value: Json) -> Json:
    """Copy a template with what is known of its expressions' values."""
    if isinstance(value, str):
        return _outline_text(value) if OPENING in value else value
    if isinstance(value, dict):
        return {name: outline(item) for name, item in value.items()}
    if isinstance(value, list):
        return [outline(item) for item in value]
    return value


def find_references(value: Json, location: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Path]]:
    """Find the strings that are nothing but the output of a node, or a part of it: (location, path)."""
    if isinstance(value, str):
        path = whole_reference(value)
        if path is not None:
            yield location, path
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from find_references(item, (*location, key))


def is_excused(error: ValidationError) -> bool:
    """Tell whether an error could go away once the expressions have values."""
    if error.validator is None:
        return False
    if isinstance(error.instance, Unknown):
        return True
    if error.validator in {"anyOf", "oneOf"}:
        return _has_way_out(error) if error.context else _holds_expression(error.instance)
    if isinstance(error.instance, Interpolated):
        return error.validator != "type"
    depends = error.validator in _DEPENDENT or "if" in error.absolute_schema_path
    return depends and _holds_expression(error.instance)


def _outline_text(text: str) -> Json:
    pieces, _ = split_template(text)
    holes = [piece for piece in pieces if isinstance(piece, Hole)]
    if holes:
        # A secret is a text, even if it stands alone.
        return Interpolated(text) if len(pieces) > 1 or secret_name(holes[0].text) else _UNKNOWN
    return "".join(piece for piece in pieces if isinstance(piece, str))


def _has_way_out(error: ValidationError) -> bool:
    """Tell whether one of the alternatives fails for excused errors only."""
    branches: dict[object, bool] = {}
    for inner in error.context:
        branch = inner.relative_schema_path[0]
        branches[branch] = branches.get(branch, True) and is_excused(inner)
    return any(branches.values())


def _holds_expression(value: Json) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_expression, value.values()))
    if isinstance(value, list):
        return any(map(_holds_expression, value))
    return isinstance(value, Unknown | Interpolated)
