"""JSON Schema (2020-12) within limits: what does not fit, in our words, at a bounded cost and without any network."""

from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from pydantic_core import SchemaError, SchemaValidator
from pydantic_core.core_schema import str_schema
from referencing import Registry
from referencing.exceptions import Unresolvable

from gql_app.core.documents import quote
from gql_app.core.pointers import make_pointer
from gql_app.core.simple_schema import recognise
from gql_app.core.values import Json

MAXIMUM_STEPS: Final = 150_000
"""How much work a check may be, so that no schema can hold the process up; about a second."""

REFERENCE_STEPS: Final = 6
"""What following a reference costs, compared to any other keyword."""

MAXIMUM_SCHEMA_BYTES: Final = 64 << 10
MAXIMUM_SCHEMA_OBJECTS: Final = 2_000
"""How big a schema that comes with a document may be: whether it is one takes about 0.2 ms for each object in it."""

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_REFERENCES: Final = ("$ref", "$dynamicRef")

_Errors: TypeAlias = Iterator[ValidationError]
_Keyword: TypeAlias = Callable[[Json, Json, Json, Json], _Errors | None]

_steps: ContextVar[list[int]] = ContextVar("steps")


class InvalidSchema(ValueError):
    """A schema cannot be used; `pointer` says where in it."""

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.pointer = pointer


class TooExpensive(Exception):
    """A schema is too big, or a check takes more steps than it may; the message says which."""


class Schema:
    """A JSON Schema, ready to check values with."""

    def __init__(self, schema: Json) -> None:
        self.schema = schema
        self._fits = recognise(schema)
        # The library would take the validator that `$schema` names, which has no limits.
        bare = {key: part for key, part in schema.items() if key != "$schema"} if isinstance(schema, dict) else schema
        self._validator = _Limited(bare, registry=Registry())

    def surely_fits(self, value: Json) -> bool:
        """Tell at once that a value fits; false means that only `errors` can tell."""
        return self._fits(value)

    def errors(self, value: Json, maximum_steps: int = MAXIMUM_STEPS) -> Iterator[ValidationError]:
        """Find what does not fit. Raises `InvalidSchema` or `TooExpensive` if the schema turns out unusable."""
        _steps.set([maximum_steps])
        try:
            yield from map(_relevant, self._validator.iter_errors(value))
        except Unresolvable as error:
            raise InvalidSchema(f"The reference {quote(error.ref)} leads nowhere inside the schema.") from error
        except RecursionError:
            raise InvalidSchema("The schema refers to itself without an end.") from None


@lru_cache(maxsize=256)
def compile_schema(encoded: bytes) -> Schema:
    """Prepare a schema that is known to be sound: a tool's."""
    return Schema(msgspec.json.decode(encoded))


@lru_cache(maxsize=64)
def check_schema(encoded: bytes) -> Schema:
    """Prepare a schema that anybody may have written. Raises `InvalidSchema`."""
    if len(encoded) > MAXIMUM_SCHEMA_BYTES:
        raise TooExpensive(f"The schema is {len(encoded)} bytes long; {MAXIMUM_SCHEMA_BYTES} are allowed.")
    schema = msgspec.json.decode(encoded)
    _check_dialect(schema, encoded)
    try:
        for error in _META_SCHEMA.iter_errors(schema):
            raise InvalidSchema(explain(error), make_pointer(error.absolute_path))
    except RecursionError:
        raise InvalidSchema("The schema is nested too deeply.") from None
    return Schema(schema)


def _check_dialect(schema: Json, encoded: bytes) -> None:
    """Refuse what would be checked by other code than ours, which has limits."""
    if b'"unevaluatedProperties"' in encoded and b'"patternProperties"' in encoded:
        raise InvalidSchema("`unevaluatedProperties` and `patternProperties` cannot be used together.")
    objects = 0
    waiting: list[tuple[Json, tuple[str | int, ...]]] = [(schema, ())]
    while waiting:
        part, location = waiting.pop()
        objects += isinstance(part, dict)
        if objects > MAXIMUM_SCHEMA_OBJECTS:
            raise TooExpensive(f"The schema holds more than {MAXIMUM_SCHEMA_OBJECTS} objects.")
        if isinstance(part, dict) and any("json-schema.org" in str(part.get(name)) for name in ("$id", *_REFERENCES)):
            raise InvalidSchema("The schema refers to JSON Schema's own.", make_pointer(location))
        if isinstance(part, dict) and isinstance(part.get("$schema", {}), str):
            pointer = make_pointer((*location, "$schema"))
            if location:
                raise InvalidSchema("`$schema` can only stand at the root of a schema.", pointer)
            if part["$schema"].rstrip("#") != DIALECT:
                raise InvalidSchema(f"Only the dialect {DIALECT} is known, not {quote(part['$schema'])}.", pointer)
        if isinstance(part, dict | list):
            items = part.items() if isinstance(part, dict) else enumerate(part)
            waiting.extend((item, (*location, key)) for key, item in items)


def _relevant(error: ValidationError) -> ValidationError:
    """Of alternatives of which a value has the type of just one, take what is wrong with it there."""
    while error.validator in ("anyOf", "oneOf") and error.context:
        wrong: dict[Json, list[ValidationError]] = {}
        for inner in error.context:
            wrong.setdefault(inner.schema_path[0], []).append(inner)
        meant = [found for found in wrong.values() if all(each.validator != "type" or each.path for each in found)]
        if len(meant) != 1:
            break
        error = meant[0][0]
    return error


def explain(error: ValidationError) -> str:
    """Say in a sentence what does not fit."""
    rule: Json = error.validator_value
    value = quote(error.instance)
    match error.validator:
        case "type":
            return f"Expected {' or '.join([rule] if isinstance(rule, str) else rule)}, not {value}."
        case "required":
            return f"The field {quote(error.message)} is missing."
        case "additionalProperties" if rule is False:
            return f"There is no field {quote(error.message)} here."
        case "enum" | "const":
            allowed = ", ".join(map(quote, rule[:10] if error.validator == "enum" else [rule]))
            return f"Expected one of {allowed}, not {value}."
        case "anyOf" | "oneOf":
            return f"{_capital(value)} fits {'none' if error.context else 'more than one'} of the alternatives."
        case "not" if isinstance(error.schema, dict) and isinstance(error.schema.get("description"), str):
            told: str = error.schema["description"]
            return told
        case None:
            return "Nothing is allowed here."
        case keyword:
            return f"{_capital(value)} does not fit `{keyword}`: {quote(rule)}."


def locate(error: ValidationError) -> str:
    """Point to what does not fit; where a field is too many, to the field."""
    extra = error.validator == "additionalProperties" and error.validator_value is False
    return make_pointer([*error.absolute_path, error.message] if extra else error.absolute_path)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _counted(name: str, keyword: _Keyword) -> _Keyword:
    """Make a keyword's check pay for its steps."""
    price = REFERENCE_STEPS if name in _REFERENCES else 1

    def check(validator: Json, rule: Json, instance: Json, schema: Json) -> _Errors | None:
        left = _steps.get()
        size = len(instance) if isinstance(instance, dict | list) else 0
        left[0] -= price + (size + (len(rule) if isinstance(rule, dict | list) else 0)) // 16
        if left[0] < 0:
            raise TooExpensive("Checking the input against the schema takes too long.")
        return keyword(validator, rule, instance, schema)

    return check


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> SchemaValidator:
    """Compile a pattern for an engine whose time is linear in the text."""
    try:
        return SchemaValidator(str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError:
        raise InvalidSchema(f"The pattern {quote(pattern)} is not valid, or looks around or back.") from None


def _matches(pattern: str, text: str) -> bool:
    return _matcher(pattern).isinstance_python(text)


def _pattern(_: Json, rule: Json, instance: Json, __: Json) -> _Errors:
    if isinstance(instance, str) and not _matches(rule, instance):
        yield ValidationError("pattern")


def _pattern_properties(validator: Json, rule: Json, instance: Json, _: Json) -> _Errors:
    if isinstance(instance, dict):
        for pattern, schema in rule.items():
            for name in instance:
                if _matches(pattern, name):
                    yield from validator.descend(instance[name], schema, path=name, schema_path=pattern)


def _additional_properties(validator: Json, rule: Json, instance: Json, schema: Json) -> _Errors:
    if not isinstance(instance, dict):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name in instance:
        if name not in known and not any(_matches(pattern, name) for pattern in patterns):
            if rule is False:
                yield ValidationError(name)
                continue
            yield from validator.descend(instance[name], rule, path=name)


def _required(_: Json, rule: Json, instance: Json, __: Json) -> _Errors:
    if isinstance(instance, dict):
        for name in rule:
            if name not in instance:
                yield ValidationError(name)


def _unique_items(_: Json, rule: Json, instance: Json, __: Json) -> _Errors:
    # The library compares every item with every other.
    if rule and isinstance(instance, list) and len(set(map(_freeze, instance))) < len(instance):
        yield ValidationError("uniqueItems")


def _freeze(value: Json) -> Hashable:
    """Make a value that is equal to another's exactly if the two are equal in JSON; Python takes true for 1."""
    match value:
        case bool():
            return bool, value
        case list():
            return list, *map(_freeze, value)
        case dict():
            return frozenset((name, _freeze(item)) for name, item in value.items())
        case _:
            return value  # type: ignore[no-any-return]  # what is left of JSON is hashable


_OWN: Final[dict[str, _Keyword]] = {
    "required": _required,
    "pattern": _pattern,
    "uniqueItems": _unique_items,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
}
_KEYWORDS: Final = {
    name: _counted(name, keyword) for name, keyword in {**Draft202012Validator.VALIDATORS, **_OWN}.items()
}
# The library's own stubs leave the function untyped.
_Limited: Final = extend(Draft202012Validator, _KEYWORDS)  # type: ignore[no-untyped-call]
_META_SCHEMA: Final = Draft202012Validator(Draft202012Validator.META_SCHEMA, registry=Registry())
