"""A resolved input, checked and made the arguments of a function."""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticSerializationError, to_json

from gql_app.core.errors import InvalidInputError
from gql_app.core.values import Json
from gql_app.tools.schemas import input_schema

MAXIMUM_PROBLEMS: Final = 5
_MESSAGE_CHARACTERS: Final = 300
_NAME_CHARACTERS: Final = 100
_NOT_OF_THE_VALUE: Final = ("value_error", "assertion_error", "extra_forbidden")
_EXACT_INTEGERS: Final = 2.0**53


class Arguments:
    """The input of one tool: a model whose fields are the parameters, or one that is handed over as a whole."""

    __slots__ = ("_known", "_names", "_validator", "_whole", "schema")

    def __init__(
        self, adapter: TypeAdapter[Json], *, names: Mapping[str, str] | None = None, whole: str | None = None
    ) -> None:
        # Every attempt passes here: the adapter's own method would only add to the cost.
        self._validator = adapter.validator
        self._names = names or {}
        self._whole = whole
        self.schema = input_schema(adapter)
        self._known = frozenset(self.schema["properties"]) if self.schema["additionalProperties"] is False else None

    def parse(self, value: Json) -> dict[str, Json]:
        """Check an input by JSON's types: no text counts as a number. The arguments share nothing with it."""
        if not isinstance(value, dict):
            raise InvalidInputError(f"The input must be an object, not {_kind(value)}.")
        if self._known is not None and (unknown := value.keys() - self._known):
            raise InvalidInputError(self._refusal(unknown))
        if self._known is not None and not self._known and self._whole is None:
            return {}
        model = self._validate(value)
        if self._whole is not None:
            return {self._whole: model}
        return {parameter: getattr(model, field) for field, parameter in self._names.items()}

    def _validate(self, value: Json) -> Json:
        try:
            # Through JSON, since only there a strict check takes a text for a date or a list for a tuple.
            return self._validator.validate_json(to_json(value), strict=True)
        except PydanticSerializationError as error:
            raise InvalidInputError(f"The input is not JSON: {error}") from error
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False)
        if not any(map(_wants_integer, problems)):
            raise InvalidInputError(_describe(problems))
        try:
            return self._validator.validate_json(to_json(_with_integers(value)), strict=True)
        except ValidationError as error:
            raise InvalidInputError(_describe(error.errors(include_url=False, include_context=False))) from error

    def _refusal(self, unknown: set[str]) -> str:
        names = ", ".join(repr(shorten(name, _NAME_CHARACTERS)) for name in sorted(unknown)[:MAXIMUM_PROBLEMS])
        fields = "It takes " + ", ".join(sorted(self._known or ())) if self._known else "It takes no fields"
        return f"The input has fields the tool does not know: {names}. {fields}."


def shorten(text: str, characters: int) -> str:
    """Cut a text to what a message can quote."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _describe(problems: Sequence[ErrorDetails]) -> str:
    told = [_problem(problem) for problem in problems[:MAXIMUM_PROBLEMS]]
    if len(problems) > MAXIMUM_PROBLEMS:
        told.append(f"and {len(problems) - MAXIMUM_PROBLEMS} more")
    return "The input does not fit the tool: " + "; ".join(told) + "."


def _problem(problem: ErrorDetails) -> str:
    where = shorten(".".join(map(str, problem["loc"])), _NAME_CHARACTERS)
    message = shorten(problem["msg"], _MESSAGE_CHARACTERS)
    if problem["type"] == "missing":
        return f"`{where}` is missing"
    found = "" if problem["type"] in _NOT_OF_THE_VALUE else f", not {_kind(problem['input'])}"
    return f"`{where}`: {message}{found}" if where else f"{message}{found}"


def _kind(value: Json) -> str:
    """Name a JSON value: itself when it is short, else only what it is."""
    match value:
        case None | bool() | int() | float():
            return shorten(to_json(value).decode(), 40)
        case str() if len(value) <= 40:
            return repr(value)
        case str():
            return f"a string of {len(value)} characters"
        case list():
            return f"an array of {len(value)}"
        case dict():
            return "an object"
        case _:
            return f"a {type(value).__name__}"


def _wants_integer(problem: ErrorDetails) -> bool:
    return problem["type"] == "int_type" and isinstance(problem["input"], float) and problem["input"].is_integer()


def _with_integers(value: Json) -> Json:
    """Write whole numbers without their `.0`: JSON knows one kind of number, Python two."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_INTEGERS:
        return int(value)
    if isinstance(value, dict):
        return {name: _with_integers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_integers(item) for item in value]
    return value
