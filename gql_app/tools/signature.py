"""What a function's signature says about a tool: its input, its output, and where its context goes."""

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from types import UnionType
from typing import Any, Final, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PydanticUndefinedAnnotation,
    PydanticUserError,
    RootModel,
    TypeAdapter,
    create_model,
)

from gql_app.core.errors import InvalidToolError
from gql_app.core.values import Json
from gql_app.ports import ToolContext
from gql_app.tools.arguments import Arguments
from gql_app.tools.results import Results
from gql_app.tools.streaming import check_stream, is_stream

AnyFunction: TypeAlias = Callable[..., Json]

_REFUSED: Final = {
    inspect.Parameter.VAR_POSITIONAL: "takes any number of arguments; give each one a name",
    inspect.Parameter.VAR_KEYWORD: "takes arguments of any name; take a `dict` instead",
    inspect.Parameter.POSITIONAL_ONLY: "can only be passed by position; a tool's input has names",
}
# What is not finite becomes null where the annotation says nothing of numbers, and null would be stored.
_KEEP_INFINITY: Final = ConfigDict(ser_json_inf_nan="constants")
_UNRESOLVABLE: Final = (NameError, AttributeError, TypeError, SyntaxError)


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's parameters and return value, ready to use."""

    arguments: Arguments
    results: Results
    context: str | None
    """The parameter that takes the `ToolContext`."""


def read_signature(name: str, function: AnyFunction) -> Signature:
    """Read the signature of the tool `name`. Raises `InvalidToolError` for one that cannot be called with JSON."""
    hints = _hints(name, function)
    parameters: dict[str, inspect.Parameter] = {}
    context: str | None = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in _REFUSED:
            raise InvalidToolError(f"Tool {name!r}: its parameter {str(parameter)!r} {_REFUSED[parameter.kind]}.")
        if not _takes_context(hints.get(parameter.name)):
            parameters[parameter.name] = parameter
        elif context is None:
            context = parameter.name
        else:
            raise InvalidToolError(
                f"Tool {name!r}: both {context!r} and {parameter.name!r} take the ToolContext; leave one out."
            )
    return Signature(_arguments(name, parameters, hints), _results(name, function, hints), context)


def _hints(name: str, function: AnyFunction) -> dict[str, Json]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except _UNRESOLVABLE as error:
        raise InvalidToolError(
            f"Tool {name!r}: its annotations cannot be read: {error}. Every type must be known in its module."
        ) from error


def _takes_context(hint: Json) -> bool:
    origin: Json = typing.get_origin(hint)
    if origin is typing.Union or origin is UnionType:
        return any(part is ToolContext for part in typing.get_args(hint))
    return hint is ToolContext


def _arguments(name: str, parameters: dict[str, inspect.Parameter], hints: dict[str, Json]) -> Arguments:
    if len(parameters) == 1:
        (only,) = parameters
        model = _without_metadata(hints.get(only))
        if isinstance(model, type) and issubclass(model, BaseModel) and not issubclass(model, RootModel):
            adapter = _described(name, f"parameter {only!r}", lambda: TypeAdapter(model))
            return _described(name, f"parameter {only!r}", lambda: Arguments(adapter, whole=only))
    for parameter in parameters.values():
        _check_parameter(name, parameter.name, hints)
    return _described(name, "parameters", lambda: _of_parameters(parameters, hints))


def _of_parameters(parameters: dict[str, inspect.Parameter], hints: dict[str, Json]) -> Arguments:
    # The fields' own names say nothing: a parameter may have one that pydantic keeps for itself, like `copy`.
    names = {f"field_{index}": parameter for index, parameter in enumerate(parameters)}
    fields: dict[str, Any] = {
        field: (
            hints.get(parameter, Any),
            Field(alias=parameter)
            if parameters[parameter].default is inspect.Parameter.empty
            else Field(default=parameters[parameter].default, alias=parameter),
        )
        for field, parameter in names.items()
    }
    config = ConfigDict(extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=False)
    model = create_model("Input", __config__=config, **fields)
    return Arguments(TypeAdapter(model), names=names)


def _check_parameter(name: str, parameter: str, hints: dict[str, Json]) -> None:
    """Refuse a parameter whose type has no JSON form, by its name."""
    if parameter in hints:
        _described(name, f"parameter {parameter!r}", lambda: TypeAdapter(hints[parameter]).json_schema())


def _results(name: str, function: AnyFunction, hints: dict[str, Json]) -> Results:
    hint = hints.get("return", Any)
    if is_stream(function):
        check_stream(name, hint)
        hint = str
    return _described(name, "return value", lambda: Results(None if hint is Any else _results_adapter(hint)))


def _results_adapter(hint: Json) -> TypeAdapter[Json]:
    try:
        return TypeAdapter(hint, config=_KEEP_INFINITY)
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise
        return TypeAdapter(hint)  # A model says itself what becomes of its numbers.


_T = typing.TypeVar("_T")


def _described(name: str, what: str, describe: Callable[[], _T]) -> _T:
    try:
        return describe()
    except (PydanticUserError, PydanticUndefinedAnnotation, *_UNRESOLVABLE) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0].removesuffix(".")
        raise InvalidToolError(
            f"Tool {name!r}: its {what} cannot be described as JSON: {reason}."
            " Use JSON's types, dataclasses or pydantic models, or leave the annotation out."
        ) from error


def _without_metadata(hint: Json) -> Json:
    origin: Json = typing.get_origin(hint)
    return typing.get_args(hint)[0] if origin is typing.Annotated else hint
