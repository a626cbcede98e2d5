"""Recognises at once that a value fits a schema, where both are simple; most inputs of tools are."""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec

from gql_app.core.values import Json

Fits: TypeAlias = Callable[[Json], bool]
"""True: the value fits. False: it may or may not."""

_NOTES: Final = frozenset({"title", "description", "default", "examples", "deprecated", "$comment"})
_OBJECT: Final = _NOTES | {"type", "properties", "required", "additionalProperties"}
_BOUNDS: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_TYPES: Final[Mapping[str, frozenset[type]]] = {
    "null": frozenset({type(None)}),
    "boolean": frozenset({bool}),
    "integer": frozenset({int}),
    "number": frozenset({int, float}),
    "string": frozenset({str}),
    "array": frozenset({list}),
    "object": frozenset({dict}),
}


class _Rule(msgspec.Struct, frozen=True):
    """The types that surely fit, all if None, and the bounds of numbers."""

    types: frozenset[type] | None = None
    bounds: tuple[tuple[str, float], ...] = ()

    def fits(self, value: Json) -> bool:
        if self.types is None:
            return True
        return type(value) in self.types and (
            not self.bounds or all(_is_within(value, *bound) for bound in self.bounds)
        )


def recognise(schema: Json) -> Fits:
    """Make the check for a schema; one that is not simple gets a check that never says yes."""
    if schema is True or schema == {}:
        return lambda _: True
    if not isinstance(schema, dict) or schema.get("type") != "object" or not schema.keys() <= _OBJECT:
        return lambda _: False
    rules = {name: _read(part) for name, part in schema.get("properties", {}).items()}
    required = frozenset(schema.get("required", ()))
    others = schema.get("additionalProperties", True) is True

    def fits(value: Json) -> bool:
        if type(value) is not dict or not required <= value.keys():
            return False
        for name, item in value.items():
            rule = rules.get(name)
            if rule is None and (name in rules or not others):
                return False
            if rule is not None and not rule.fits(item):
                return False
        return True

    return fits


def _read(schema: Json) -> _Rule | None:
    """Read the schema of a property, if it is simple."""
    if schema is True:
        return _Rule()
    if not isinstance(schema, dict) or not schema.keys() <= _NOTES | _BOUNDS | {"type", "anyOf"}:
        return None
    bounds = tuple((name, schema[name]) for name in sorted(_BOUNDS & schema.keys()))
    names = _type_names(schema)
    if names is None or (bounds and names is not ANY and not {"integer", "number"} >= set(names)):
        return None
    if names is ANY:
        return None if bounds else _Rule()
    return _Rule(frozenset().union(*(_TYPES[name] for name in names)), bounds)


ANY: Final = ("any",)


def _type_names(schema: dict[str, Json]) -> tuple[str, ...] | None:
    """Name the types of a schema, `ANY` if it names none; None if it is not that simple."""
    if "anyOf" not in schema:
        names = schema.get("type", ANY)
        return (names,) if isinstance(names, str) else tuple(names)
    branches = schema["anyOf"]
    if "type" in schema or not all(isinstance(branch, dict) and branch.keys() == {"type"} for branch in branches):
        return None
    return tuple(name for branch in branches for name in _type_names(branch) or ())


def _is_within(value: float, bound: str, limit: float) -> bool:
    match bound:
        case "minimum":
            return value >= limit
        case "maximum":
            return value <= limit
        case "exclusiveMinimum":
            return value > limit
        case _:
            return value < limit
