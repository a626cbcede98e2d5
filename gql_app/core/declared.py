"""What a JSON Schema declares of the values at a place: which types they can have, whether they can be there at all.

Whatever the schema leaves open counts as possible.
"""

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Final, TypeAlias

from gql_app.core.values import Json

Types: TypeAlias = frozenset[str]

ALL_TYPES: Final[Types] = frozenset({"null", "boolean", "integer", "fraction", "string", "array", "object"})
"""JSON's types, its numbers split in two, so that types are disjoint exactly if the sets are."""

MAXIMUM_LOOKUPS: Final = 1_000
"""How many subschemas are looked at for one answer; everything counts as possible after that."""

_ATOMS: Final = {
    **{name: frozenset({name}) for name in ALL_TYPES},
    "number": frozenset({"integer", "fraction"}),
}


class Declaration:
    """A schema and what it says."""

    def __init__(self, schema: Json) -> None:
        self._root = schema
        self._lookups = 0

    def at(self, location: Iterable[str | int]) -> Json:
        """Give the schema of what stands at a place: false if nothing can, true if nothing is known."""
        self._lookups = 0
        return reduce(self._part, location, self._root)

    def types(self, schema: Json) -> Types:
        """Say which types a value of this schema can have."""
        if schema is False:
            return frozenset()
        if not isinstance(schema, dict) or self._is_tired():
            return ALL_TYPES
        types = ALL_TYPES
        if "type" in schema:
            types &= _union(_ATOMS.get(name, ALL_TYPES) for name in _as_list(schema["type"]))
        if "enum" in schema:
            types &= frozenset(map(_type_of, schema["enum"]))
        if "const" in schema:
            types &= {_type_of(schema["const"])}
        for choice in _choices(schema):
            types &= _union(map(self.types, choice))
        for part in self._parts(schema):
            types &= self.types(part)
        return types

    def fields(self, schema: Json) -> list[str]:
        """Name the fields that are declared."""
        if not isinstance(schema, dict) or self._is_tired():
            return []
        inner = [*self._parts(schema), *(branch for choice in _choices(schema) for branch in choice)]
        return [*schema.get("properties", {}), *(name for part in inner for name in self.fields(part))]

    def _part(self, schema: Json, key: str | int) -> Json:
        """Give the schema of one field or item."""
        if not isinstance(schema, dict) or self._is_tired():
            return schema is not False
        if ("array" if isinstance(key, int) else "object") not in self.types(schema):
            return False
        found = [_item(schema, key) if isinstance(key, int) else _field(schema, key)]
        found += [self._part(part, key) for part in self._parts(schema)]
        found += [_any_of([self._part(branch, key) for branch in choice]) for choice in _choices(schema)]
        return _all_of(found)

    def _parts(self, schema: dict[str, Json]) -> list[Json]:
        """Give the schemas that hold beside this one."""
        parts = list(schema.get("allOf", ()))
        if "$ref" in schema:
            parts.append(self._resolve(schema["$ref"]))
        return parts

    def _resolve(self, reference: Json) -> Json:
        if not isinstance(reference, str) or not reference.startswith("#"):
            return True
        target = self._root
        for token in reference[1:].split("/")[1:]:
            name = token.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, dict) or name not in target:
                return True
            target = target[name]
        return target

    def _is_tired(self) -> bool:
        self._lookups += 1
        return self._lookups > MAXIMUM_LOOKUPS


def describe_types(types: Types) -> str:
    """Name types as JSON Schema does."""
    names = {("number" if name == "fraction" else name) for name in types}
    return " or ".join(sorted(names - {"integer"} if "number" in names else names))


def _choices(schema: dict[str, Json]) -> list[list[Json]]:
    return [schema[keyword] for keyword in ("anyOf", "oneOf") if keyword in schema]


def _field(schema: dict[str, Json], name: str) -> Json:
    properties = schema.get("properties", {})
    if name in properties:
        return properties[name]
    return True if "patternProperties" in schema else schema.get("additionalProperties", True)


def _item(schema: dict[str, Json], index: int) -> Json:
    first = schema.get("prefixItems", ())
    return first[index] if index < len(first) else schema.get("items", True)


def _all_of(schemas: Sequence[Json]) -> Json:
    if False in schemas:
        return False
    telling = [schema for schema in schemas if isinstance(schema, dict)]
    return telling[0] if len(telling) == 1 else {"allOf": telling} if telling else True


def _any_of(schemas: Sequence[Json]) -> Json:
    possible = [schema for schema in schemas if schema is not False]
    return {"anyOf": possible} if possible else False


def _union(types: Iterable[Types]) -> Types:
    return frozenset().union(*types)


def _as_list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def _type_of(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "integer" if value == int(value) else "fraction"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
